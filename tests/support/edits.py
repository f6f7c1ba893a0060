"""Files with other bytes, as damage and strangers make them."""

from collections.abc import Iterable

from hypothesis import strategies as st

Edit = tuple[float, int, bytes]  # where, as a share of the file; how many bytes go; what comes in their place

TEXTS = [b"1e999", b"[" * 2000, b'{"a":' * 600, b"9" * 500, b"NaN", b"-1", b"1_0", b'"', b"0", b"\x00", b"\n", b",,"]
NUMBERS = [value.to_bytes(8, "little", signed=True) for value in (0, -1, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63))]
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.one_of(st.integers(0, 9), st.sampled_from([100, 10**9])),
        st.one_of(st.binary(max_size=5), st.sampled_from(TEXTS), st.sampled_from(NUMBERS)),
    ), min_size=1, max_size=5,
)  # fmt: skip


def edited(content: bytes, edits: Iterable[Edit]) -> bytes:
    """The content after every edit."""
    for place, length, new in edits:
        at = int(place * len(content))
        content = content[:at] + new + content[at + length :]
    return content
