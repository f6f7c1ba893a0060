"""Which way a picture lies, by its EXIF orientation, and how to set it upright."""

from PIL import ExifTags, Image

TRANSPOSES = {  # EXIF orientation -> what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange width and height


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a loaded image, 1 to 8. Damaged metadata leave a whole picture as it lies: 1.

    Pillow's `exif_transpose` also rewrites all other metadata, and fails on what it cannot write.
    """
    try:
        found = orientation_number(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # Pillow's parsers raise whatever they meet on damaged bytes (struct.error, SyntaxError ...)
        return 1
    return found if found in TRANSPOSES else 1


def orientation_number(value: object) -> int:
    """Return the number that an orientation is meant to be, 0 if none.

    The standard says one SHORT; files also hold it as BYTE or ASCII, or several of it.
    """
    if isinstance(value, tuple):
        return orientation_number(value[0]) if value else 0
    if isinstance(value, str):
        value = value.encode("latin-1", "replace")
    if isinstance(value, bytes):
        text = value.strip(b"\0 ")
        return int(text) if text.isdigit() else int.from_bytes(text[:1])
    return int(value) if isinstance(value, int | float) else 0


def upright(image: Image.Image, number: int) -> Image.Image:
    """Turn an image as its EXIF orientation says."""
    return image.transpose(TRANSPOSES[number]) if number in TRANSPOSES else image
