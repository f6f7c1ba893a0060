"""Figures 4, 6 and 7 of the paper, of one's own runs. Hatching and outlines tell things apart without colour."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from headtrain.evaluation.metrics import spearman
from headtrain.evaluation.published import FIGURES
from headtrain.figures.pictures import new_figure
from headtrain.runs.results import RunResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BINS = 30
LIGHT, DARK = "0.85", "0.25"


class Steps(NamedTuple):
    """Hold the human scores and the step scores of n test images."""

    scores: np.ndarray  # (n,) human scores
    steps: np.ndarray  # (n, T) step scores of a head


def histogram(results: Sequence[RunResult], title: str, score_name: str = "score") -> "Figure":
    """Draw Figure 4: how human and predicted scores of the test images are distributed; of several splits together.
    Raises ExtraError without matplotlib.
    """
    human, predicted = (
        np.concatenate([getattr(result.predictions, name) for result in results]) for name in ("scores", "predicted")
    )
    bins = min(MOST_BINS, math.isqrt(len(human)) + 1)
    edges = np.histogram_bin_edges(np.concatenate([human, predicted]), bins).tolist()
    figure = new_figure(6, 4)
    axes = figure.subplots()
    axes.hist(human, edges, color=LIGHT, edgecolor="0.5", label=f"human, sd {human.std():.3f}")
    axes.hist(predicted, edges, histtype="step", color="black", linewidth=1.8,
              label=f"predicted, sd {predicted.std():.3f}")  # fmt: skip
    axes.locator_params(axis="y", integer=True)
    axes.set_xlabel(score_name, parse_math=False)
    axes.set_ylabel(f"test images of {len(results)} split{'s' * (len(results) > 1)}")
    axes.set_title(title, parse_math=False, fontsize=10)
    axes.legend(frameon=False)
    return figure


def slopes(steps: np.ndarray) -> np.ndarray:
    """Return the slopes (n,) of the least squares lines through each image's step scores (n, T) at t = 1 to T."""
    t = np.arange(steps.shape[1]) - (steps.shape[1] - 1) / 2  # (T,), zero mean
    return steps @ t / (t @ t)


def slope_figure(found: Steps, title: str, score_name: str = "score") -> "Figure":
    """Draw Figure 6: the slope of an image's step scores against its memorability, with the least squares line. Raises
    ExtraError without matplotlib.
    """
    slope = slopes(found.steps)
    figure = new_figure(6, 4.5)
    axes = figure.subplots()
    axes.scatter(found.scores, slope, s=12, facecolors="none", edgecolors="0.35", linewidths=0.7)
    line = np.polynomial.Polynomial.fit(found.scores, slope, 1)
    ends = np.array([found.scores.min(), found.scores.max()])
    axes.plot(ends, line(ends), color="black", linewidth=2, label=f"rho {spearman(slope, found.scores):.3f}")
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axes.set_xlabel(f"human {score_name}", parse_math=False)
    axes.set_ylabel("slope of the step scores, a step")
    axes.set_title(title, parse_math=False, fontsize=10)
    axes.legend(frameon=False)
    return figure


def comparison(systems: Sequence[tuple[str, Sequence[RunResult]]], data: str | None) -> "Figure":
    """Draw Figure 7: mean test rho of runs, dark, among the published figures of their data set; on other images among
    those of LaMem, which is said. Raises ExtraError without matplotlib.
    """
    shown = data if data in ("LaMem", "SUN") else "LaMem"
    bars = [(f.system, f.rho, 0.0, LIGHT, "") for f in FIGURES if f.data == shown]
    for name, results in systems:
        rhos = np.array([result.metrics.rho for result in results])
        marked = f"{name} (optimistic)" if any(result.result.optimistic for result in results) else name
        bars.append((marked, float(rhos.mean()), float(rhos.std(ddof=1)) if len(rhos) > 1 else 0.0, DARK, "//"))
    bars.sort(key=lambda bar: bar[1])
    figure = new_figure(7, 0.8 + 0.38 * len(bars))
    axes = figure.subplots()
    for y, (_, rho, spread, colour, hatch) in enumerate(bars):
        axes.barh(y, rho, xerr=spread or None, color=colour, edgecolor="black", hatch=hatch, capsize=3, height=0.7)
        axes.text(rho + spread + 0.01, y, f"{rho:.3f}", va="center", fontsize=8)
    axes.set_yticks(range(len(bars)), [bar[0] for bar in bars], fontsize=8)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_xlim(min(0.0, *(bar[1] for bar in bars)), 1.12 * max(bar[1] + bar[2] for bar in bars))
    axes.set_xlabel("Spearman's rho on the test lists, mean over splits")
    own = f"published on {shown} (light), these runs (dark)"
    axes.set_title(own if shown == data else f"{own}: other images, not comparable", fontsize=9)
    return figure
