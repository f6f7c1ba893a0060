"""PNG files that fail over a text or a profile (too long for Pillow, damaged): the same picture without them (pure)."""

import re
import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
PROFILE = b"iCCP"
LONGEST_PROFILE = 2**24  # bytes; the profiles of printing presses are some 4 MB
LONGEST_XMP = 2**26  # bytes that are searched for the orientation
XMP = b"XML:com.adobe.xmp\0"
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)[0-9]')


def without_texts(data: bytes) -> tuple[bytes, bytes]:
    """Return a PNG file without texts and profile, and the profile, empty where there is none or it is damaged.

    Of an XMP text the orientation is kept. A file without any of them, or that is no PNG, comes back as it is.
    """
    if not data.startswith(SIGNATURE):
        return data, b""
    pieces, profile = [SIGNATURE], b""
    for kind, payload, chunk in _chunks(data):
        if kind == PROFILE:
            profile = inflated(payload.partition(b"\0")[2][1:], LONGEST_PROFILE)
        elif kind not in TEXTS:
            pieces.append(chunk)
        elif found := XMP_ORIENTATION.search(_xmp(payload)):
            pieces.append(_chunk(b"iTXt", XMP + b"\0\0\0\0" + found[0]))
    return b"".join(pieces), profile


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Kind, payload and whole bytes of each chunk; the last may be cut. Payloads of other kinds are left empty."""
    at = len(SIGNATURE)
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 12 + length
        yield kind, data[at + 8 : end - 4] if kind in (*TEXTS, PROFILE) else b"", data[at:end]
        at = end


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _xmp(payload: bytes) -> bytes:
    """The XMP packet of an iTXt chunk; empty for other texts."""
    if not payload.startswith(XMP):
        return b""
    compressed, (*_, text) = payload[len(XMP) : len(XMP) + 1] == b"\1", payload[len(XMP) + 2 :].split(b"\0", 2)
    return inflated(text, LONGEST_XMP) if compressed else text


def inflated(data: bytes, longest: int) -> bytes:
    """Return what zlib bytes unpack to; nothing if they are damaged or it is longer than `longest` bytes."""
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(data, longest)
    except zlib.error:
        return b""
    return b"" if unpacker.unconsumed_tail else plain
