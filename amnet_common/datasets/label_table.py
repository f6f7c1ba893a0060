"""A spreadsheet saved as CSV: columns `id,score[,split]`, one line an image. Rows keep the order of the file."""

import math
from pathlib import Path

import numpy as np

from amnet_common.datasets.csv_table import table_lines
from amnet_common.datasets.records import Dataset, SplitList, checked_id, checked_score
from amnet_common.errors import DatasetError
from amnet_common.small_texts import shortened

PARTS = ("train", "val", "test")


def read_label_table(root: Path, labels: Path) -> Dataset:
    """Read the dataset of a label table; image paths are relative to `root`, an empty score means none.

    Raises DatasetError that names file and line.
    """
    scores: dict[str, float] = {}
    members: dict[str, list[int]] = {part: [] for part in PARTS}
    for where, line in table_lines(labels, "--labels", ("id", "score"), more="[,split]"):
        id_ = checked_id((line["id"] or "").strip(), where)
        if id_ in scores:
            raise DatasetError(f"{where}: expected each image once, found {id_!r} again")
        part = (line.get("split") or "").strip()
        if part and part not in PARTS:
            raise DatasetError(f"{where}: expected split to be {', '.join(PARTS)} or empty, found {shortened(part)}")
        text = (line["score"] or "").strip()
        if part and not text:
            raise DatasetError(f"{where}: expected a score for an image of split {part}, found none")
        if part:
            members[part].append(len(scores))
        scores[id_] = checked_score(text, where) if text else math.nan
    values = np.fromiter(scores.values(), np.float64, len(scores))
    rows = {f"{part}_1": np.array(m, np.int64) for part, m in members.items() if m}
    splits = {name: SplitList(r, values[r]) for name, r in rows.items()}
    return Dataset("csv", root, tuple(scores), splits, values)
