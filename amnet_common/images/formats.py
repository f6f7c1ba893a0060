"""Which formats are read, and what another file is called.

Pillow has a reader for some forty formats. One of them hands the file to Ghostscript, which runs it as a program, and
most of the others nobody has looked at for years: whatever a file is named, only those of FORMATS may open it.
"""

import io
import struct

from PIL import Image, ImageFile, UnidentifiedImageError

from amnet_common.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "DIB", "JPEG2000", "PPM", "AVIF", "TGA")  # in Pillow's names
FORMATS_TEXT = "JPEG (MPO), PNG, WebP, TIFF, GIF, BMP (DIB), JPEG 2000, PPM (PBM, PGM), AVIF, TGA"
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
CR2, CR3, FILE_TYPE = b"CR", b"crx ", b"ftyp"


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Open an image file's bytes as one of FORMATS; nothing is decoded yet.

    Raises ImageError that names any other format, or says that none is known; and whatever a reader raises on damage.
    """
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(refusal(data)) from error


def refusal(data: bytes) -> str:
    """Tell why none of FORMATS can open a file: by the name of its format, where that is known."""
    if data.startswith((b"II*\0", b"MM\0*")):
        return "TIFF with samples or a compression that Pillow does not read"
    name = foreign_format(data)
    return f"{name} is not read; expected one of {FORMATS_TEXT}" if name else "not an image that Pillow can identify"


def foreign_format(data: bytes) -> str | None:
    """Name the format of a file if it is a known one that is not in FORMATS, from its first bytes alone."""
    if data[4:12] == FILE_TYPE + CR3:
        return "camera raw (CR3)"
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
