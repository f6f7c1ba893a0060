"""The leaderboard: a row for each trained head, or for each configuration, with the settings that differ.

What is best is said by validation alone: the order, and the mark of a summary. Test figures only stand beside it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from amnet_common.errors import ConfigError
from amnet_common.files import finite
from headtrain.evaluation.metrics import METRICS
from headtrain.evaluation.resampled import mean_text, splits_word
from headtrain.leaderboard.facts import Row, description
from headtrain.leaderboard.listing import TrainedHead
from headtrain.leaderboard.text import HIGH, LOW, SPREAD
from headtrain.settings.configuration import Config

BOARD = {metric.board: metric for metric in METRICS.values() if metric.board}  # by column
OF_TEST = {f"{column}{end}" for column in BOARD for end in ("", SPREAD, LOW, HIGH)}
HIGHEST_FIRST = {"best", "val-rho", "test-rho-low", "test-rho-high"} | {
    column for column, metric in BOARD.items() if metric.higher_is_better
}
OPTIMISTIC = "optimistic: epoch chosen on the test list"
OTHER_LISTS = "not on the lists of the others: not comparable"
SEEN = "note: a mean of validation rho over splits has seen test images"
UNEVEN = "lists unequally often: not comparable"


def head_rows(heads: Sequence[TrainedHead]) -> list[Row]:
    """Return a row for each head, the highest validation rho first."""
    describe = description(heads)
    rows = [
        {
            "run": str(head.run),
            "status": head.status,
            "split": head.split,
            **describe(head),
            "val-rho": head.val_rho,
            **figures_of_test(head),
            "best-epoch": head.best_epoch,
            "epochs-trained": head.epochs,
            "minutes": head.seconds / 60,
            "note": OPTIMISTIC if head.optimistic else "",
        }
        for head in heads
    ]
    return ordered(without_empty(rows, "note"), "val-rho")


def with_damaged(rows: Sequence[Row], damaged: Sequence[tuple[Path, str]]) -> list[Row]:
    """Add a row for each run that cannot be read, with the reason as its note."""
    if not damaged:
        return list(rows)
    columns = dict.fromkeys([*(rows[0] if rows else ("run", "status")), "note"])
    found = [{**columns, **row} for row in rows]
    return found + [{**columns, "run": str(run), "status": "damaged", "note": why} for run, why in damaged]


def figures_of_test(head: TrainedHead) -> Row:
    """Return a head's test figures by column, None where one is not defined; rho has its interval beside it."""
    found: Row = {}
    for column, metric in BOARD.items():
        found[column] = finite(getattr(head.test, metric.name))
        if metric.name == "rho":
            found |= {f"{column}-low": finite(head.interval.low), f"{column}-high": finite(head.interval.high)}
    return found


def summary_rows(heads: Sequence[TrainedHead]) -> list[Row]:
    """Return a row for each configuration: means over splits and seeds. The best by validation is first, and marked.

    Means over other lists, or over lists that do not weigh the same, say nothing about which configuration is better:
    such rows come last.
    """
    describe, lists = description(heads), {lists_of(head) for head in heads if head.finished and not head.optimistic}
    rows = [summary_row(group, describe(group[0]), lists) for group in configurations(heads).values()]
    rows = ordered(rows, "val-rho")
    rows.sort(key=lambda row: row["note"] != "")
    rows[0]["best"] = rows[0]["note"] == "" and rows[0]["val-rho"] is not None
    return without_empty(rows, "unfinished", "note")


def without_test(rows: Sequence[Row]) -> tuple[list[Row], bool]:
    """Return the rows without the columns of test figures, and whether there is a figure among these."""
    kept = [{column: value for column, value in row.items() if column not in OF_TEST} for row in rows]
    return kept, any(row[column] is not None for row in rows for column in OF_TEST & row.keys())


def overlap_line(heads: Sequence[TrainedHead]) -> str:
    """Describe that a mean validation rho over splits has seen test images of these; empty where none has.

    Splits are drawn from the same images, so that one's validation list may hold images of another's test list.
    """
    groups = configurations(head for head in heads if head.finished and not head.optimistic).values()
    averaged = {lists_of(head): head.tested_elsewhere for group in groups if len({one.split for one in group}) > 1
                for head in group}  # fmt: skip
    seen = [count for count in averaged.values() if count is not None]
    if len(seen) < len(averaged):
        return f"{SEEN} where the splits overlap (how many, runs of older versions do not say)"
    if not any(seen):
        return ""
    return f"{SEEN}: {sum(seen)} images of {len(seen)} validation lists stand in another split's test list"


