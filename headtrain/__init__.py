"""Stage two: heads on cached features. It never sees an image file or the trunk."""
