"""Many configurations: grids, searches, and who trains with whom."""
