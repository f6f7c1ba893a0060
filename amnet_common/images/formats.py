"""Which formats are read, and what another file is called.

Pillow has a reader for some forty formats. One of them hands the file to Ghostscript, which runs it as a program, and
most of the others nobody has looked at for years: whatever a file is named, only those of FORMATS may open it.
"""

import io
import struct

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from amnet_common.errors import ImageError
from amnet_common.images.heif import is_heif, open_heif

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "DIB", "JPEG2000", "PPM", "AVIF", "TGA")  # in Pillow's names
FORMATS_TEXT = "JPEG (MPO), PNG, WebP, TIFF, GIF, BMP (DIB), JPEG 2000, PPM (PBM, PGM), AVIF, HEIF, TGA"
SIGNATURES = (  # of formats that Pillow has no reader for
    (b"%PDF", "PDF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"gimp xcf", "XCF"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"FUJIFILMCCD-RAW", "camera raw (RAF)"),
    (b"IIRO", "camera raw (ORF)"),
    (b"IIRS", "camera raw (ORF)"),
    (b"MMOR", "camera raw (ORF)"),
    (b"IIU\0", "camera raw (RW2)"),
)
CR2, CR3 = b"CR", b"ftypcrx "
NEW_SUBFILE_TYPE, MAKE, SUB_IFDS, DNG_VERSION = 254, 271, 330, 50706  # TIFF tags


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Open an image file's bytes as one of FORMATS, or as HEIF; nothing is decoded yet.

    Raises ImageError that names any other format, or says that none is known; and whatever a reader raises on damage.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        if is_heif(data):
            return open_heif(data)
        raise ImageError(refusal(data)) from error
    if name := raw_in_tiff(image):
        raise ImageError(not_read(name))
    return image


def refusal(data: bytes) -> str:
    """Tell why none of FORMATS can open a file: by the name of its format, where that is known."""
    if name := foreign_format(data):
        return not_read(name)
    if data.startswith((b"II*\0", b"MM\0*")):
        return "TIFF with samples or a compression that Pillow does not read"
    return "not an image that Pillow can identify"


def not_read(name: str) -> str:
    """Return the reason for a format that is not read."""
    return f"{name} is not read; expected one of {FORMATS_TEXT}"


def raw_in_tiff(image: ImageFile.ImageFile) -> str | None:
    """Name a camera raw that is a TIFF, whose first picture is a thumbnail; None: the file is none.

    CR2 has a signature; DNG a tag of its own; NEF, ARW, PEF and others a reduced picture with the raw one below it.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    tags = image.tag_v2
    if DNG_VERSION in tags:
        return "camera raw (DNG)"
    reduced = isinstance(tags.get(NEW_SUBFILE_TYPE), int) and tags[NEW_SUBFILE_TYPE] & 1
    if reduced and SUB_IFDS in tags:
        return f"camera raw ({tags.get(MAKE) or 'TIFF'})"[:40]
    assert image.fp is not None
    image.fp.seek(8)
    return "camera raw (CR2)" if image.fp.read(2) == CR2 else None


def foreign_format(data: bytes) -> str | None:
    """Name the format of a file if it is a known one that is not in FORMATS, from its first bytes alone."""
    if data[4:12] == CR3:
        return "camera raw (CR3)"
    if data.startswith(b"II*\0") and data[8:10] == CR2:
        return "camera raw (CR2)"
    known = next((name for start, name in SIGNATURES if data.startswith(start)), None)
    return known or _pillow_name(data[:16])


def _pillow_name(head: bytes) -> str | None:
    """The name that Pillow has for these first bytes; its test of them reads nothing else."""
    Image.init()
    return next((name for name in sorted(Image.OPEN) if name not in FORMATS and _accepts(name, head)), None)


def _accepts(name: str, head: bytes) -> bool:
    accept = Image.OPEN[name][1]
    try:
        return accept is not None and accept(head) is True
    except (IndexError, struct.error):  # fewer bytes than it looks at
        return False
