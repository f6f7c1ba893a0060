"""`amnet-extract`: images to a collection."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DTYPES, PENDING
from amnet_common.collection.parts_folder import all_parts
from amnet_common.collection.score_names import named
from amnet_common.commands import OneLineErrors, progress, say, say_done, summary, version_option
from amnet_common.datasets import NAMES, Choice, Columns, load_dataset
from amnet_common.datasets.columns import ID, LIST, RATER, SCORE, SPLIT
from amnet_common.datasets.extremes import questions, range_line
from amnet_common.datasets.records import Dataset, subset
from amnet_common.engine_options import RAY, engine_options, refuse_beside_engine
from amnet_common.errors import ConfigError
from amnet_common.images import Limits
from amnet_common.machine.cards import parse_devices, present_devices
from amnet_common.remote import is_remote, list_anew, url_of
from amnet_common.table_options import table_options
from extract.crops import PLANS, ViewPlan, of_trunk, of_version, view_plan
from extract.found import look
from extract.in_store import InStore, in_store
from extract.job import Job, decide
from extract.known import NewImages, find_new_images
from extract.makers import described, lines_at_hand
from extract.request import AUTO, Request, Shard
from extract.runners import begun_without_srun, place_among
from extract.summary import finish
from extract.sync.carrying_out import plan_sync, synchronise
from extract.sync.deciding import Policy
from extract.trunk_description import USUAL
from extract.weight_source import VARIANT_NAMES, Expected, chosen_source, is_remembered

if TYPE_CHECKING:
    from extract.compute import Hardware

PATH = click.Path(path_type=Path)
DEFAULT_PLAN, DEFAULT_AUGS, DEFAULT_SEED, DEFAULT_DTYPE = ViewPlan.name, ViewPlan.augs, Request.seed, Request.dtype


def list_trunks(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the networks that are at hand for --trunk, and end."""
    if asked and not ctx.resilient_parsing:
        for line in lines_at_hand():
            say(line)
        ctx.exit()


@click.command(cls=OneLineErrors, context_settings={"show_default": True})
@version_option
@click.option("--dataset", "name", required=True, type=click.Choice(NAMES), help="Layout of the images and scores.")
@click.option(
    "--root",
    type=PATH,
    help="Its folder, or s3://bucket/folder and its like.  [default: $AMNET_DATA/DATASET or data/DATASET]",
)
@click.option("--labels", type=PATH, help="With --dataset csv: the table id,score[,split].")
@table_options(ID, SCORE, SPLIT, LIST, RATER)
@click.option("--score-name", show_default=False, help="What the scores are called, valence say, in report, figure and"
              " methods.  [default: memorability]")  # fmt: skip
@click.option("--exclude", "excluded", multiple=True, metavar="GLOB", help="With --dataset folder: leave out files and"
              " folders of this name, or path if it has a slash. May be given again.")  # fmt: skip
@click.option("--include", "included", multiple=True, metavar="GLOB", help="With --dataset folder: take only these; or,"
              " naming a folder that is left out by itself (@eaDir), that too. May be given again.")  # fmt: skip
@click.option("--out", type=PATH, help="The collection; s3://bucket/photos.h5 and its like: sent there when it is "
              "finished.  [default: DATASET.h5]")  # fmt: skip
@click.option("--plan", type=click.Choice([*PLANS]), help="What the views show: standard crops; or, as the authors'"
              " release, the whole image squashed (squash), with crops drawn in 264x264 (squash264); or the whole"
              " image, and large crops of its own shape (full)."
              f"  [default: {DEFAULT_PLAN}]")  # fmt: skip
@click.option("--plan-version", type=int, help="Of standard: 2 shows as view 0 just what torchvision's Resize(256) and"
              " CenterCrop(224) show, 1 as before.  [default: of the file or --like, else 2]")  # fmt: skip
@click.option("--augs", type=int, help="Augmented views of each image, beside the evaluation view."
              f"  [default: {DEFAULT_AUGS}]")  # fmt: skip
@click.option("--trunk", "trunk_name", metavar="NAME", help="The network and its layer: torchvision:NETWORK/LAYER, "
              f"NETWORK-LAYER, timm:NETWORK; @SIZE behind it for another input size.  [default: {USUAL}]")  # fmt: skip
@click.option("--list-trunks", is_flag=True, is_eager=True, expose_value=False, callback=list_trunks,
              help="List the networks that are at hand for --trunk.")  # fmt: skip
@click.option("--weights", help="imagenet1k-v1, imagenet1k-v2, untrained, or a .safetensors, .pth, .pt or .pkl file."
              "  [default: $AMNET_WEIGHTS or imagenet1k-v1]")  # fmt: skip
