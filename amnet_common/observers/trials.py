"""The trials of a memorability experiment, from a CSV table: who saw which image, for the first time or again, and what
was said of it.
"""

import csv
from array import array
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np

from amnet_common.datasets.any_table import table_lines
from amnet_common.datasets.records import checked_id
from amnet_common.errors import DatasetError
from amnet_common.files import whole_file
from amnet_common.observers.measures import MEASURES, Counts, d_prime, false_alarm_rate
from amnet_common.small_texts import shortened

COLUMNS = ("id", "observer", "trial", "response")
OUTCOMES = {  # by trial and response; 1: said to have been seen before
    ("repeat", "hit"): 0, ("repeat", "1"): 0, ("repeat", "miss"): 1, ("repeat", "0"): 1,
    ("foil", "false-alarm"): 2, ("foil", "1"): 2, ("foil", "rejection"): 3, ("foil", "0"): 3,
}  # fmt: skip
FOIL = 2  # the first outcome of a foil
KINDS = 4  # of outcomes: hits, misses, false alarms, rejections
RESPONSES = {trial: [said for kind, said in OUTCOMES if kind == trial] for trial in ("repeat", "foil")}


@dataclass(frozen=True, eq=False)
class Trials:
    """Hold T trials of n images and their observers."""

    ids: tuple[str, ...]  # in the order in which the table names them first
    observers: tuple[str, ...]  # sorted: the order of the lines changes nothing
    image: np.ndarray  # (T,) int64, of `ids`
    observer: np.ndarray  # (T,) int64, of `observers`
    outcome: np.ndarray  # (T,) uint8: 0 hit, 1 miss, 2 false alarm, 3 rejection

    def counts(self, keep: np.ndarray | slice = slice(None)) -> Counts:
        """Count the outcomes of each image, in the trials of `keep` (T,) bool."""
        place = KINDS * self.image[keep] + self.outcome[keep]
        return Counts(*np.bincount(place, minlength=KINDS * len(self.ids)).reshape(-1, KINDS).T)

    @property
    def again(self) -> int:
        """Count the trials whose observer had the same image in a trial of that kind before."""
        kinds = (self.outcome >= FOIL) + 2 * (self.image + len(self.ids) * self.observer)
        return len(kinds) - len(np.unique(kinds))


def read_trials(path: Path) -> Trials:
    """Read a table id,observer,trial,response.

    trial is repeat or foil; response is hit or miss of a repeat, false-alarm or rejection of a foil, or 1 or 0 of both:
    said to have been seen before, or not.

    Raises DatasetError that names file and line.
    """
    images: dict[str, int] = {}
    observers: dict[str, int] = {}
    image, observer, outcome = array("q"), array("q"), array("B")
    for where, line in table_lines(path, "trials", COLUMNS):
        id_ = checked_id((line["id"] or "").strip(), where)
        name = (line["observer"] or "").strip()
        if not name:
            raise DatasetError(f"{where}: expected an observer, found none")
        outcome.append(_outcome(line, where))
        image.append(images.setdefault(id_, len(images)))
        observer.append(observers.setdefault(name, len(observers)))
    if not images:
        raise DatasetError(f"trials {path}: expected at least one trial, found none")
    place = {name: number for number, name in enumerate(sorted(observers))}
    in_order = np.array([place[name] for name in observers])
    return Trials(tuple(images), tuple(place), np.array(image), in_order[np.array(observer)], np.array(outcome))


def _outcome(line: dict[str, str], where: str) -> int:
    trial = (line["trial"] or "").strip().lower()
    if trial not in RESPONSES:
        raise DatasetError(f"{where}: expected trial to be repeat or foil, found {shortened(trial)}")
    response = "-".join((line["response"] or "").lower().split())
    if (trial, response) not in OUTCOMES:
        raise DatasetError(f"{where}: expected response to a {trial} to be {', '.join(RESPONSES[trial])}, found "
                           f"{shortened(response)}")  # fmt: skip
    return OUTCOMES[trial, response]


def write_scores(path: Path, trials: Trials, measure: str) -> int:
    """Write a line for each image, which `amnet-cache relabel --labels` takes: its score by `measure`, counts, rates.

    A score, or a rate, that is not defined is an empty cell. Returns how many images have a score. Raises OutputError.
    """
    counts = trials.counts()
    columns = {
        "score": MEASURES[measure](counts),
        "hits": counts.hits, "misses": counts.misses,
        "false_alarms": counts.false_alarms, "rejections": counts.rejections,
        "hit_rate": MEASURES["hit-rate"](counts), "false_alarm_rate": false_alarm_rate(counts),
        "d_prime": d_prime(counts), "corrected": MEASURES["corrected"](counts),
    }  # fmt: skip
    cells = [["" if isnan(value) else repr(value) for value in column.tolist()] for column in columns.values()]
    with whole_file(path, "--out") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", *columns])
        writer.writerows(zip(trials.ids, *cells, strict=True))
    return int((~np.isnan(columns["score"])).sum())
