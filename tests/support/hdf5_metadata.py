"""The checksum of HDF5's metadata, so that a test can change a byte of it as a stranger would."""

import struct
from collections.abc import Iterator

MASK = 0xFFFFFFFF
TREE = struct.Struct("<4sBBIHHBBQHQ")  # header of a version 2 B-tree, before its checksum


def lookup3(data: bytes) -> int:
    """Jenkins' hash of HDF5 (H5_checksum_lookup3 with 0), from its published description."""
    a = b = c = (0xDEADBEEF + len(data)) & MASK
    while len(data) > 12:
        x, y, z = struct.unpack("<III", data[:12])
        a, b, c = (a + x) & MASK, (b + y) & MASK, (c + z) & MASK
        for shift in (4, 6, 8, 16, 19, 4):  # the three words take turns
            a, b, c = b, (c + b) & MASK, ((a - c) & MASK) ^ rotated(c, shift)
        data = data[12:]
    if not data:
        return c
    x, y, z = struct.unpack("<III", data.ljust(12, b"\0"))
    a, b, c = (a + x) & MASK, (b + y) & MASK, (c + z) & MASK
    for shift in (14, 11, 25, 16, 4, 14, 24):
        a, b, c = b, ((c ^ b) - rotated(b, shift)) & MASK, a
    return b


def rotated(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & MASK


def blocks(content: bytes) -> Iterator[tuple[int, int]]:
    """Where blocks with a checksum of their own begin, and where that checksum stands."""
    for name in (b"BTHD", b"BTLF", b"FRHP", b"FHDB", b"OHDR", b"FSHD", b"FHIB", b"FSSE", b"\x89HDF"):
        at = content.find(name)
        while at >= 0:
            for end in range(at + len(name), min(at + 5000, len(content) - 3)):
                if struct.unpack_from("<I", content, end)[0] == lookup3(content[at:end]):
                    yield at, end
                    break
            at = content.find(name, at + 1)


def with_byte(content: bytes, block: tuple[int, int], at: int, value: int) -> bytes:
    """The file with one byte of a block changed, and the block's checksum mended."""
    begin, end = block
    changed = bytearray(content)
    changed[begin + at] = value
    changed[end : end + 4] = struct.pack("<I", lookup3(bytes(changed[begin:end])))
    return bytes(changed)
