"""Text of whatever origin as one line that any terminal and log file bears."""

CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: "\t", 10: "\\n", 13: "\\r"}
CONTROLS |= {code: f"\\u{code:04x}" for code in (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """Return a text as one line for any terminal: file names may hold line breaks, escape codes, marks that turn the
    direction of what follows, and bytes that are no UTF-8.
    """
    return text.translate(CONTROLS).encode("utf-8", "backslashreplace").decode()
