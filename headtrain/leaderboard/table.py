"""One Markdown table of several systems over their splits, with what is published on the same data below."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from headtrain.evaluation.bootstrap import mean_interval
from headtrain.evaluation.metrics import METRICS, mean_of
from headtrain.evaluation.published import FIGURES, HUMAN
from headtrain.evaluation.resampled import mean_text, splits_word
from headtrain.leaderboard.board import OPTIMISTIC
from headtrain.runs.results import RunResult, mean_lengths

MOST_SPLITS = 5  # that are listed one by one
MEANS = [metric for metric in METRICS.values() if metric.column and metric.name != "rho"]
COLUMNS = ("system", "data", "splits", "test rho", "95 %", "each split", *(metric.column for metric in MEANS),
           "predicted", "scores", "of human", "epochs", "min", "note")  # fmt: skip


def table_lines(systems: Sequence[tuple[str, Sequence[RunResult]]], data: str | None) -> Iterator[str]:
    """Yield the lines of the table. `data`: what the runs' images are, LaMem, SUN, LNSIM, or None for other images.

    rho is the mean over the splits with their standard deviation; the interval is bootstrapped over images, which the
    splits share. A run whose epoch was chosen on the test list is marked as optimistic.
    """
    rows = [COLUMNS, *(system_row(name, results, data) for name, results in systems), *published_rows(data)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    for number, row in enumerate(rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def system_row(name: str, results: Sequence[RunResult], data: str | None) -> tuple[str, ...]:
    """Return the cells of one system, a text for each of COLUMNS."""
    metrics = [result.metrics for result in results]
    rho = np.array([one.rho for one in metrics])
    bounds = mean_interval([result.predictions for result in results])
    spread = f" ± {rho.std(ddof=1):.3f}" if len(rho) > 1 else ""
    low, high = (min(m.predicted_low for m in metrics), max(m.predicted_high for m in metrics))
    lowest, highest = (min(m.score_low for m in metrics), max(m.score_high for m in metrics))
    each = ", ".join(f"{value:.3f}" for value in rho[:MOST_SPLITS]) + " ..." * (len(rho) > MOST_SPLITS)
    said = [result.result for result in results]
    cells = {
        "data": data or "these images",
        "splits": str(len(results)),
        "test rho": f"{rho.mean():.3f}{spread}",
        "95 %": f"{bounds.low:.3f} to {bounds.high:.3f}",
        "each split": each,
        **{one.column: f"{mean_of(metrics, one.name):.{one.digits}f}" for one in MEANS},
        "predicted": f"{low:.2f} to {high:.2f}",
        "scores": f"{lowest:.2f} to {highest:.2f}",
        "of human": f"{rho.mean() / HUMAN[data]:.0%}" if data in HUMAN else "",
        "epochs": ", ".join(str(one.best.epoch) for one in said if one.best),
        "min": f"{sum(one.seconds for one in said) / 60:.0f}",
        "note": OPTIMISTIC if any(one.optimistic for one in said) else "",
    }
    defined = {column: "-" if "nan" in cell else cell for column, cell in cells.items()}
    return name, *(defined[column] for column in COLUMNS[1:])


def mean_line(results: Sequence[RunResult]) -> str:
    """Describe the mean test rho over several splits with an interval that knows that their training lists overlap.

    Empty for one split, where rho is not defined on one, or of a run that does not say how long its lists are.
    """
    rhos, word = [one.metrics.rho for one in results], splits_word(one.result.folding for one in results)
    return mean_text(rhos, *mean_lengths(results), word)


def published_rows(data: str | None) -> Iterator[tuple[str, ...]]:
    """Yield the figures of the literature on this data; none on other images, which they do not speak of."""
    for figure in FIGURES:
        if figure.data == data:
            mse = "" if figure.mse is None else f"{figure.mse:.4f}"
            cells = dict.fromkeys(COLUMNS, "") | {"system": figure.system, "data": figure.data, "MSE": mse}
            cells |= {"test rho": f"{figure.rho:.4g}", "note": "; ".join(filter(None, ["published", figure.note]))}
            yield tuple(cells[column] for column in COLUMNS)


def name_of(run: Path, results: Sequence[RunResult]) -> str:
    """Return how the table names a run."""
    first = results[0].result
    return first.system or f"{first.preset or 'run'} ({run.name})"
