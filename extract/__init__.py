"""Stage one: images to collections. It meets stage two only in the file."""
