"""The bytes of an image file to an upright 8-bit RGB image, or one line that says why not."""

from PIL import ExifTags, Image

from amnet_common.errors import ImageError
from amnet_common.images.deep import deep_to_grey, is_deep
from amnet_common.images.formats import open_image

WHITE = (255, 255, 255)
TRANSPOSES = {  # EXIF orientation -> what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_rgb(data: bytes) -> Image.Image:
    """Decode the first frame of an image file's bytes, upright (EXIF orientation), as mode RGB.

    Raises ImageError with the reason if that cannot be done.
    """
    try:
        with open_image(data) as image:
            image.load()
            return upright(to_rgb(image), orientation(image))
    except ImageError:
        raise
    # Pillow's decoders raise whatever their parsers meet on damaged bytes (struct.error, SyntaxError, KeyError ...)
    except Exception as error:
        raise ImageError(f"cannot be decoded: {str(error) or type(error).__name__}") from error


def upright(image: Image.Image, method: Image.Transpose | None) -> Image.Image:
    """Turn an image as `orientation` says; None: it lies as it should."""
    return image if method is None else image.transpose(method)


def orientation(image: Image.Image) -> Image.Transpose | None:
    """Return what makes an image upright by its EXIF orientation. Damaged metadata leave a whole picture as it lies.

    Pillow's `exif_transpose` also rewrites all other metadata, and fails on what it cannot write.
    """
    try:
        return TRANSPOSES.get(image.getexif().get(ExifTags.Base.Orientation) or 1)
    except Exception:  # what a parser meets on damaged bytes, as in `decode_rgb`
        return None


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode to RGB: transparency over white, deep greys scaled to 8 bits and not cut off at 255.

    Raises ImageError for deep pixel values that are negative, not finite or of a range that cannot be known.
    """
    if is_deep(image):
        return deep_to_grey(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(backdrop, image).convert("RGB")
    return image.convert("RGB")