@click.option("--variant", type=click.Choice(VARIANT_NAMES), help="Wiring and input of a ResNet50's file of weights"
              " that names none.  [default: torchvision, or what is recognised]")  # fmt: skip
@click.option("--expect-weights", default="", metavar="SHA256", show_default=False, help="Refuse other weights than"
              " these before the first image; as amnet-cache info prints it.")  # fmt: skip
@click.option("--seed", type=int, help=f"Of the augmented views and the sample for scales.  [default: {DEFAULT_SEED}]")
@click.option("--dtype", type=click.Choice([*DTYPES]), help="Of the stored features; uint8 takes half the disk."
              f"  [default: {DEFAULT_DTYPE}]")  # fmt: skip
@click.option("--like", type=PATH, help="Take --trunk, --plan, --augs, --seed, --dtype, --precision and the scales of"
              " this collection, so that both can be linked.")  # fmt: skip
@click.option("--except", "old", type=PATH, multiple=True, help="Leave out images that this collection holds, by"
              " content. May be given again.")  # fmt: skip
@click.option("--shard", default="1/1", help="I/N: fill only part I of N parts of the rows; auto: by the variables of"
              " Slurm, torchrun or Kubernetes.")  # fmt: skip
@click.option("--limit", type=int, help="Fill only the first N rows; the same command without it does the rest.")
@click.option("--retry-failed", is_flag=True, help="Try images again that failed before.")
@click.option("--update", is_flag=True, help="Extract images anew whose files have changed.")
@click.option("--rehash", is_flag=True, help="Look for changed files by content, not by size and time.")
@click.option("--only-begun", is_flag=True, help="Leave out images that the collection was not begun with.")
@click.option("--sync", "follow", is_flag=True, help="Keep the collection in step with the folder or table: new, "
              "changed and renamed images, and those that are gone.")  # fmt: skip
@click.option("--prune", is_flag=True, help="With --sync: erase the features of images that are gone or have changed.")
@click.option("--overwrite", is_flag=True, help="Throw away the collection that is there and begin anew.")
@click.option("--dry-run", is_flag=True, help="Print images, views, bytes, free disk and time from a short probe.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--devices", metavar="LIST", help="Several cards: all, 0,1 or cuda:0,cuda:1. Each has a process of its"
              " own, which fills its part of the rows.")  # fmt: skip
@engine_options
@click.option("--precision", default="auto", type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
              help="Of the network's arithmetic; auto: half precision where the hardware has it.")  # fmt: skip
@click.option("--compile/--no-compile", "compiled", default=None, show_default=False,
              help="Compile the network.  [default: where the job is long enough and there is a compiler]")  # fmt: skip
@click.option("--batch-size", type=int, help="Views a batch.  [default: 8 on a CPU, 256 on a GPU]")
@click.option("--threads", type=click.IntRange(min=1), help="Of the network on a CPU.  [default: one a core]")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Decoding threads, of each card.  [default: by the number of cores]"
)
@click.option("--max-megapixels", type=float, default=Limits.max_megapixels,
              help="Larger pictures fail; with it grows the memory that decoding may take.")  # fmt: skip
@click.option("--allow-other-kernels", is_flag=True,
              help="Go on with a file begun on another device or version; last bits will differ.")  # fmt: skip
