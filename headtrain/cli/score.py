"""`amnet-head score`: scores of whole collections as a table."""

import contextlib
import heapq
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amnet_common.collection import Collection
from amnet_common.commands import OneLineErrors, progress, say, say_done, say_wrong, summary
from amnet_common.engine_options import RAY, engine_options, refuse_beside_engine
from amnet_common.errors import ConfigError
from headtrain.cli.computing import Computing, kernel_options
from headtrain.cli.options import PATH, device_option, refuse_twice
from headtrain.cli.outputs import TABLE, writing
from headtrain.cli.own_heads import arch_option
from headtrain.cli.together import joined_for
from headtrain.cli.trunks import warn_of_other_trunks
from headtrain.scoring.formats import FORMAT_NAMES, FORMATS

LEAST = 2  # test images that a rank correlation needs
FLAT_REACH = 0.03  # of the training scores' largest distance from their mean; a tenth of their usual deviation

if TYPE_CHECKING:
    from headtrain.heads.head import Head
    from headtrain.scoring.blocks import Counts
    from headtrain.scoring.job import Score, Scoring


@click.command(cls=OneLineErrors)
@click.option("--features", "files", required=True, multiple=True, type=PATH, help="A collection. Given again: "
              "several, one after the other, or those that the head was trained on together.")  # fmt: skip
@click.option("--head", "runs", required=True, multiple=True, type=PATH, help="Run, checkpoint, or folder of --split "
              "all. Given again, or several splits: their mean and spread.")  # fmt: skip
@click.option("--out", required=True, type=PATH, help=f"The table: {FORMAT_NAMES}.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="If the ending of --out does "
              "not say.")  # fmt: skip
@click.option("--views", type=click.Choice(("centre", "all")), help="The evaluation view, or the mean over all "
              "cached views.  [default: all if a kernel is among the heads, else centre]")  # fmt: skip
@click.option("--safe-csv", is_flag=True, help="Put an apostrophe before cells of a CSV table that a spreadsheet would "
              "take for formulas: names that begin with = + - @.")  # fmt: skip
@click.option("--append", is_flag=True, help="Score only what is new since --out was written.")
@click.option("--overwrite", is_flag=True, help="Replace an older table.")
@click.option("--top", default=0, type=click.IntRange(0), help="Print so many of the highest scores.")
@click.option("--bottom", default=0, type=click.IntRange(0), help="Print so many of the lowest scores.")
@kernel_options
@arch_option
@device_option
@engine_options
def score(
    files: Sequence[Path], runs: Sequence[Path], out: Path, kind: str | None, views: str | None, safe_csv: bool,
    append: bool, overwrite: bool, top: int, bottom: int, precision: str, compiled: bool | None, device: str,
    engine: str, address: str | None,
) -> None:  # fmt: skip
    """Write the score of every image, its step scores, which add up to it, its spread over heads and views, and how
    spread out the attention is. An interrupted scoring goes on with the same command."""
    from headtrain.scoring.job import as_begun, write_table

    if append and overwrite:
        raise ConfigError("score: expected --append or --overwrite, found both")
    refuse_beside_engine(engine, address)
    refuse_twice("--features", files)
    refuse_twice("--head", runs)
    computing = Computing(device, precision, compiled)
    with writing("--out", out, TABLE, True, [*files, *runs]):  # whether it may be replaced, write_table says
        collections = [Collection(file) for file in files]
        job = replace(job_of(collections, runs, out, kind, views, computing), safe_csv=safe_csv, labelled=True)
        if safe_csv and job.kind != "csv":
            raise ConfigError(f"--safe-csv: expected a CSV table, found {job.kind}")
        job = as_begun(job, append)
        begun = time.monotonic()
        with by_engine(engine, address) as by, progress("score", sum(map(len, job.collections)), "images") as bar:
            try:
                counts = write_table(job, append, overwrite, bar.update, by)
            except KeyboardInterrupt as stop:
                raise type(stop)(f"{job.part} keeps what is scored; the same command goes on from there") from None
        say_done(describe(counts, out, time.monotonic() - begun))
        summary(out, scored=counts.scored, kept=counts.kept, resumed=counts.resumed, missing=counts.missing,
                gone=counts.gone)  # fmt: skip
        if line := flat_scores(counts.spread, [*job.heads.values()]):
            say_wrong(line)
        print_test(job)
        print_ends(job, top, bottom)


