"""The paper's Figure 3: how a training went, epoch by epoch; of one run, or of the runs of several splits together.

Training stands on the left, validation on the right. Each quantity has a panel of its own: their scales are orders of
magnitude apart. Curves differ in line and marker, so that they can be told apart without colour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from amnet_common.errors import RunError
from headtrain.figures.pictures import new_figure, refuse_other_ending, save
from headtrain.runs.documents import read_begun
from headtrain.runs.folder import LOG, RUN, split_folders
from headtrain.runs.log import Epoch, read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = "curves.png"
PANELS = {
    "squared_error": "squared error (training scale)",
    "val_mse": "MSE (data's scale)",
    "penalty": "attention penalty (before λ)",
    "val_rho": "Spearman's rho",
}  # fields of Epoch, row by row: training left, validation right
TRAINING, VALIDATION, OPTIMISTIC = "Training", "Validation", "Test list (it chose the epochs: optimistic)"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000")  # Okabe and Ito: safe for colour-blind eyes
LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v")
MOST_MARKERS = 20  # on a curve


class Mark(NamedTuple):
    """Describe a distinguished epoch: the last whose `flag` is set, for its value of `field`."""

    flag: str
    field: str
    text: str
    form: str
    style: dict[str, Any]


MARKS = (
    Mark("best", "val_rho", "highest rho", ".4f",
         {"marker": "*", "markersize": 14, "markerfacecolor": "black", "markeredgecolor": "white"}),
    Mark("lowest_mse", "val_mse", "lowest MSE", ".5f",
         {"marker": "o", "markersize": 13, "markerfacecolor": "none", "markeredgecolor": "black"}),
)  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """Hold the log of one run; `epochs` is not empty."""

    run: Path
    epochs: Sequence[Epoch]
    optimistic: bool = False  # epochs were chosen on the test list

    def marked(self, mark: Mark) -> Epoch | None:
        """Return the epoch that `mark` stands for; None if its value is undefined in every epoch."""
        found = [epoch for epoch in self.epochs if getattr(epoch, mark.flag)]
        return found[-1] if found and not math.isnan(getattr(found[-1], mark.field)) else None


def draw_curves(run: Path, out: Path) -> None:
    """Draw a run's log, finished or not, or all in a folder of split-1, split-2 and so on, as a PNG, SVG or
    PDF picture.

    Raises ConfigError for another file ending, ExtraError without matplotlib, RunError if there is no log or a damaged
    one, OutputError.
    """
    refuse_other_ending(out)
    save(figure_of(curves_of(run), "/".join(run.resolve().parts[-2:])), out)


def curves_of(run: Path) -> list[Curve]:
    """Read the curves below `run`, in the order of splits; those without an epoch yet are left out. Raises RunError."""
    folders = [run] if (run / LOG).exists() else split_folders(run)
    curves = [curve_of(folder) for folder in folders if (folder / LOG).exists()]
    if not curves:
        raise RunError(f"{run}: expected a run with {LOG}, which has a line after the first epoch, or a folder of "
                       "split-1, split-2 ..., found neither")  # fmt: skip
    return curves


def curve_of(run: Path) -> Curve:
    """Read the curve of one run. Raises RunError if its log is missing or damaged."""
    return Curve(run, read_log(run), (run / RUN).exists() and read_begun(run).optimistic)


def figure_of(curves: Sequence[Curve], title: str) -> "Figure":
    """Draw four panels, below them what line, marker and mark mean. Raises ExtraError without matplotlib."""
    figure = new_figure(9, 6.5)
    figure.suptitle(title, parse_math=False)  # a name may hold a dollar sign
    panels = figure.subplots(2, 2, sharex=True)
    for axes, name in zip(panels.flat, PANELS, strict=True):
        draw_panel(axes, name, curves)
    panels[0, 0].set_title(TRAINING)
    panels[0, 1].set_title(OPTIMISTIC if any(curve.optimistic for curve in curves) else VALIDATION)
    for axes in panels[1]:
        axes.set_xlabel("epoch")
    lines = {str(line.get_label()): line for axes in panels.flat for line in axes.get_lines()}
    handles = [line for label, line in lines.items() if not label.startswith("_")]  # matplotlib's name for no label
    figure.legend(handles=handles, loc="outside lower center", ncols=7, columnspacing=1.2, frameon=False)
    return figure


def draw_panel(axes: "Axes", name: str, curves: Sequence[Curve]) -> None:
    """Draw one quantity of every curve. Several curves are marked only where a mark's own quantity is shown."""
    for number, curve in enumerate(curves):
        draw_line(axes, name, curve, number, curve.run.name if len(curves) > 1 else None)
    for mark in MARKS:
        if len(curves) == 1 or mark.field == name:
            draw_mark(axes, name, curves, mark)
    axes.set_ylabel(PANELS[name])
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlim(0, max(len(curve.epochs) for curve in curves) + 1)
    axes.locator_params(axis="x", integer=True)
    axes.grid(color="0.9")


def draw_line(axes: "Axes", name: str, curve: Curve, number: int, label: str | None) -> None:
    """Draw a curve; each of 25 numbers has a line and a marker that no other has together."""
    kind, turn = number % len(LINES), number // len(LINES)
    axes.plot(
        [epoch.epoch for epoch in curve.epochs],
        [getattr(epoch, name) for epoch in curve.epochs],
        label=label,
        color=COLOURS[kind],
        linestyle=LINES[kind],
        marker=MARKERS[(kind + turn) % len(MARKERS)],
        markersize=4,
        markevery=-(-len(curve.epochs) // MOST_MARKERS),
    )


def draw_mark(axes: "Axes", name: str, curves: Sequence[Curve], mark: Mark) -> None:
    """Draw the same mark on every curve; of a single curve its label says which epoch and how much."""
    epochs = [epoch for curve in curves if (epoch := curve.marked(mark))]
    label = mark.text
    if len(curves) == len(epochs) == 1:
        label += f": {getattr(epochs[0], mark.field):{mark.form}}, epoch {epochs[0].epoch}"
    numbers, values = [epoch.epoch for epoch in epochs], [getattr(epoch, name) for epoch in epochs]
    axes.plot(numbers, values, label=label, linestyle="none", zorder=3, **mark.style)
