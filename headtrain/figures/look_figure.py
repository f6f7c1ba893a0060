"""The paper's Figure 5: images as a head sees them, step by step. A line an image: the picture with the view's outline,
a heat map over it for each step with what the step adds to the score beneath, and the steps as a small plot.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headtrain.figures.attention_maps import ALIKE, SCALE, corners, entropy_of, is_alike, on_image, peak_of
from headtrain.figures.looks import Look
from headtrain.figures.pictures import new_figure, refuse_other_ending, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = 2.3  # of a picture
MIDDLE_GREY = 0.6
OUTSIDE = 0.4  # how bright the picture is around the view
MOST_COVER = 0.75  # of the picture by the heat map, where the weight is highest


def draw_looks(looks: Sequence[Look], out: Path, view: int = 0) -> None:
    """Draw the looks, a line each, as a PNG, SVG or PDF file; `view` is said if it is not the evaluation view.

    Raises ConfigError for another ending, ExtraError without matplotlib, OutputError.
    """
    refuse_other_ending(out)
    T = len(looks[0].steps)
    figure = new_figure(INCHES * (T + 2), (INCHES + 0.35) * len(looks) + 0.2)
    axes = figure.subplots(len(looks), T + 2, squeeze=False)
    if view:
        figure.suptitle(f"augmented view {view}", fontsize=9)
    low, high = min(look.steps.min() for look in looks), max(look.steps.max() for look in looks)
    for line, look in zip(axes, looks, strict=True):
        _draw_picture(line[0], look)
        for t in range(T):
            _draw_step(line[t + 1], look, t)
        _draw_steps(line[-1], look, low, high)
    figure.supxlabel(SCALE, fontsize=8)
    save(figure, out)


def _draw_picture(axis: "Axes", look: Look) -> None:
    top, left, bottom, right, _ = corners(look.box)
    axis.imshow(look.picture if look.picture else _stand_in(look), cmap="gray", vmin=0, vmax=1)
    outline = [left, right, right, left, left], [top, top, bottom, bottom, top]
    axis.plot(*outline, color="black", linewidth=2.5)
    axis.plot(*outline, color="white", linewidth=1)
    label = "" if math.isnan(look.label) else f", true {look.label:.2f}"
    axis.set_title(f"{_shortened(look.id)}\nscore {look.score:.2f}{label}", fontsize=8, parse_math=False)
    if look.missing:
        where: dict[str, Any] = {"transform": axis.transAxes, "ha": "center", "va": "center"}
        axis.text(0.5, 0.5, f"no picture:\n{look.missing}", fontsize=7, wrap=True, parse_math=False, **where)
    _bare(axis, look)


def _draw_step(axis: "Axes", look: Look, t: int) -> None:
    heat = on_image(look.attention[t], look.box, look.width, look.height, look.grid)  # (H, W), NaN around the view
    grey = np.asarray(look.picture.convert("L")) / 255 if look.picture else _stand_in(look)
    axis.imshow(np.where(np.isnan(heat), OUTSIDE * grey, grey), cmap="gray", vmin=0, vmax=1)
    axis.imshow(heat, cmap="inferno", alpha=MOST_COVER * np.nan_to_num(heat), vmin=0, vmax=1)
    axis.set_title(f"step {t + 1}", fontsize=8)
    seen = look.attention[t]
    said = f"{look.steps[t]:+.3f}; peak {peak_of(seen):.1f} times the mean\nentropy {entropy_of(seen):.3f}"
    axis.set_xlabel(f"{said}, {ALIKE}" if is_alike(seen) else said, fontsize=7)
    _bare(axis, look)


def _draw_steps(axis: "Axes", look: Look, low: float, high: float) -> None:
    numbers, room = np.arange(1, len(look.steps) + 1), 0.1 * (high - low) + 1e-6
    axis.plot(numbers, look.steps, marker="o", color="black")
    axis.set_xticks(numbers)
    axis.set_xlim(0.5, len(numbers) + 0.5)
    axis.set_ylim(low - room, high + room)  # the same for all images
    axis.tick_params(labelsize=7)
    axis.set_title("step scores", fontsize=8)


def _bare(axis: "Axes", look: Look) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlim(-0.5, look.width - 0.5)
    axis.set_ylim(look.height - 0.5, -0.5)


def _stand_in(look: Look) -> np.ndarray:
    return np.full((look.height, look.width), MIDDLE_GREY)


def _shortened(id_: str) -> str:
    text = id_.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if len(text) <= 32 else f"...{text[-29:]}"
