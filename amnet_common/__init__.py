"""What both stages stand on: datasets, the collection file, and the words they share. It imports neither stage."""

__version__ = "0.1.0"
