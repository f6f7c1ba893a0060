"""The rows of a table by the images that they name, also where a name nearly matches; two names for one are refused."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amnet_common.datasets.delimited import as_western, is_broken
from amnet_common.datasets.image_names import ImageNames
from amnet_common.datasets.near_names import UNICODE, Near, differences, near_names
from amnet_common.datasets.spelling import own_names
from amnet_common.datasets.table import Problems, Table


@dataclass(frozen=True)
class NamedRows:
    """Hold rows of a table, each with the name of its image, and what is to be said of the names."""

    rows: tuple[int, ...]
    ids: tuple[str, ...]  # of each of the rows
    near: Near
    notes: tuple[str, ...] = ()

    def numbered(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the number of each row's image (n,) int64, and the images, in the order of their first rows."""
        number: dict[str, int] = {}
        images = [number.setdefault(id_, len(number)) for id_ in self.ids]
        return np.array(images, np.int64), tuple(number)


def named_rows(table: Table, column: int, known: ImageNames, rows: Sequence[int], problems: Problems) -> NamedRows:
    """Find the image of each of `rows`. A name that differs from an image's in the form of Unicode alone stays.

    What stands for one image under two names is added to `problems`.
    """
    texts = table.texts(column)
    called: dict[str, str] = {}  # cell -> name
    western = 0
    for text in {texts[row]: None for row in rows}:
        if text in known:
            called[text] = text
            continue
        name = as_western(text) if is_broken(text) and text.strip() not in known else text
        western += name != text
        called[text] = name.strip()
    strangers = [name for name in dict.fromkeys(called.values()) if name and name not in known]
    near = _without_forms(near_names(strangers, known.index)) if strangers else Near({})
    called = {text: near.own.get(name, name) for text, name in called.items()}
    _refuse_two_for_one(table, [texts[row] for row in rows], rows, called, problems)
    notes = [f"{western} names are no UTF-8, and are read as Windows-1252"] if western else []
    notes += [line for line in [near.line(known.where)] if line]
    return NamedRows(tuple(rows), tuple(called[texts[row]] for row in rows), near, tuple(notes))


def with_own_forms(ids: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return ids with the names of `known` in place of those that differ in the form of Unicode alone."""
    own = own_names([*dict.fromkeys(ids)], known)
    return tuple(own.get(id_, id_) for id_ in ids)


def _without_forms(near: Near) -> Near:
    """Near names without those that `spelling` finds."""
    own = {name: image for name, image in near.own.items() if differences(name, image) != {UNICODE}}
    kinds = near.differences.copy()
    kinds[UNICODE] -= len(near.own) - len(own)
    return Near(own, +kinds, near.unclear)


def _refuse_two_for_one(
    table: Table, texts: Sequence[str], rows: Sequence[int], called: dict[str, str], problems: Problems
) -> None:
    first: dict[str, tuple[str, int]] = {}
    for text, row in zip(texts, rows, strict=True):
        name, line = first.setdefault(called[text], (text, table.lines[row]))
        if name.strip() != text.strip():
            problems.add(table.lines[row], f"expected each image once, found {text.strip()!r}, which is the image "
                                           f"{called[text]!r} of line {line}, {name.strip()!r}, again")  # fmt: skip
