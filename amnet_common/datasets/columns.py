"""Which column of a table is which: as the user says, by its name, or by what stands in it; else all are shown."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from amnet_common.datasets.cells import POINT, Numbers, as_numbers, is_missing, text_of
from amnet_common.datasets.folder import is_image_name
from amnet_common.datasets.image_names import ImageNames
from amnet_common.datasets.near_names import tidy
from amnet_common.datasets.table import Table
from amnet_common.datasets.wide import looks_wide
from amnet_common.errors import ConfigError, DatasetError
from amnet_common.small_texts import shortened

LOOKED_AT = 200  # cells of a column that say what it holds
MOST_LISTED = 20  # columns that are shown
PART_WORDS = {"train": "train", "val": "val", "test": "test", "validation": "val", "valid": "val"}
LIST_NAME = re.compile(r"(train|val|test)_[1-9]\d{0,5}")
ID, SCORE, SPLIT, LIST, RATER = "id", "score", "split", "list", "rater"
NAMES = {
    ID: "id image imageid imagename imagefile imagefilename imagepath filename file filepath path picture pictureid "
        "picturename pic photo photoid stimulus stimulusid stimulusname stimulusfile stim stimid img imgid imgname",
    SCORE: "score rating meanrating ratingmean meanscore scoremean mean memorability",
    SPLIT: "split subset partition",
    LIST: "list lists",
    RATER: "rater raterid participant participantid subject subjectid subj subjectnumber observer observerid worker "
           "workerid respondent respondentid ppt pptid annotator annotatorid judge",
}  # fmt: skip
SYNONYMS = {role: tuple(names.split()) for role, names in NAMES.items()}


@dataclass(frozen=True)
class Columns:
    """Hold what the options say of a table: names of columns, and what stands before the fraction of a number."""

    id: str | None = None
    score: str | None = None
    split: str | None = None
    list: str | None = None
    rater: str | None = None
    decimal: str | None = None
    raters: str | None = None  # names or patterns of the columns of ratings, one a person

    def __post_init__(self) -> None:
        if self.split and self.list:
            raise ConfigError("--split-column, --list-column: expected one of them, found both")
        for name, beside in (("score", self.score), ("rater", self.rater), ("list", self.list)):
            if self.raters and beside:
                raise ConfigError(f"--rater-columns: expected no --{name}-column beside it, found both")


@dataclass(frozen=True)
class Chosen:
    """Hold the number of the column of each role, and what is to be said of the choice."""

    id: int
    score: int
    split: int | None
    list: int | None
    rater: int | None
    notes: tuple[str, ...] = ()


def choose(table: Table, wanted: Columns, known: ImageNames, machine: bool = False) -> Chosen:
    """Choose the columns of a table of images and scores; `machine`: those of a system, not of people.

    Raises DatasetError, whose notes show each column with an example, where it is not clear which is meant.
    """
    split, lists = _named(table, SPLIT, wanted.split), _named(table, LIST, wanted.list)
    rater = _named(table, RATER, wanted.rater)
    if split is None and lists is None and wanted.split is None and not machine:
        split = _only(table, SPLIT, lambda k: _all_are(table, k, lambda text: text.lower() in PART_WORDS))
    if lists is None and split is None and not machine:
        lists = _only(
            table, LIST, lambda k: _all_are(table, k, lambda text: all(map(LIST_NAME.fullmatch, listed(text))))
        )
    if rater is None and not machine:
        rater = _only(table, RATER, lambda _: True)
    id_ = _id_column(table, wanted.id, known)
    others = {id_, split, lists, rater} if id_ is not None else {split, lists, rater}
    score = _score_column(table, wanted, others, machine)
    if id_ is None or score is None:
        missing = [f"--{role}-column NAME" for role, found in ((ID, id_), (SCORE, score)) if found is None]
        error = _unclear(table, missing, "" if machine else "[,split]")
        if score is None and not machine:
            for line in looks_wide(table, lambda k: _is_numeric(table, k, wanted.decimal)):
                error.add_note(line)
        raise error
    _refuse_no_titles(table, wanted, id_, score, known)
    found = Chosen(id_, score, split, lists, rater)
    return Chosen(id_, score, split, lists, rater, tuple(_said(table, found, wanted, machine)))


def numbers_of(table: Table, column: int, decimal: str | None, rows: Sequence[int] | None = None) -> Numbers:
    """Read a column, or some rows of it, as numbers: commas between the cells of a text leave points for fractions."""
    cells = table.columns[column] if rows is None else [table.columns[column][row] for row in rows]
    if decimal is None and table.delimiter == "," and not any("," in cell for cell in cells if isinstance(cell, str)):
        decimal = POINT
    return as_numbers(cells, decimal)


def listed(text: str) -> list[str]:
    """Return the names of lists that a cell holds, between spaces or marks."""
    return [name for name in re.split(r"[\s,;|]+", text.strip()) if name]


def plain(name: str) -> str:
    """Return the name of a column without regard to case, spaces and marks."""
    return re.sub(r"[\W_]+", "", name).lower()


def _named(table: Table, role: str, name: str | None) -> int | None:
    """The column that an option names, or that is called by the role itself."""
    names = [title.lower() for title in table.names]
    if name is None:
        exact = [k for k, title in enumerate(table.names) if title == role]
        same = exact or [k for k, title in enumerate(names) if title == role]
        return same[0] if len(same) == 1 else None
    return column_called(table, f"--{role}-column", name)


def column_called(table: Table, option: str, name: str) -> int:
    """Return the column that an option names, without regard to case where that is clear.

    Raises DatasetError, whose notes show each column, where there is none or several.
    """
    same = [k for k, title in enumerate(table.names) if title == name.strip()]
    same = same or [k for k, title in enumerate(table.names) if title.lower() == name.strip().lower()]
    if len(same) != 1:
        raise _shown(table, f"{table.path}:{table.header_line}: {option}: expected the name of a column, found "
                            f"{shortened(name)}")  # fmt: skip
    return same[0]


def _only(table: Table, role: str, fits: Callable[[int], bool], among: Sequence[int] | None = None) -> int | None:
    """The one column with a name that people give to the role, and that fits it."""
    places = range(len(table.names)) if among is None else among
    found = [k for k in places if plain(table.names[k]) in SYNONYMS[role] and fits(k)]
    return found[0] if len(found) == 1 else None


def _all_are(table: Table, column: int, fits: Callable[[str], object]) -> bool:
    """Whether a column has values, and all of them fit."""
    values = {text_of(cell).strip() for cell in table.columns[column]} - {""}
    return bool(values) and all(map(fits, values))


def _id_column(table: Table, wanted: str | None, known: ImageNames) -> int | None:
    """The column of the images: of that name; else the one whose values are images; else one with a usual name."""
    named = _named(table, ID, wanted)
    if wanted is not None or (named is not None and _share(table, named, known.__contains__) > 0):
        return named
    of_images = [k for k in range(len(table.names)) if _share(table, k, known.__contains__) >= 0.5]
    if not of_images and named is None:
        of_images = [k for k in range(len(table.names)) if _share(table, k, known.index.candidates) >= 0.5]
    if len(of_images) == 1:
        return of_images[0]
    if named is not None:
        return named
    return _only(table, ID, lambda k: bool(table.columns[k]), of_images or None)


def _share(table: Table, column: int, is_image: Callable[[str], object]) -> float:
    """The share of a column's first values that are images."""
    values = list(islice((cell for cell in table.columns[column] if not is_missing(cell)), LOOKED_AT))
    texts = [text_of(value) for value in values]
    return sum(bool(is_image(text)) or bool(is_image(tidy(text))) for text in texts) / len(texts) if texts else 0