def main(
    name: str, root: Path | None, labels: Path | None, score_name: str | None,
    excluded: tuple[str, ...], included: tuple[str, ...], out: Path | None,
    plan: str | None, plan_version: int | None, augs: int | None, trunk_name: str | None,
    weights: str | None, variant: str | None, expect_weights: str,
    seed: int | None, dtype: str | None, like: Path | None, old: tuple[Path, ...], shard: str,
    limit: int | None, retry_failed: bool, update: bool, rehash: bool, only_begun: bool, follow: bool, prune: bool,
    overwrite: bool, dry_run: bool, device: str, devices: str | None, engine: str, address: str | None,
    precision: str, compiled: bool | None,
    batch_size: int | None, threads: int | None, workers: int | None, max_megapixels: float,
    allow_other_kernels: bool, columns: Columns,
) -> int:  # fmt: skip
    """Run the frozen network once over several views of every image and keep the features in one HDF5 file.

    The same command again goes on where it stopped. Exit status 0: all done; 1: done, but some images failed;
    2: wrong use or input, or a process of --devices died; 75: try again later; 129, 130, 143: stopped from without.
    """
    if follow:
        refuse_beside_sync({"--shard": shard != "1/1", "--limit": limit, "--except": old, "--only-begun": only_begun,
                            "--overwrite": overwrite})  # fmt: skip
    elif prune:
        raise ConfigError("--prune: expected with --sync, found without")
    refuse_beside_engine(engine, address, devices)
    asked_for = None if devices is None else parse_devices(devices, device)
    part = chosen_shard(shard, os.environ)
    list_anew()
    dataset = load_dataset(name, root, labels, Choice(excluded, included), columns)
    dataset = replace(dataset, about={**dataset.about, **named(score_name)})
    for note in [*dataset.notes, *(score_notes(dataset) if labels else ())]:
        say(f"note: {note}", err=True)
    if old:
        dataset = without_known(dataset, [Collection(path) for path in old])
    expected = Expected.parse(expect_weights)
    out = followed(out or Path(f"{name}.h5"))
    store = None
    if is_remote(out):
        refuse_in_store(out, {"--shard": shard != "1/1", "--limit": limit, "--only-begun": only_begun,
                              "--prune": prune})  # fmt: skip
        place = in_store(out, follow, overwrite and not dry_run)
        store = click.get_current_context().with_resource(place)
        out = store.local
    model = Collection(like) if like else kept_in_step(out) if follow else None
    defaults = Defaults.of(model) if model else Defaults()
    trunk = described(trunk_name or defaults.trunk)
    with expected.named():
        source = chosen_source(weights, trunk.published)
    if only_begun:
        begun_with = set(Collection(out).ids)
        dataset = subset(dataset, np.array([id_ in begun_with for id_ in dataset.ids]))
    views = of_version(view_plan(plan or defaults.plan, defaults.augs if augs is None else augs), plan_version)
    request = Request(
        out=out,
        dataset=dataset,
        weights=source,
        expected=expected,
        part_mark=store.mark if store else "",
        trunk=trunk,
        variant=variant,
        plan=of_trunk(views, trunk),
        any_version=plan_version is None,
        seed=defaults.seed if seed is None else seed,
        dtype=dtype or defaults.dtype,
        precision=model.spec.precision if model and precision == "auto" else precision,
        shard=part,
        limit=limit,
        limits=Limits(max_megapixels),
        like=model,
        overwrite=overwrite,
        retry_failed=retry_failed,
        update=update,
        rehash=rehash,
        allow_other_kernels=allow_other_kernels,
    )
    hardware = Asked(device, asked_for, batch_size, threads, workers, compiled, engine, address)
    if follow:
        status = kept(request, Policy(rehash, retry_failed), prune, hardware, store, dry_run)
    else:
        status = extracted(request, hardware, store, dry_run)
    return store.send(status) if store and not dry_run else status


def kept(request: Request, policy: Policy, prune: bool, hardware: "Asked", store: InStore | None, planned: bool) -> int:
    """Bring a collection to the state of its dataset, or say what that would do; return the exit status."""
    if planned:
        return plan_sync(request, policy, hardware.plan)
    if store:
        store.announce()
    return synchronise(request, policy, prune, hardware.run)


def extracted(request: Request, hardware: "Asked", store: InStore | None, planned: bool) -> int:
    """Fill the file of a request, or say what that would cost; return the exit status."""
    job = decide(request, look(request), planned=planned)
    if store and not request.overwrite:
        store.refuse_to_fill(job.images)
    if planned:
        return hardware.plan(job)
    if nothing_to_do(job) and not request.expected.sha256:
        return finish(job, [], 0.0)
    if store is None:
        return hardware.run(job)
    store.announce()
    return hardware.run(job, store.begun)


@dataclass(frozen=True)
class Asked:
    """Hold what the command says of the hardware; torch, which takes seconds to import, is loaded when it is used."""

    device: str
    devices: tuple[str, ...] | None  # of --devices
    batch_size: int | None
    threads: int | None
    workers: int | None
    compiled: bool | None
    engine: str
    address: str | None  # of the engine

    def _chosen(self) -> tuple["Hardware", tuple[str, ...]]:
        cards = (self.device,) if self.devices is None else present_devices(self.devices)
        from extract.compute import Hardware

        hardware = Hardware(cards[0], batch_size=self.batch_size, threads=self.threads, workers=self.workers,
                            compiled=self.compiled)  # fmt: skip
        return hardware, cards

    def plan(self, job: Job) -> int:
        """Print what a job will cost, and return the exit status."""
        hardware, cards = self._chosen()
        from extract.running import print_plan

        return print_plan(job, hardware, cards)

    def run(self, job: Job, begun: Callable[[Job], object] = lambda _: None) -> int:
        """Carry a job out, and return the exit status; `begun` gets it once its file is there."""
        hardware, cards = self._chosen()
        from extract.running import run

        if self.engine != RAY:
            return run(job, hardware, cards, progress, begun)
        from amnet_common.ray_tasks import connected

        with connected(self.address) as cluster:
            return run(job, hardware, cards, progress, begun, cluster)


