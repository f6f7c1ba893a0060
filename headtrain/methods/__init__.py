"""The paragraph on methods of a paper about finished runs, and what it cites."""
