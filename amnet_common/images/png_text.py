"""PNG files that fail over a text or a profile (too long for Pillow, damaged): the same picture without them (pure)."""

import re

from amnet_common.images.png_chunks import SIGNATURE, chunk, chunks, inflated

TEXTS = (b"tEXt", b"zTXt", b"iTXt")
PROFILE = b"iCCP"
LONGEST_PROFILE = 2**24  # bytes; the profiles of printing presses are some 4 MB
LONGEST_XMP = 2**26  # bytes that are searched for the orientation
XMP = b"XML:com.adobe.xmp\0"
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)[0-9]')


def without_texts(data: bytes) -> tuple[bytes, bytes | None]:
    """Return a PNG file without texts and profile, and the profile: empty if it is damaged, None if there is none.

    Of an XMP text the orientation is kept. A file without any of them, or that is no PNG, comes back as it is.
    """
    if not data.startswith(SIGNATURE):
        return data, None
    pieces, profile = [SIGNATURE], None
    for kind, start, end in chunks(data):
        payload = data[start + 8 : end - 4] if kind in (*TEXTS, PROFILE) else b""
        if kind == PROFILE:
            profile = inflated(payload.partition(b"\0")[2][1:], LONGEST_PROFILE)
        elif kind not in TEXTS:
            pieces.append(data[start:end])
        elif found := XMP_ORIENTATION.search(_xmp(payload)):
            pieces.append(chunk(b"iTXt", XMP + b"\0\0\0\0" + found[0]))
    return b"".join(pieces), profile


def _xmp(payload: bytes) -> bytes:
    """The XMP packet of an iTXt chunk; empty for other texts."""
    if not payload.startswith(XMP):
        return b""
    compressed, (*_, text) = payload[len(XMP) : len(XMP) + 1] == b"\1", payload[len(XMP) + 2 :].split(b"\0", 2)
    return inflated(text, LONGEST_XMP) if compressed else text
