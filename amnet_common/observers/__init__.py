"""What observers of a memorability experiment remembered: their trials, scores of images, and how far they agree."""
