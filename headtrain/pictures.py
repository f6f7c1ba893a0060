"""Figures that belong to no window and change no global state; matplotlib is an extra and imports late."""

from typing import TYPE_CHECKING

from amnet_common.errors import ExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches. Raises ExtraError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ExtraError("wanted matplotlib, found none; pip install 'amnet[figures]'") from error
    return Figure(figsize=(width, height), layout="constrained")
