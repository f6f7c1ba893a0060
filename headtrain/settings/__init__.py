"""Settings of a head and of its training: their defaults, sources and presets, and how they are read and written."""
