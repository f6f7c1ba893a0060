"""Cached features on their way into a head: the images of a split, the views of an epoch, and where they live."""