def mean_lines(heads: Sequence[TrainedHead]) -> Iterator[str]:
    """Yield the mean test rho of each configuration that was tested on several splits, seeds averaged, with an interval
    that knows that the splits' training lists overlap.
    """
    describe = description(heads)
    for group in configurations(head for head in heads if head.finished).values():
        of_split: dict[int, list[float]] = {}
        for head in group:
            of_split.setdefault(head.split, []).append(head.test.rho)
        test, train = (float(np.mean([head.lengths.get(name, 0) for head in group])) for name in ("test", "train"))
        rhos = [float(np.mean(values)) for values in of_split.values()]
        if text := mean_text(rhos, test, train, splits_word(head.folding for head in group)):
            named = ", ".join(f"{key}={value}" for key, value in describe(group[0]).items() if key != "seed")
            yield f"{named}: {text}" if named else text


def configurations(heads: Iterable[TrainedHead]) -> dict[tuple[Config, str, str], list[TrainedHead]]:
    """Group the heads that differ in nothing but seed and split."""
    groups: dict[tuple[Config, str, str], list[TrainedHead]] = {}
    for head in heads:
        config = replace(head.config, training=replace(head.config.training, seed=0))
        groups.setdefault((config, head.features, head.fingerprint), []).append(head)
    return groups


def lists_of(head: TrainedHead) -> tuple[int, str]:
    """Return a key for the images, with their scores, on which a head was trained, chosen and tested."""
    return head.split, head.images


def summary_row(heads: Sequence[TrainedHead], settings: Row, lists: set[tuple[int, str]]) -> Row:
    """Return the row of one configuration. `lists`: those that it must cover to be compared with the others."""
    finished = [head for head in heads if head.finished]
    figures: Row = {}
    for column in ("val-rho", *BOARD):
        values = [head.val_rho if column == "val-rho" else figures_of_test(head)[column] for head in finished]
        figures |= {column: mean(values), f"{column}-sd": spread(values)}
    return {
        "best": False,
        **{key: value for key, value in settings.items() if key != "seed"},
        "heads": len(finished),
        "unfinished": len(heads) - len(finished),
        "splits": len({head.split for head in finished}),
        "seeds": len({head.config.training.seed for head in finished}),
        **figures,
        "epochs-trained": mean([head.epochs for head in finished]),
        "minutes": sum(head.seconds for head in finished) / 60,
        "note": why_not_comparable(finished, lists),
    }


def why_not_comparable(finished: Sequence[TrainedHead], lists: set[tuple[int, str]]) -> str:
    """Say why the mean of these heads may not be compared; empty where it may."""
    counts = Counter(map(lists_of, finished))
    if any(head.optimistic for head in finished):
        return OPTIMISTIC
    if counts.keys() != lists:
        return OTHER_LISTS
    return UNEVEN if len(set(counts.values())) > 1 else ""


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None if there is no value, or one of them is not defined."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def spread(values: Sequence[float | None]) -> float | None:
    """Return the standard deviation of a sample; None where it is not defined, as of one value."""
    known = [value for value in values if value is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 and len(known) == len(values) else None


def ordered(rows: Sequence[Row], column: str, reverse: bool = False) -> list[Row]:
    """Sort rows by a column: rho from the highest down, others from the lowest up; cells without a value come last.

    `reverse` turns the order of the values around. Raises ConfigError if there is no such column.
    """
    if column not in rows[0]:
        raise ConfigError(f"--sort: expected one of {', '.join(rows[0])}, found {column!r}")
    known = [row for row in rows if row[column] is not None]
    down = (column in HIGHEST_FIRST) != reverse
    return sorted(known, key=lambda row: row[column], reverse=down) + [row for row in rows if row[column] is None]


def without_empty(rows: Sequence[Row], *columns: str) -> list[Row]:
    """Return the rows without those of `columns` that say nothing in any of them."""
    empty = {column for column in columns if not any(row[column] for row in rows)}
    return [{column: value for column, value in row.items() if column not in empty} for row in rows]
