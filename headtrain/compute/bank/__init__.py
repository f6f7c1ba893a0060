"""Heads that train together: their parameters lie stacked, and the `forward` of their class is mapped over them.

Letters: N heads, B batch, L locations, D channels, T steps. The equations stand in the heads' classes alone; a head
that trains in a bank is the same head as when it trains alone.
"""
