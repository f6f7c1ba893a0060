"""A spreadsheet: one line an image, or one a rating, with score and perhaps split. Rows keep the order of the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amnet_common.datasets.any_table import read_table
from amnet_common.datasets.cells import is_missing, stripped, text_of, unclear_line
from amnet_common.datasets.columns import LIST_NAME, PART_WORDS, Chosen, Columns, choose, listed, numbers_of
from amnet_common.datasets.extremes import questions
from amnet_common.datasets.image_names import FileNames, ImageNames
from amnet_common.datasets.named_rows import NamedRows, named_rows
from amnet_common.datasets.ratings import Ratings, are_ratings, gathered
from amnet_common.datasets.records import Dataset, SplitList, checked_id
from amnet_common.datasets.table import Problems, Table
from amnet_common.datasets.wide import long_form
from amnet_common.errors import DatasetError
from amnet_common.small_texts import shortened

PARTS = ("train", "val", "test")
CURES = {"training": "; did you mean train?", "testing": "; did you mean test?"}


@dataclass(frozen=True)
class Lines:
    """Hold the lines of a label table that name an image: n rows of N images."""

    table: Table
    column: int  # of the scores
    named: NamedRows
    images: np.ndarray  # (n,) int64, numbers of ids
    ids: tuple[str, ...]  # (N,)
    scores: np.ndarray  # (n,) float64, NaN for none
    lists: tuple[tuple[str, ...], ...]  # of each row, the lists that it stands in

    def line(self, place: int) -> int:
        """Return the number of the file's line that a row stands in."""
        return self.table.lines[self.named.rows[place]]

    def has_no_score(self, place: int) -> bool:
        """Tell whether a row's cell says that there is no score."""
        return is_missing(self.table.columns[self.column][self.named.rows[place]])


def read_label_table(
    root: Path,
    labels: Path,
    columns: Columns = Columns(),  # noqa: B008 (frozen)
    known: ImageNames | None = None,
) -> Dataset:
    """Read the dataset of a label table; image paths are relative to `root`, an empty score means none.

    `known`: the names that images have; those of the files below `root` if it is not given. Notes of the dataset say
    how the table was read. Raises DatasetError that names file and line, with more such lines as its notes.
    """
    table = read_table(labels, "--labels")
    if columns.raters:
        table = long_form(table, columns.raters)
    known = known or FileNames(root)
    chosen = choose(table, columns, known)
    problems = table.problems
    rows = [row for row in range(len(table.lines)) if _names_or_scores(table, chosen, row)]
    named = named_rows(table, chosen.id, known, rows, problems)
    images, ids = named.numbered()
    scores, how = _scores(table, chosen.score, columns.decimal, rows, problems)
    lists = tuple(_lists_of(table, chosen, row, problems) for row in rows)
    lines = Lines(table, chosen.score, named, images, ids, scores, lists)
    _check_names(lines, problems)
    ratings = _ratings(lines, chosen, problems) if len(ids) < len(rows) else None
    values = ratings.means if ratings else scores
    splits = _splits(lines, values, by_row=chosen.list is not None, problems=problems)
    problems.refuse()
    notes = [*table.notes, *chosen.notes, *named.notes, *how]
    about: dict[str, object] = {"labels": str(labels)}
    if ratings and chosen.list is None:
        notes += [*ratings.lines(), *questions(scores, "rating")]
        about["ratings"] = ratings.as_dict()
    return Dataset("csv", root, ids, splits, values, tuple(notes), about)


def _names_or_scores(table: Table, chosen: Chosen, row: int) -> bool:
    cells = (table.columns[chosen.id][row], table.columns[chosen.score][row])
    return any(stripped(text_of(cell)) for cell in cells)


def _scores(
    table: Table, column: int, decimal: str | None, rows: Sequence[int], problems: Problems
) -> tuple[np.ndarray, list[str]]:
    """Scores (n,) float64 of the rows, NaN for none, and how they were read."""
    found = numbers_of(table, column, decimal, rows)
    if found.unclear:
        raise DatasetError(f"{table.path}: column {table.title(column)}: {unclear_line(found.unclear)}")
    for place in found.bad:
        text = text_of(table.columns[column][rows[place]]).strip()
        problems.add(table.lines[rows[place]], f"expected a number as score, found {shortened(text)}")
    return found.values, [f"column {table.title(column)}: {found.how}"] if found.how else []


