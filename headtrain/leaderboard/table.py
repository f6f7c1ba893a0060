"""One Markdown table of several systems over their splits, with the published figures below."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from headtrain.evaluation.bootstrap import mean_interval
from headtrain.evaluation.published import FIGURES, HUMAN
from headtrain.runs.results import RunResult

MOST_SPLITS = 5  # that are listed one by one
COLUMNS = ("system", "data", "splits", "test rho", "95 %", "each split", "MSE", "Pearson", "slope", "predicted",
           "scores", "of human", "epochs", "min", "note")  # fmt: skip


def table_lines(systems: Sequence[tuple[str, Sequence[RunResult]]], data: str | None) -> Iterator[str]:
    """The table. `data`: what the runs' images are, LaMem, SUN, LNSIM, or None for other images.

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
    """The cells of one system."""
    metrics = [result.metrics for result in results]
    rho = np.array([m.rho for m in metrics])
    bounds = mean_interval([result.predictions for result in results])
    spread = f" ± {rho.std(ddof=1):.3f}" if len(rho) > 1 else ""
    mean = {key: np.mean([getattr(m, key) for m in metrics]) for key in ("mse", "pearson", "slope")}
    low, high = (min(m.predicted_low for m in metrics), max(m.predicted_high for m in metrics))
    lowest, highest = (min(m.score_low for m in metrics), max(m.score_high for m in metrics))
    each = ", ".join(f"{value:.3f}" for value in rho[:MOST_SPLITS]) + " ..." * (len(rho) > MOST_SPLITS)
    share = f"{rho.mean() / HUMAN[data]:.0%}" if data in HUMAN else ""
    epochs = ", ".join(str(r.facts["best"]["epoch"]) for r in results if "best" in r.facts)
    minutes = sum(float(r.facts.get("seconds", 0)) for r in results) / 60
    optimistic = any("optimistic" in str(r.facts.get("selected_on")) for r in results)
    cells = (
        data or "these images", str(len(results)), f"{rho.mean():.3f}{spread}",
        f"{bounds.low:.3f} to {bounds.high:.3f}", each,
        f"{mean['mse']:.4f}", f"{mean['pearson']:.3f}", f"{mean['slope']:.2f}", f"{low:.2f} to {high:.2f}",
        f"{lowest:.2f} to {highest:.2f}", share, epochs, f"{minutes:.0f}",
        "optimistic: epoch chosen on the test list" if optimistic else "",
    )  # fmt: skip
    return name, *("-" if "nan" in cell else cell for cell in cells)


def published_rows(data: str | None) -> Iterator[tuple[str, ...]]:
    """The figures of the literature on this data; on LaMem where the images are others, which is said."""
    shown = data if data in ("LaMem", "SUN") else "LaMem"
    for figure in FIGURES:
        if figure.data == shown:
            mse = "" if figure.mse is None else f"{figure.mse:.4f}"
            notes = ["published", figure.note, "" if data == shown else "other images: not comparable"]
            cells = dict.fromkeys(COLUMNS, "") | {"system": figure.system, "data": figure.data, "MSE": mse}
            cells |= {"test rho": f"{figure.rho:.4g}", "note": "; ".join(filter(None, notes))}
            yield tuple(cells[column] for column in COLUMNS)


def name_of(run: Path, results: Sequence[RunResult]) -> str:
    """How the table names a run."""
    return str(results[0].facts.get("system") or f"{results[0].facts.get('preset', 'run')} ({run.name})")
