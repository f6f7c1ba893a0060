"""`amnet-cache`: look into collections, check and repair them, join and relabel them, export plain arrays."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.description import counts, failed_lines, info_lines
from amnet_common.collection.duplicates import duplicate_lines, duplicates
from amnet_common.collection.export import export, exported_rows
from amnet_common.collection.joining import link, relabel
from amnet_common.collection.layout import DONE
from amnet_common.collection.part import Part
from amnet_common.collection.verify import Problem, repair, verify_rows, verify_structure
from amnet_common.commands import OneLineErrorsGroup, deferred_interrupt, progress, say, version_option
from amnet_common.only_writer import only_writer

PATH = click.Path(path_type=Path)


@click.group(cls=OneLineErrorsGroup, context_settings={"show_default": True})
@version_option
def main() -> None:
    """Look into collections of cached features, check, join, relabel and export them."""


@main.command()
@click.argument("file", type=PATH)
@click.option("--failed", is_flag=True, help="Name every failed image with its reason instead.")
@click.option("--duplicates", "twins", is_flag=True,
              help="Name instead each two images that are the same, by their bytes and by their looks.")  # fmt: skip
@click.option("--images", type=PATH, help="Where the images are now, for --duplicates.")
def info(file: Path, failed: bool, twins: bool, images: Path | None) -> None:
    """Show what a collection holds, from which weights and view plan, and how much of it is done."""
    collection = Collection(file)
    if twins:
        with progress("look", int((collection.status == DONE).sum()), "images") as bar:
            found = duplicates(collection, images, bar.update)
        lines = duplicate_lines(collection, found)
    else:
        lines = failed_lines(collection) if failed else info_lines(collection)
    for line in lines:
        say(line)


@main.command()
@click.argument("file", type=PATH)
@click.option("--quick", is_flag=True, help="Structure, integrity hash and marks only; no feature is read.")
@click.option("--repair", "mend", is_flag=True,
              help="Mark bad rows pending, so that the same amnet-extract fills just those again.")  # fmt: skip
def verify(file: Path, quick: bool, mend: bool) -> int:
    """Recompute all checksums and name every bad row. Exit status 0: all is well; 1: something is not."""
    problems = verify_structure(file)
    try:
        _check_rows(Collection(file).parts, quick, problems)
    except KeyboardInterrupt:
        _name(problems)  # what is known by now was not found in vain
        raise
    repaired = repair(problems) if mend else 0
    _name(problems)
    bad = len({(problem.path, problem.row) for problem in problems if problem.row is not None})
    if repaired:
        say(f"{file}: {repaired} bad rows marked pending; the same amnet-extract fills them again")
    elif bad:
        say(f"{file}: {bad} bad rows; --repair marks them pending, so that amnet-extract fills them again")
    elif not problems:
        say(f"{file}: {counts(Collection(file))}; {'structure and marks' if quick else 'all checksums'} hold")
    return 1 if problems else 0


def _check_rows(parts: Sequence[Part], quick: bool, problems: list[Problem]) -> None:
    """Add to `problems` what is wrong with the rows of all parts, showing progress."""
    with deferred_interrupt() as check_interrupt, progress("verify", sum(len(p.images) for p in parts), "rows") as bar:
        for row in (row for part in parts for row in verify_rows(part, quick)):
            check_interrupt()
            problems += row.problems
            bar.update()


@main.command("link")
@click.argument("parts", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="The linked collection; it holds no features of its own.")
def link_command(parts: tuple[Path, ...], out: Path) -> None:
    """Join parts and collections into one, without copying a feature byte. They must stay where they are."""
    with only_writer(out):
        joined = link(parts, out)
    for line in joined.kernel_differences:
        say(f"note: other kernels, last bits may differ: {line}", err=True)
    collection = joined.collection
    say(f"{out}: {counts(collection)}, in {len(collection.parts)} parts")


@main.command("relabel")
@click.argument("file", type=PATH)
@click.option("--labels", type=PATH, required=True, help="A table id,score[,split].")
@click.option("--out", type=PATH, required=True, help="The new collection; its features stay in FILE.")
def relabel_command(file: Path, labels: Path, out: Path) -> None:
    """Give the images of a collection new scores and splits, without extraction."""
    with only_writer(out):
        collection = relabel(file, labels, out)
    scored = int((~np.isnan(collection.labels)).sum())
    say(f"{out}: {counts(collection)}; {scored} images have a score")


@main.command("export")
@click.argument("file", type=PATH)
@click.option("--out", type=PATH, required=True, help="A new .npy file (ids in OUT.ids.txt) or .npz archive.")
@click.option("--views", type=click.Choice(["0", "all"]), default="0", help="The evaluation view, or every view.")
def export_command(file: Path, out: Path, views: str) -> None:
    """Write the features of all finished images as one float16 array, with their ids."""
    collection = Collection(file)
    number = len(exported_rows(collection))
    with (
        only_writer(out),
        deferred_interrupt() as check_interrupt,
        progress("export", number, "images") as bar,
    ):
        for rows in export(collection, out, views == "all"):
            check_interrupt()
            bar.update(rows)
    missing = f"; {len(collection) - number} without features are left out" if number < len(collection) else ""
    say(f"{out}: {number} of {len(collection)} images, {out.stat().st_size / 1e9:.2f} GB{missing}")


def _name(problems: Iterable[Problem]) -> None:
    for problem in problems:
        say(f"{problem.path}: {problem.text}")