def _lists_of(table: Table, chosen: Chosen, row: int, problems: Problems) -> tuple[str, ...]:
    """The lists that a row stands in, by its split or list."""
    column = chosen.split if chosen.list is None else chosen.list
    if column is None or is_missing(table.columns[column][row]):
        return ()
    text = stripped(text_of(table.columns[column][row]))
    if chosen.list is None:
        if text.lower() in PART_WORDS:
            return (f"{PART_WORDS[text.lower()]}_1",)
        problems.add(table.lines[row], f"expected split to be {', '.join(PARTS)} or empty, found "
                                       f"{shortened(text)}{CURES.get(text.lower(), '')}")  # fmt: skip
        return ()
    names = listed(text)
    if wrong := [name for name in names if not LIST_NAME.fullmatch(name)]:
        problems.add(table.lines[row], f"expected lists such as train_1 or test_2, found {shortened(wrong[0])}")
        return ()
    return tuple(dict.fromkeys(names))


def _check_names(lines: Lines, problems: Problems) -> None:
    """Add names that are no paths below the image root to `problems`."""
    bad: dict[str, str] = {}
    for id_ in lines.ids:
        try:
            checked_id(id_, "")
        except DatasetError as error:
            bad[id_] = str(error).removeprefix(": ")
    for place, id_ in enumerate(lines.named.ids if bad else ()):
        if id_ in bad:
            problems.add(lines.line(place), bad[id_])


def _ratings(lines: Lines, chosen: Chosen, problems: Problems) -> Ratings:
    """The means of images that stand in several rows; rows that are no ratings are added to `problems`."""
    count = len(lines.ids)
    if chosen.list is None and not are_ratings(lines.images, count, chosen.rater is not None):
        seen: set[str] = set()
        for place, id_ in enumerate(lines.named.ids):
            if id_ in seen:
                problems.add(lines.line(place), f"expected each image once, found {id_!r} again; where each line is "
                                                "one person's, --rater-column NAME names their column")  # fmt: skip
            seen.add(id_)
    raters = None
    if chosen.rater is not None:
        cells = [text_of(lines.table.columns[chosen.rater][row]).strip() for row in lines.named.rows]
        raters = np.unique(cells, return_inverse=True)[1]
    return gathered(lines.images, lines.scores, count, raters)


def _splits(lines: Lines, values: np.ndarray, by_row: bool, problems: Problems) -> dict[str, SplitList]:
    """The lists with their images. `by_row`: a list's score is that of its rows alone, else the image's of `values`."""
    entries: dict[str, dict[int, list[float]]] = {}
    parts: dict[tuple[int, str], str] = {}  # of an image in the split of a number
    for place, image in enumerate(lines.images.tolist()):
        score = float(lines.scores[place] if by_row else values[image])
        for name in lines.lists[place]:
            part, _, number = name.partition("_")
            other = parts.setdefault((image, number), part)
            if other != part:
                problems.add(lines.line(place), f"expected {lines.ids[image]!r} in one list of a split, found it in "
                                                f"{other} and {part}")  # fmt: skip
            if np.isnan(score) and lines.has_no_score(place):
                problems.add(lines.line(place), f"expected a score for an image of split {part}, found none; leave its "
                                                "split empty too, or its line out")  # fmt: skip
            entries.setdefault(name, {}).setdefault(image, []).append(score)
    order = sorted(entries, key=lambda name: (int(name.partition("_")[2]), PARTS.index(name.partition("_")[0])))
    return {name: _as_split(entries[name]) for name in order}


def _as_split(entries: dict[int, list[float]]) -> SplitList:
    rows = np.fromiter(entries, np.int64, len(entries))
    return SplitList(rows, np.array([np.mean(scores) for scores in entries.values()], np.float64))
