"""`amnet-cache`: look into collections, check and repair them, join, relabel and export them; score trials."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.description import counts, facts, failed_lines, info_lines, numbers, split_line
from amnet_common.collection.duplicates import Duplicates, duplicate_lines, duplicates
from amnet_common.collection.export import export, exported_rows
from amnet_common.collection.joining import link, relabel
from amnet_common.collection.layout import DONE
from amnet_common.collection.mirror import is_copy
from amnet_common.collection.part import Part
from amnet_common.collection.verify import Problem, repair, verify_rows, verify_structure
from amnet_common.commands import (
    OneLineErrorsGroup,
    deferred_interrupt,
    progress,
    say,
    say_done,
    summary,
    version_option,
)
from amnet_common.datasets import Columns
from amnet_common.datasets.columns import ID, LIST, RATER, SCORE, SPLIT
from amnet_common.datasets.extremes import questions, range_line
from amnet_common.datasets.folds import Folding
from amnet_common.errors import CollectionError, ConfigError, OutputError
from amnet_common.only_writer import only_writer
from amnet_common.table_options import table_options
from amnet_common.upkeep import compact_command, remove_command

if TYPE_CHECKING:
    from amnet_common.agreement import Consistency

PATH = click.Path(path_type=Path)
QUICK_ROWS = 256  # whose marks are looked at between two moments at which Ctrl-C is heard


@click.group(cls=OneLineErrorsGroup, context_settings={"show_default": True})
@version_option
def main() -> None:
    """Look into collections of cached features, check, join, relabel and export them."""


main.add_command(compact_command)
main.add_command(remove_command)


@main.command()
@click.argument("file", type=PATH)
@click.option("--failed", is_flag=True, help="Name every failed image with its reason instead.")
@click.option("--duplicates", "twins", is_flag=True,
              help="Name instead each two images that are the same, by their bytes and by their looks.")  # fmt: skip
@click.option("--images", type=PATH, help="Where the images are now, for --duplicates.")
def info(file: Path, failed: bool, twins: bool, images: Path | None) -> None:
    """Show what a collection holds, from which weights and view plan, and how much of it is done."""
    collection = Collection(file)
    summary(**facts(collection))
    if twins:
        lines = duplicate_lines(collection, looked_for_twins(collection, images))
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
    collection = Collection(file)
    problems = verify_structure(file, collection)
    if copies := [part.path for part in collection.parts if is_copy(part.path)]:
        raise CollectionError(f"{copies[0]}: expected features, found a copy without them of what is in a store")
    try:
        _check_rows(collection.parts, quick, problems)
    except KeyboardInterrupt:
        _name(problems)  # what is known by now was not found in vain
        raise
    repaired = repair(problems) if mend else 0
    _name(problems)
    bad = len({(problem.path, problem.row) for problem in problems if problem.row is not None})
    summary(bad=bad, repaired=repaired, problems=len(problems))
    if repaired:
        say_done(f"{file}: {repaired} bad rows marked pending; the same amnet-extract fills them again")
    elif bad:
        say_done(f"{file}: {bad} bad rows; --repair marks them pending, so that amnet-extract fills them again")
    elif not problems:
        summary(**numbers(collection))
        say_done(f"{file}: {counts(collection)}; {'structure and marks' if quick else 'all checksums'} hold")
    return 1 if problems else 0


def _check_rows(parts: Sequence[Part], quick: bool, problems: list[Problem]) -> None:
    """Add to `problems` what is wrong with the rows of all parts, showing progress."""
    with deferred_interrupt() as check_interrupt, progress("verify", sum(len(p.status) for p in parts), "rows") as bar:
        rows = (row for part in parts for row in verify_rows(part, quick))
        while some := list(islice(rows, QUICK_ROWS if quick else 1)):
            check_interrupt()
            problems += (problem for row in some for problem in row.problems)
            bar.update(len(some))


@main.command("link")
@click.argument("parts", type=PATH, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="The linked collection; it holds no features of its own.")
@click.option("--append", is_flag=True, help="Add them to the link OUT, behind what it has.")
def link_command(parts: tuple[Path, ...], out: Path, append: bool) -> None:
    """Join parts and collections into one, without copying a feature byte. They must stay where they are."""
    with only_writer(out):
        if append and not Collection(out).linked:
            raise CollectionError(f"--append: expected --out {out} to be a linked collection, found one with features "
                                  "of its own; name it among the parts of a new link")  # fmt: skip
        joined = link((out, *parts) if append else parts, out, replace_old=append)
    for line in joined.kernel_differences:
        say(f"note: other kernels, last bits may differ: {line}", err=True)
    collection = joined.collection
    summary(**numbers(collection), parts=len(collection.parts))
    say_done(f"{out}: {counts(collection)}, in {len(collection.parts)} parts")


@main.command("relabel")
@click.argument("file", type=PATH)
@click.option(
    "--labels", type=PATH, help="A table id,score[,split].  [required, unless --folds deals FILE's own scores]"
)
@table_options(ID, SCORE, SPLIT, LIST, RATER)
@click.option("--folds", type=int, help="Deal the images with a score into so many folds, alike in scores, in place "
              "of all lists; 1: a single split of 70, 10 and 20 %.")  # fmt: skip
@click.option("--repeats", type=int, help="With --folds, deal so many times.  [default: 1]")
@click.option("--seed", type=int, help="Of --folds.  [default: 0]")
@click.option("--group", metavar="COLUMN", help="With --folds, a column of --labels: images with the same entry (a "
              "participant, a scene) stay in one part.")  # fmt: skip
@click.option("--look-alikes", is_flag=True, help="With --folds, images that look the same stay in one part too, as "
              "those of the same bytes always do; looks at every image, as info --duplicates.")  # fmt: skip
@click.option("--images", type=PATH, help="Where the images are now, for --look-alikes.")
@click.option("--score-name", help="What the scores are called, valence say, in report, figure and methods."
              "  [default: as in FILE, else memorability]", show_default=False)  # fmt: skip
@click.option("--out", type=PATH, required=True, help="The new collection; its features stay in FILE.")
@click.pass_context
def relabel_command(
    ctx: click.Context, file: Path, labels: Path | None, folds: int | None, repeats: int | None, seed: int | None,
    group: str | None, look_alikes: bool, images: Path | None, score_name: str | None, out: Path, columns: Columns,
) -> None:  # fmt: skip
    """Give the images of a collection new scores and splits, without extraction.

    Each fold is the test list once; a fifth to an eighth of the others is its validation list, the rest its training
    list. Files with the same content always stand in one part.
    """
    if labels is None and folds is None:
        raise click.MissingParameter(ctx=ctx, param=next(one for one in ctx.command.params if one.name == "labels"))
    if folds is None and (repeats, seed, group) != (None, None, None):
        raise ConfigError("relabel: expected --folds with --repeats, --seed or --group, found none")
    if look_alikes and folds is None:
        raise ConfigError("relabel: expected --folds with --look-alikes, found none")
    folding = None if folds is None else Folding(folds, 1 if repeats is None else repeats, seed or 0)
    with only_writer(out):
        twins = _look_alikes(file, images) if look_alikes else None
        collection = relabel(file, labels, out, folding, group, columns, lambda note: say(f"note: {note}", err=True),
                             score_name, twins)  # fmt: skip
    scored = int((~np.isnan(collection.labels)).sum())
    summary(**numbers(collection), scored=scored, splits=len(collection.splits))
    say_done(f"{out}: {counts(collection)}; {scored} images have a score")
    if folding:
        say_done(f"{out}: {folding} of these {scored}, seed {folding.seed}; {split_line(collection)}")
    for line in [range_line(collection.labels) or "no image has a score", *questions(collection.labels)]:
        say(f"note: {line}", err=True)


def _look_alikes(file: Path, images: Path | None) -> list[tuple[int, int]]:
    """The pairs of rows of a collection that are one picture, which are counted on stderr."""
    found = looked_for_twins(Collection(file), images)
    unseen = f"; {found.not_seen} images could not be looked at" if found.not_seen else ""
    say(f"note: {len(found.twins)} pairs of images are the same or look so, and stay together{unseen}", err=True)
    return [one.rows for one in found.twins]


def looked_for_twins(collection: Collection, images: Path | None) -> Duplicates:
    """Find twins, showing progress."""
    with progress("look", int((collection.status == DONE).sum()), "images") as bar:
        return duplicates(collection, images, bar.update)


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
    summary(images=len(collection), exported=number, bytes=out.stat().st_size)
    say_done(f"{out}: {number} of {len(collection)} images, {out.stat().st_size / 1e9:.2f} GB{missing}")


@main.command("trials")
@click.argument("file", type=PATH)
@click.option("--out", type=PATH, required=True, help="A new table id,score with counts and rates, for relabel.")
@click.option("--measure", default="hit-rate", type=click.Choice(["hit-rate", "d-prime", "corrected"]),
              help="What the score is; corrected: hit rate minus false alarm rate.")  # fmt: skip
@click.option("--halves", default=25, type=click.IntRange(1, 1000), help="Random halves of the observers to compare.")
@click.option("--seed", default=0, help="Of the halves.")
def trials_command(file: Path, out: Path, measure: str, halves: int, seed: int) -> None:
    """Make scores of the trials of an experiment, a table id,observer,trial,response, and say how observers agree.

    trial is repeat or foil; response is hit or miss of a repeat, false-alarm or rejection of a foil, or 1 or 0 of both.
    """
    from amnet_common.observers.consistency import split_half
    from amnet_common.observers.measures import MEASURES
    from amnet_common.observers.trials import read_trials, write_scores

    with only_writer(out):
        if os.path.lexists(out):
            raise OutputError(f"--out {out}: expected a new file, found one that exists")
        trials = read_trials(file)
        with deferred_interrupt() as check_interrupt, progress("compare", halves, "halves") as bar:

            def advance() -> None:
                check_interrupt()
                bar.update()

            found = split_half(trials, MEASURES[measure], halves, seed, advance)
        scored = write_scores(out, trials, measure)
    summary(images=len(trials.ids), scored=scored, trials=len(trials.image), observers=len(trials.observers))
    say_done(f"{out}: {scored} of {len(trials.ids)} images have a score ({measure}), from {len(trials.image)} trials "
             f"of {len(trials.observers)} observers")  # fmt: skip
    if trials.again:
        say(f"note: {trials.again} trials are of an image that the same observer had in a trial of that kind before",
            err=True)  # fmt: skip
    for line in consistency_lines(found, measure):
        say(line)


def consistency_lines(found: "Consistency", measure: str) -> Iterator[str]:
    """Yield how far observers agree, and what follows from it, each with its name."""
    mean, spread, reliability, ceiling = (
        "undefined" if np.isnan(value) else f"{value:.4f}"
        for value in (found.mean, found.spread, found.reliability, found.ceiling)
    )
    undefined = int(np.isnan(found.rhos).sum())
    told = f", {undefined} of them without rho" if undefined else ""
    yield (f"split-half consistency of {measure}: mean Spearman rho {mean} (sd {spread}) over {len(found.rhos)} random "
           f"halves of the observers{told}, {found.images} images")  # fmt: skip
    yield f"reliability of all observers together (Spearman-Brown): {reliability}"
    yield f"noise ceiling, its square root: {ceiling}"


def _name(problems: Iterable[Problem]) -> None:
    for problem in problems:
        say(f"{problem.path}: {problem.text}")
