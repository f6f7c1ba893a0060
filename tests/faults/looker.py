"""Looks at a collection when asked: `looker.py PATH`, a line of JSON in, a line of JSON out.

When it starts it reads everything once and says "ready". Then, for every line that comes: what `amnet-cache verify`
says, and whether anything that the reader serves, with checking on, differs from what was read at the start.
"""

import json
import sys
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from amnet_common.cli import main
from amnet_common.collection import Collection
from amnet_common.collection.layout import DONE
from amnet_common.errors import AmnetError

FOUND_BY = {"bytes changed that are never written again": "seal", "the mark does not hold": "mark",
            "do not match their checksum": "checksum"}  # fmt: skip


def verified(path: Path) -> dict[str, object]:
    """Exit status of `amnet-cache verify`, and what it found the fault by."""
    result = CliRunner().invoke(main, ["verify", str(path)])
    broken = result.exception is not None and not isinstance(result.exception, SystemExit)
    found = [name for text, name in FOUND_BY.items() if text in result.output]
    by = "opening" if result.exit_code == 2 else " and ".join(found)
    return {"status": result.exit_code, "by": by, "traceback": repr(result.exception) if broken else ""}


def served(path: Path) -> dict[str, object]:
    """Everything that a reader gets out of the file; features row by row, None where they are refused."""
    collection = Collection(path)
    fixed = [collection.ids, collection.spec.to_json(), dict(collection.kernel_path)]
    tables = [collection.labels, collection.scales if collection.scales is not None else 0]
    for name, split in collection.splits.items():
        fixed.append(name)
        tables += [split.rows, split.scores]
    rows = {row: row_of(collection, row) for row in np.flatnonzero(collection.status == DONE).tolist()}
    return {"fixed": fixed, "tables": tables, "rows": rows}


def row_of(collection: Collection, row: int) -> list[np.ndarray] | None:
    try:
        features = collection.read([row] * collection.views, range(collection.views), check=True)
    except AmnetError:
        return None
    return [features, collection.boxes[row], np.frombuffer(collection.images[row].tobytes(), np.uint8)]


def wrongly_served(before: dict, now: dict) -> list[str]:
    """What is served and is not what it was."""
    wrong = [] if now["fixed"] == before["fixed"] else ["ids, spec, kernel path or names of lists"]
    wrong += [] if all_equal(before["tables"], now["tables"]) else ["scores, splits or scales"]
    for row, values in now["rows"].items():
        if values is not None and (row not in before["rows"] or not all_equal(before["rows"][row], values)):
            wrong.append(f"row {row}")
    return wrong


def all_equal(before: list, now: list) -> bool:
    """Bit for bit; NaN stands for missing scores."""
    return len(before) == len(now) and all(np.asarray(a).tobytes() == np.asarray(b).tobytes()
                                           for a, b in zip(before, now, strict=True))  # fmt: skip


def look(path: Path, before: dict) -> dict[str, object]:
    try:
        wrong, refused = wrongly_served(before, served(path)), False
    except AmnetError:
        wrong, refused = [], True
    return {**verified(path), "wrong": wrong, "refused": refused}


def say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    before = served(Path(sys.argv[1]))
    say("ready")
    for _ in sys.stdin:
        say(look(Path(sys.argv[1]), before))
