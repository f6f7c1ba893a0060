"""Figures that belong to no window and change no global state; matplotlib is an extra and imports late."""

from pathlib import Path
from typing import TYPE_CHECKING

from amnet_common.errors import ConfigError, ExtraError
from amnet_common.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
ALSO = (".pdf",)
DPI = 300  # as journals want it
MOST_PIXELS = 20_000  # of the longer side of a PNG, whose memory would not be there else: fewer dots an inch then


def refuse_other_ending(out: Path) -> None:
    """Raise ConfigError for a file that is no PNG, SVG or PDF picture by its name."""
    if out.suffix.lower() not in FORMATS + ALSO:
        raise ConfigError(f"--out {out}: expected a file ending in {' or '.join(FORMATS)}, found "
                          f"{out.suffix or 'none'}; {' or '.join(ALSO)} serves as well")  # fmt: skip


def new_figure(width: float, height: float) -> "Figure":
    """Make an empty figure of `width` x `height` inches. Raises ExtraError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ExtraError("expected matplotlib, found none; pip install 'amnet[figures]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def refuse_without_matplotlib() -> None:
    """Raise ExtraError without matplotlib, before there is anything to draw."""
    new_figure(1, 1)


def save(figure: "Figure", out: Path) -> None:
    """Write the picture at print resolution, whole or not at all. Raises OutputError."""
    dpi = min(float(DPI), MOST_PIXELS / max(figure.get_size_inches()))
    with whole_file(out) as temporary:
        figure.savefig(temporary, format=out.suffix[1:].lower(), dpi=dpi)