def _score_column(table: Table, wanted: Columns, others: set[int | None], machine: bool) -> int | None:
    """The column of the scores: of that name, of a usual one, or the only one of numbers."""
    named = _named(table, SCORE, wanted.score)
    if wanted.score is not None:
        return named
    if machine:
        said = [k for k, title in enumerate(table.names) if plain(title) in ("predicted", "prediction", "predictions")]
        if len(said) == 1:
            return said[0]
    if named is not None:
        return named
    numeric = [k for k in range(len(table.names)) if k not in others and _is_numeric(table, k, wanted.decimal)]
    by_name = _only(table, SCORE, lambda _: True, numeric)
    return numeric[0] if by_name is None and len(numeric) == 1 else by_name


def _is_numeric(table: Table, column: int, decimal: str | None) -> bool:
    """Whether a column holds numbers, a slip here and there being no reason against it, and not merely its lines'."""
    found = numbers_of(table, column, decimal)
    values = found.values[~np.isnan(found.values)]
    if found.unclear:
        return True
    if not len(values) or len(values) < len(found.bad):
        return False
    return bool(table.names[column]) or bool(len(values) < 2 or (np.diff(values) != 1).any())


def _refuse_no_titles(table: Table, wanted: Columns, id_: int, score: int, known: ImageNames) -> None:
    """Raise DatasetError if the names of the chosen columns look like an image and its score."""
    image = wanted.id is None and (table.names[id_] in known or is_image_name(table.names[id_]))
    number = wanted.score is None and not as_numbers([table.names[score] or "x"], POINT).bad
    if image or number:
        raise DatasetError(f"{table.path}:{table.header_line}: expected columns id,score, found "
                           f"{shortened(table.header, 300)}, which looks like an image and not like names of columns; "
                           "put a line such as id,score above it")  # fmt: skip


def _unclear(table: Table, options: Sequence[str], more: str) -> DatasetError:
    found = shortened(table.header, 300)
    return _shown(table, f"{table.path}:{table.header_line if table.header else 1}: expected columns id,score{more}, "
                         f"found {found}; say {' and '.join(options)}")  # fmt: skip


def _shown(table: Table, text: str) -> DatasetError:
    """An error with each column of the table, and an example of what stands there."""
    error = DatasetError(text)
    for k in range(min(len(table.names), MOST_LISTED)):
        example = next((text_of(cell) for cell in table.columns[k] if not is_missing(cell)), None)
        error.add_note(
            f"column {table.title(k)}: " + ("empty" if example is None else f"such as {shortened(example, 40)}")
        )
    if len(table.names) > MOST_LISTED:
        error.add_note(f"and {len(table.names) - MOST_LISTED} more columns")
    return error


def _said(table: Table, chosen: Chosen, wanted: Columns, machine: bool) -> Iterator[str]:
    """What is to be said of columns that nobody named, and that are not called by their roles."""
    found = []
    for role, what in ((ID, "images"), (SCORE, "scores"), (SPLIT, "splits"), (LIST, "lists"), (RATER, "raters")):
        column = getattr(chosen, role)
        if column is None or getattr(wanted, role) is not None or table.names[column].lower() == role:
            continue
        if role != RATER:
            found.append(f"{what} from the column {table.title(column)} (--{role}-column)")
    if found:
        yield f"{table.path}: {', '.join(found)}"
    titles = {plain(name) for name in table.names}
    if machine and wanted.score is None and SCORE in titles and plain(table.names[chosen.score]) != SCORE:
        yield (f"{table.path}: what the system says is taken from {table.title(chosen.score)}; 'score' stands beside "
               "it, and is taken for that of people (--score-column score takes it)")  # fmt: skip
