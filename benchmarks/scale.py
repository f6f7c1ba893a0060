"""What collections of any size cost, by arithmetic from rates that were measured: the tables of docs/scale.md.

    python benchmarks/scale.py

Every input stands in the first table; change them here to what your machines do.
"""

from dataclasses import dataclass

from amnet_common.collection.layout import image_dtype

VIEW_BYTES = {"float16": 2 * 14 * 14 * 1024, "uint8": 14 * 14 * 1024}
ID_BYTES = 40
TRUNK = 5_000  # views/s of a card
DECODED, CUT, CORES = 1_300, 1_300, 16  # images/s and views/s of a core; cores beside a card
LOCK = 5_000  # views/s that one process reads and cuts at most
DISK = {"one card": 0.6, "eight cards": 5.0, "64 nodes of eight": 400.0}  # GB/s that are written
CARDS = {"one card": 1, "eight cards": 8, "64 nodes of eight": 512}
SCORED = 20_000  # images/s of a card that scores, where its disk gives them
CARD_HOUR, TERABYTE_MONTH = 3.0, 20.0  # dollars


@dataclass(frozen=True)
class Library:
    """Name a library: images, and views of each."""

    name: str
    images: int
    views: int


LIBRARIES = (
    Library("LaMem, 10 crops", 58_741, 11),
    Library("1 million", 10**6, 1),
    Library("1 million, 10 crops", 10**6, 11),
    Library("100 million", 10**8, 1),
    Library("10 billion", 10**10, 1),
)


def inputs() -> list[tuple[str, str, str]]:
    """Return what the tables are computed from: what, how much, and where it is from."""
    return [
        ("a view", f"{VIEW_BYTES['float16']:,} bytes float16, {VIEW_BYTES['uint8']:,} uint8", "the format"),
        ("trunk on one H100", f"{TRUNK:,} views/s", "measured: 1,276 views/s while it was busy a quarter of the time"),
        ("decoding on one core", f"{DECODED:,} images/s", "measured, of 500 x 375 pixels"),
        ("cutting on one core", f"{CUT:,} views/s", "measured"),
        ("both in one process, by Python's lock", f"{LOCK:,} views/s", "measured with pretended cores"),
        ("cores beside a card", f"{CORES}", "as that H100 had"),
        ("disk of one card", f"{DISK['one card']} GB/s written", "measured on that machine"),
        ("disk of eight cards", f"{DISK['eight cards']:g} GB/s", "assumed: several local NVMe disks"),
        ("file system of 64 nodes", f"{DISK['64 nodes of eight']:g} GB/s", "assumed: their disks, or a parallel one"),
        ("a card for an hour, a terabyte for a month", f"{CARD_HOUR:g} and {TERABYTE_MONTH:g} dollars", "assumed"),
    ]  # fmt: skip


def table_bytes(library: Library) -> int:
    """Return the bytes of a collection beside its features."""
    return library.images * (image_dtype(ID_BYTES).itemsize + 24 * library.views + 8)


def feature_bytes(library: Library, dtype: str) -> int:
    """Return the bytes of the features."""
    return library.images * library.views * VIEW_BYTES[dtype]


def extraction(library: Library, where: str, dtype: str) -> tuple[float, str]:
    """Return the seconds that an extraction takes, and what is the limit: the slowest of what goes on side by side."""
    views, cards = library.images * library.views, CARDS[where]
    seconds = {
        "trunk": views / (TRUNK * cards),
        "pictures": max((library.images / DECODED + views / CUT) / CORES, views / LOCK) / cards,
        "disk": feature_bytes(library, dtype) / (DISK[where] * 1e9),
    }
    slowest = max(seconds, key=lambda name: seconds[name])
    return seconds[slowest], slowest


def lasting(seconds: float) -> str:
    """Return a time as text."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= (2 if unit == "days" else 1) * size:
            return f"{seconds / size:,.3g} {unit}" if seconds / size < 1000 else f"{seconds / size:,.0f} {unit}"
    return "under a minute"


def size(count: float) -> str:
    """Return a number of bytes as text."""
    for unit, least in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if count >= least:
            return f"{count / least:.3g} {unit}"
    return f"{count / 1e6:.3g} MB"


def tables() -> str:
    """Return the tables as Markdown."""
    lines = ["| input | | from |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in inputs()), ""]
    lines += ["| library | float16 | uint8 | tables | a month of uint8 |", "|---|---|---|---|---|"]
    for one in LIBRARIES:
        month = feature_bytes(one, "uint8") / 1e12 * TERABYTE_MONTH
        lines.append(f"| {one.name} | {size(feature_bytes(one, 'float16'))} | {size(feature_bytes(one, 'uint8'))} "
                     f"| {size(table_bytes(one))} | {month:,.0f} dollars |")  # fmt: skip
    lines += ["", f"| uint8, time and limit | {' | '.join(CARDS)} | cards' cost, one at a time |",
              f"|---{'|---' * (len(CARDS) + 1)}|"]  # fmt: skip
    for one in LIBRARIES:
        times = [extraction(one, where, "uint8") for where in CARDS]
        cost = times[0][0] / 3600 * CARD_HOUR
        cells = " | ".join(f"{lasting(seconds)}, {limit}" for seconds, limit in times)
        lines.append(f"| {one.name} | {cells} | {cost:,.2f} dollars |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(tables(), end="")
