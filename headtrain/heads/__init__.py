"""The networks, and a head as a file."""
