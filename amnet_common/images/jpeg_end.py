"""JPEG files without their end marker: is anything else missing? (pure but for the decoding that it is given)

Cameras that lose power and transfers that stop early leave such files. libjpeg fills up what is missing with zeros and
says nothing to Pillow's callers; so the end is completed with several fillings. If every one gives the same picture,
all of it was there.
"""

import re
from collections.abc import Callable, Iterator

END = b"\xff\xd9"
FILLINGS = (b"", b"\x55" * 4096, b"\xb3\x6a\x1c" * 1365)  # of no marker; as coded coefficients they differ
MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # but the stuffed byte and restarts, which belong to the data
START_OF_SCAN, FRAMES, PROGRESSIVE = 0xDA, (0xC0, 0xC1, 0xC2, 0xC9, 0xCA), (0xC2, 0xCA)
WITHOUT_LENGTH = (0x01, 0xD8, 0xD9)
COEFFICIENTS = range(64)


def with_end(data: bytes, pixels_of: Callable[[bytes], bytes]) -> bytes | None:
    """Return a JPEG file with its end marker if nothing but that is missing, else None.

    `pixels_of` decodes a file's bytes to what is compared, and raises OSError if that cannot be done.
    """
    start = data[:-1] if data.endswith(b"\xff") else data
    if not has_every_scan(data):
        return None
    try:
        found = {pixels_of(start + filling + END) for filling in FILLINGS}
    except OSError:
        return None
    return start + END if len(found) == 1 else None


def has_every_scan(data: bytes) -> bool:
    """Tell whether every coefficient of every component has its last bit in some scan of the file, whole or not."""
    components: set[int] = set()
    progressive, complete = False, set[tuple[int, int]]()
    for marker, payload in segments(data):
        if marker in FRAMES:
            components = {*payload[6 : 6 + 3 * payload[5] : 3]}
            progressive = marker in PROGRESSIVE
        elif marker == START_OF_SCAN:
            complete |= _completed(payload, progressive)
    return bool(components) and all((one, k) in complete for one in components for k in COEFFICIENTS)


def _completed(payload: bytes, progressive: bool) -> set[tuple[int, int]]:
    """The components and coefficients that a scan brings to their last bit."""
    count = payload[0]
    first, last, bits = payload[1 + 2 * count : 4 + 2 * count]
    if progressive and bits & 15:
        return set()
    span = range(first, last + 1) if progressive else COEFFICIENTS
    return {(component, k) for component in payload[1 : 1 + 2 * count : 2] for k in span}


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and payload of each segment of a JPEG file; coded data are passed over. A cut one ends it."""
    at = 0
    while match := MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker in WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[at : at + 2])
        payload = data[at + 2 : at + length]
        if length < 2 or len(payload) != length - 2 or (marker == START_OF_SCAN and len(payload) < 4 + 2 * payload[0]):
            return
        yield marker, payload
        at += length
