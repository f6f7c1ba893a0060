"""The chunks of a PNG file (pure)."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, first byte and end (exclusive) of each chunk, with its length and checksum; the last may be cut."""
    at = len(SIGNATURE)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], at, end
        at = end


def chunk(kind: bytes, payload: bytes) -> bytes:
    """Return a chunk, with its length and checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def inflated(data: bytes, longest: int) -> bytes:
    """Return what zlib bytes unpack to; nothing if they are damaged or it is longer than `longest` bytes."""
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(data, longest)
    except zlib.error:
        return b""
    return b"" if unpacker.unconsumed_tail else plain
