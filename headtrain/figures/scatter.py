"""Predicted against human scores, an image a point, a panel for each head that was tested."""

import math
import os
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from headtrain.evaluation.metrics import evaluate
from headtrain.evaluation.predictions import Predictions
from headtrain.figures.pictures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4  # of panels, at most
SIDE = 4.2  # inches of a panel
MOST_DRAWN = 2000  # points as shapes of an SVG; of more it keeps a picture
TITLE = 44  # characters of a line, of which a name has two
MARGIN = 0.04  # of the range of scores, around it


def scatter_figure(tested: Mapping[str, Predictions], score_name: str = "score") -> "Figure":
    """Draw what was predicted for test images against what people said, by the name of the head: both axes on one
    scale, which is the same in all panels, with the diagonal and the calibration line. Raises ExtraError without
    matplotlib.
    """
    columns = min(COLUMNS, len(tested))
    rows = math.ceil(len(tested) / columns)
    figure = new_figure(SIDE * columns, (SIDE + 0.5) * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    limits = one_scale(tested)
    for axes, (name, predictions) in zip(panels, tested.items(), strict=False):
        _panel(axes, name, predictions, limits)
        axes.set_xlabel(f"human {score_name}", parse_math=False)
        axes.set_ylabel(f"predicted {score_name}", parse_math=False)
    for axes in panels[len(tested) :]:
        axes.remove()
    return figure


def one_scale(tested: Mapping[str, Predictions]) -> tuple[float, float]:
    """Return the ends of the one scale on which all human and predicted scores lie."""
    every = np.concatenate([part for one in tested.values() for part in (one.scores, one.predicted)])
    low, high = float(every.min()), float(every.max())
    margin = MARGIN * (high - low) or 0.5
    return low - margin, high + margin


def _panel(axes: "Axes", name: str, predictions: Predictions, limits: tuple[float, float]) -> None:
    human, predicted = predictions.scores, predictions.predicted
    found = evaluate(predicted, human)
    faint = 0.8 if len(human) <= MOST_DRAWN else 0.25
    axes.plot(limits, limits, color="0.6", linestyle="--", linewidth=1, label="both are equal", zorder=1)
    axes.scatter(human, predicted, s=12, facecolors="none", edgecolors="0.35", linewidths=0.7, alpha=faint,
                 rasterized=len(human) > MOST_DRAWN, zorder=2)  # fmt: skip
    if math.isfinite(found.slope):
        ends = np.array([predicted.min(), predicted.max()])
        said = f"score = {found.slope:.2f} · prediction {found.intercept:+.2f}"
        axes.plot(found.slope * ends + found.intercept, ends, color="black", linewidth=1.8, label=said, zorder=3)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set_yticks([tick for tick in axes.get_xticks() if limits[0] <= tick <= limits[1]])
    axes.set_xticks(axes.get_yticks())
    rho = "undefined" if math.isnan(found.rho) else f"{found.rho:.3f}"
    axes.set_title(f"{_title(name)}\nrho {rho}, {len(human)} images", parse_math=False, fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _title(name: str) -> str:
    """The end of a name that may be a long path, in lines that fit a panel."""
    shown = os.fsencode(name).decode(errors="replace")
    return textwrap.fill(shown if len(shown) < 2 * TITLE else f"... {shown[8 - 2 * TITLE :]}", TITLE)
