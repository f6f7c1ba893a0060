"""`amnet-head predict`: scores of a few photographs, without a collection left behind."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amnet_common.commands import NOT_ALL_WELL, OneLineErrors, say, say_wrong, summary
from amnet_common.errors import RunError, SpecError
from headtrain.cli.options import PATH, device_option
from headtrain.cli.outputs import TABLE, overwrite_option, writing
from headtrain.cli.own_heads import arch_option
from headtrain.scoring.formats import FORMAT_NAMES

if TYPE_CHECKING:
    from amnet_common.collection import Collection
    from headtrain.heads.head import Head
    from headtrain.scoring.rows import ScoreRow

FEWEST = 5  # images of a test whose spread says something


@click.command(cls=OneLineErrors)
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PHOTOS...")
@click.option("--head", "runs", required=True, multiple=True, type=PATH, help="Run, checkpoint, or folder of --split "
              "all. Given again, or several splits: their mean and spread.")  # fmt: skip
@click.option("--weights", help="Of the trunk that the head was trained on, as for amnet-extract.")
@click.option("--out", type=PATH, help=f"Also write a table: {FORMAT_NAMES}.")
@overwrite_option
@arch_option
@device_option
def predict(
    paths: Sequence[Path], runs: Sequence[Path], weights: str | None, out: Path | None, overwrite: bool, device: str
) -> int:
    """Score image files and the images below folders. Exit status 1: some could not be read."""
    with writing("--out", out, TABLE, overwrite) if out else contextlib.nullcontext():
        rows = predicted(paths, runs, weights, out, device)
    if isinstance(rows, int):  # amnet-extract has said why
        return rows
    for row in rows:
        say(line_of(row))
    failed = sum(row.score is None for row in rows)
    summary(images=len(rows), scored=len(rows) - failed, failed=failed)
    return NOT_ALL_WELL if failed else 0


def predicted(
    paths: Sequence[Path], runs: Sequence[Path], weights: str | None, out: Path | None, device: str
) -> "list[ScoreRow] | int":
    """Score photographs, and write them to `out` if it is given; the exit status of amnet-extract if that fails."""
    from amnet_common.machine.devices import choose_device
    from headtrain.scoring.ensemble import load_ensemble, steps_of
    from headtrain.scoring.formats import format_of, write_whole
    from headtrain.scoring.photos import extracted, photos_of
    from headtrain.scoring.scores import fitted_views
    from headtrain.scoring.trunk_wanted import described_trunk

    kind = format_of(out, None) if out else ""
    photos, notes = photos_of(paths)
    for note in notes:
        say(f"note: {note}", err=True)
    heads = load_ensemble(runs, choose_device(device))
    for path, head in heads.items():
        refuse_joint("predict", path, head)
    first = next(iter(heads.values()))
    with tempfile.TemporaryDirectory(prefix="amnet-") as work:
        spec = first.provenance.spec if first.provenance else {}
        augs = fitted_views(spec, 1) - 1 if any(one.pools_views for one in heads.values()) else 0
        trunk = described_trunk(Path(next(iter(heads))), spec)
        for path, head in heads.items():
            refuse_other_weights(path, head, weights or os.environ.get("AMNET_WEIGHTS"))
        collection = extracted(photos, Path(work), spec, weights, device, augs, trunk)
        if isinstance(collection, int):
            return collection
        for path, head in heads.items():
            refuse_other_trunk(path, head, collection)
        rows = list(scored([*heads.values()], collection, photos))
    for path in heads:
        if line := flat_in_its_test(Path(path)):
            say_wrong(line)
    if out:
        write_whole(out, kind, rows, steps_of([*heads.values()]))
    return rows


def flat_in_its_test(head: Path) -> str:
    """Describe a head whose predictions hardly differed in its own test, as a few photographs say nothing of that;
    empty if they did, or where it does not stand beside the head.
    """
    from headtrain.evaluation.metrics import flat_line
    from headtrain.runs.documents import read_result
    from headtrain.runs.folder import RESULT

    run = head if head.is_dir() else head.parent
    if not (run / RESULT).exists():
        return ""
    with contextlib.suppress(RunError):
        result = read_result(run)
        return flat_line(head, [result.test]) if result.tested and result.test.n >= FEWEST else ""
    return ""


def refuse_joint(command: str, path: str, head: "Head") -> None:
    """Raise SpecError for a head that was trained on several collections together: one extraction is too little."""
    from headtrain.scoring.arranging import is_joint, wanted_of

    if head.provenance and is_joint(head.provenance):
        wanted = wanted_of(head.provenance)
        raise SpecError(f"{command}: expected heads of one collection, found {path} of {len(wanted)} together "
                        f"({'; '.join(wanted)}); amnet-extract the images once for each, and give score all of them "
                        "with --features")  # fmt: skip


def refuse_other_weights(path: str, head: "Head", weights: str | None) -> None:
    """Raise SpecError if a file of weights is not of the trunk that a head was trained on: before anything is
    extracted. Whatever is no file is left to amnet-extract.
    """
    from headtrain.scoring.trunk_wanted import described_trunk, file_differences

    if not weights or not os.path.isfile(weights) or not head.provenance:
        return
    if unlike := file_differences(Path(weights), head.provenance.spec):
        trunk = described_trunk(Path(path), head.provenance.spec)
        raise SpecError(f"predict: {path} was trained on features of another trunk ({'; '.join(unlike)}); name its "
                        f"weights with --weights: {trunk}")  # fmt: skip


def refuse_other_trunk(path: str, head: "Head", collection: "Collection") -> None:
    """Raise SpecError if a head was trained on another trunk; pictures that were decoded otherwise are noted."""
    from headtrain.scoring.scores import trunk_differences

    unlike = trunk_differences(head.provenance, collection)
    if features := [line for line in unlike if not line.startswith("pixels: ")]:
        raise SpecError(f"predict: {path} was trained on features of another trunk ({'; '.join(features)}); name its "
                        "weights with --weights")  # fmt: skip
    for line in unlike:  # the same pictures, but for a few that an earlier version showed in other colours
        say(f"note: {path} was trained on pictures that were decoded otherwise: {line}", err=True)


def scored(heads: "Sequence[Head]", collection: "Collection", photos: Sequence[Path]) -> "Iterator[ScoreRow]":
    """Yield a row for each photograph, by its own name."""
    import numpy as np

    from headtrain.scoring.blocks import score_block

    table = score_block(heads, collection, np.arange(len(collection)), range(collection.views))
    for row, photo in zip(table, photos, strict=True):
        yield replace(row, id=str(photo), collection="")


def line_of(row: "ScoreRow") -> str:
    """Return a row as it is printed."""
    if row.score is None:
        return f"     -  {row.id}: {row.reason}"
    spread = f" ± {row.spread:.4f}" if row.spread is not None else ""
    return f"{row.score:.4f}{spread}  {row.id}"