@contextlib.contextmanager
def by_engine(engine: str, address: str | None) -> "Iterator[Score]":
    """Yield who scores blocks: this process, or a cluster."""
    from headtrain.scoring.job import score_here

    if engine != RAY:
        yield score_here
        return
    from amnet_common.ray_tasks import connected
    from headtrain.scoring.ray_engine import RayScoring

    with connected(address) as cluster:
        yield RayScoring(cluster, click.get_current_context().params["arch"])


def job_of(
    collections: "Sequence[Collection]", runs: Sequence[Path], out: Path, kind: str | None, views: str | None,
    computing: Computing,
) -> "Scoring":  # fmt: skip
    """Load the heads, choose how they are computed, and say so."""
    from amnet_common.machine.beginning import begin_to_compute
    from amnet_common.machine.devices import choose_device
    from headtrain.compute.kernels import choose_kernels
    from headtrain.scoring.ensemble import load_ensemble
    from headtrain.scoring.formats import format_of
    from headtrain.scoring.job import ALL, Scoring

    kind, device = format_of(out, kind), choose_device(computing.device)
    begin_to_compute()
    heads = load_ensemble(runs, device)
    made = {path: head.provenance for path, head in heads.items()}
    collections = joined_for(made, collections)
    views = views or (ALL if any(head.pools_views for head in heads.values()) else "centre")
    shown = len(heads) * sum(len(one) * (one.views if views == ALL else 1) for one in collections)
    foreign = any(head.config.source for head in heads.values())
    kernels = choose_kernels(computing.precision, computing.compiled, device, shown, foreign)
    warn_of_other_trunks(made, collections)
    say(f"{len(heads)} head{'s' * (len(heads) > 1)}, {kernels}", err=True)
    return Scoring(heads, collections, out, kind, views, kernels)


def describe(counts: "Counts", out: Path, seconds: float) -> str:
    """Describe what was done, and how fast."""
    kept = f", {counts.kept} kept" if counts.kept else ""
    kept += f", {counts.resumed} from before the interruption" if counts.resumed else ""
    kept += f", {counts.gone} gone" if counts.gone else ""
    missing = f", {counts.missing} images without features left empty" if counts.missing else ""
    return f"{out}: {counts.scored} images scored{kept}{missing}; {counts.scored / max(seconds, 1e-9):.0f} images/s"


def flat_scores(spread: float, heads: "Sequence[Head]") -> str:
    """Describe scores that hardly differ beside those that the heads were trained on; empty if they do."""
    reach = max((1 / head.target_scale.item() for head in heads if not head.pools_views), default=0.0)
    if not spread < FLAT_REACH * reach:
        return ""
    sizes = f"sd {spread:.2g}; those of the training reach {reach:.2g} from their mean"
    return (f"note: the scores hardly differ ({sizes}): the head has learnt next to nothing, or the images are all "
            "alike")  # fmt: skip


def print_test(job: "Scoring") -> None:
    """Print how well the scores rank the test images, if the table tells which these are."""
    from headtrain.scoring.formats import read_rows
    from headtrain.scoring.standing import TRAIN, VAL, of_test

    if not job.labelled:
        say(f"note: {job.out} was begun without the columns split and human, and goes on so; another --out has them",
            err=True)  # fmt: skip
        return
    found = of_test(read_rows(job.out, job.kind, job.steps))
    left_out = {TRAIN: found.others[TRAIN], VAL: found.others[VAL]}
    left = f"{left_out[TRAIN]} training and {left_out[VAL]} validation images are left out"
    if found.images >= LEAST:
        low, high = found.interval.low, found.interval.high
        summary(test_images=found.images, rho=found.rho, rho_low=low, rho_high=high)
        say_done(f"{job.out}: rho {found.rho:.4f} [{low:.3f}, {high:.3f}] with people's scores on its {found.images} "
                 f"test images; {left}")  # fmt: skip
    elif any(left_out.values()):
        say(f"note: {job.out} has no test images of these heads ({left}): a rho over all its rows would say nothing of "
            "new images", err=True)  # fmt: skip


def print_ends(job: "Scoring", top: int, bottom: int) -> None:
    """Print the highest and the lowest scores of the table."""
    from headtrain.scoring.formats import read_rows

    for count, pick, name in ((top, heapq.nlargest, "highest"), (bottom, heapq.nsmallest, "lowest")):
        if count:
            scored = ((row.score, row.id) for row in read_rows(job.out, job.kind, job.steps) if row.score is not None)
            say(f"{name}:")
            for value, id_ in pick(count, scored):
                say(f"  {value:.4f}  {id_}")
