"""How good predictions are, how sure that is, and what a head must beat."""
