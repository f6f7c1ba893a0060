"""Heads that train together: their parameters lie stacked, and one product serves all of them.

Letters: N heads, B batch, L locations, D channels, H hidden size, T steps. The equations are those of `PaperHead` and
`ReleasedHead`, which stay the reference: a head that trains in a bank is the same head as when it trains alone.
"""
