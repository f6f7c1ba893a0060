"""`amnet-cache`: look into collections."""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from amnet_common.collection import Collection
from amnet_common.commands import OneLineErrorsGroup, printable
from amnet_common.layout import DONE, FAILED, PENDING


@click.group(cls=OneLineErrorsGroup, context_settings={"show_default": True})
def main() -> None:
    """Look into collections of cached features."""


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--failed", is_flag=True, help="Name every failed image with its reason instead.")
def info(file: Path, failed: bool) -> None:
    """What a collection holds, from which weights and view plan, and how much of it is done."""
    collection = Collection(file)
    for line in failed_lines(collection) if failed else info_lines(collection):
        click.echo(printable(line))


def info_lines(collection: Collection) -> Iterator[str]:
    """The lines of `amnet-cache info`."""
    spec, made = collection.spec, collection.provenance
    counts = {name: int((collection.status == s).sum()) for name, s in (("done", DONE), ("failed", FAILED))}
    pending = int((collection.status == PENDING).sum())
    disk = collection.path.stat()
    yield f"file         {collection.path}"
    yield f"size         {disk.st_size / 1e9:.2f} GB, {disk.st_blocks * 512 / 1e9:.2f} GB on disk"
    yield f"images       {len(collection)}: {counts['done']} done, {counts['failed']} failed, {pending} pending"
    if len(collection.damaged):
        yield f"damaged      {len(collection.damaged)} rows whose mark does not hold; they count as pending"
    yield f"views        {collection.views} an image, each {collection.view_shape} {collection.dtype}"
    yield f"dataset      {made.get('dataset')}, images in {made.get('image_root')}"
    yield f"scores       {score_line(collection.labels)}"
    yield f"splits       {split_line(collection)}"
    yield f"trunk        {spec.trunk}, variant {spec.variant}, precision {spec.precision}"
    yield f"weights      {made.get('weights')}, sha256 {spec.weights_sha256}"
    yield f"pixels       {spec.pixels}"
    yield f"view plan    {', '.join(f'{key} {value}' for key, value in spec.view_plan.items())}"
    yield f"seed         {spec.seed}"
    yield f"fingerprint  {spec.fingerprint}"
    yield f"kernel path  {', '.join(f'{key} {value}' for key, value in collection.kernel_path.items())}"


def failed_lines(collection: Collection) -> Iterator[str]:
    """One line for each failed image."""
    for row in np.flatnonzero(collection.status == FAILED).tolist():
        yield f"{collection.ids[row]}: {collection.error(row)}"


def score_line(labels: np.ndarray) -> str:
    """How many images have a score, and the range of the scores."""
    known = labels[~np.isnan(labels)]
    if not len(known):
        return "none"
    return f"{len(known)} images, {known.min():.3f} to {known.max():.3f}, mean {known.mean():.3f}"


def split_line(collection: Collection) -> str:
    """The lists with their lengths."""
    return ", ".join(f"{name} ({len(split.rows)})" for name, split in collection.splits.items()) or "none"
