"""Runs side by side: rows, their order, and tables."""
