"""The folder of a run: what stands in it, and the one place that writes and reads it."""