def refuse_beside_sync(given: Mapping[str, object]) -> None:
    """Raise ConfigError for an option that means nothing for a collection that is kept in step; `given` by name."""
    for option, value in given.items():
        if value:
            raise ConfigError(f"--sync: expected without {option}, found both; a collection that is kept in step holds "
                              "all images of the folder or table")  # fmt: skip


def refuse_in_store(out: Path, given: Mapping[str, object]) -> None:
    """Raise ConfigError for an option that means nothing for a file that is sent as a whole; `given` by name."""
    for option, value in given.items():
        if value:
            raise ConfigError(f"--out {url_of(out)}: expected without {option}, found both; a collection is sent to a "
                              "store as a whole, and its parts are not changed there")  # fmt: skip


def kept_in_step(out: Path) -> Collection | None:
    """Return what --sync goes on with, whose settings a command takes that names none; None: it begins."""
    if os.path.exists(out):
        return Collection(out)
    parts = all_parts(out, None)
    return Collection(parts[0].path) if parts else None


def chosen_shard(text: str, variables: Mapping[str, str]) -> Shard:
    """Return the shard of that text; for auto, the one that the variables of a batch system name, with a line about it.

    Raises ConfigError.
    """
    if text != AUTO:
        return Shard.parse(text)
    place = place_among(variables)
    for note in (f"--shard auto: {place.described(variables)}", begun_without_srun(variables)):
        if note:
            say(f"note: {note}", err=True)
    return Shard(place.number, place.count)


def score_notes(dataset: Dataset) -> Iterator[str]:
    """Yield the range of the scores of a table, and what is to be asked about its ends."""
    if line := range_line(dataset.labels):
        yield line
    yield from questions(dataset.labels)


def nothing_to_do(job: Job) -> bool:
    """Tell whether the file is complete and certain to be of the request's weights, which needs no torch to say."""
    return job.complete and job.collection is not None and is_remembered(job.request.weights, job.collection.provenance)


def followed(out: Path) -> Path:
    """Return `out`, or where it points to as a symbolic link, also if nothing is there yet."""
    return Path(os.path.realpath(out)) if os.path.islink(out) else out


@dataclass(frozen=True)
class Defaults:
    """Hold --trunk, --plan, --augs, --seed and --dtype where the command does not say."""

    trunk: str = USUAL
    plan: str = DEFAULT_PLAN
    augs: int = DEFAULT_AUGS
    seed: int = DEFAULT_SEED
    dtype: str = DEFAULT_DTYPE

    @classmethod
    def of(cls, like: Collection) -> "Defaults":
        """Return those of a collection."""
        return cls(
            like.spec.trunk, str(like.spec.view_plan.get("name")), like.views - 1, like.spec.seed, like.spec.dtype
        )


def without_known(dataset: Dataset, old: list[Collection]) -> Dataset:
    """Return what --except leaves of a dataset, and say what it leaves out. Exits with status 0 if nothing is left."""
    new = find_new_images(dataset, old)
    names = ", ".join(str(collection.path) for collection in old)
    held = len(dataset.ids) - int(new.keep.sum())
    say(f"{held} of {len(dataset.ids)} images are in {names}", err=True)
    for line in except_notes(dataset, old, new, names):
        say(f"note: {line}", err=True)
    if not new.keep.any():
        say_done(f"nothing to do: every image is in {names}")
        summary(images=len(dataset.ids), done_now=0)
        raise click.exceptions.Exit(0)
    return subset(dataset, new.keep)


def except_notes(dataset: Dataset, old: list[Collection], new: NewImages, names: str) -> Iterator[str]:
    """Yield what of --except may surprise a user later."""
    if new.clashes:
        example = new.clashes[0]
        yield (f"{len(new.clashes)} images, such as {example}, have names that {names} holds with other content: there "
               "these names keep the features of the old files, and no collection that has them anew can be linked "
               "with it")  # fmt: skip
    if any(PENDING in collection.status for collection in old):
        yield f"{names} is not finished: an image that is extracted now and there too makes a link of both impossible"
    scored = int((~np.isnan(dataset.labels[~new.keep])).sum())
    if scored:
        yield f"{scored} of these have scores, which are left out here; amnet-cache relabel gives {names} new scores"
