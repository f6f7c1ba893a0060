"""`amnet-head attend`: where a head looked, step by step."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amnet_common.collection import Collection
from amnet_common.commands import OneLineErrors, say, say_wrong
from amnet_common.errors import ConfigError, MissingRowsError
from headtrain.cli.options import PATH, device_option, features_option
from headtrain.cli.outputs import MAPS, PICTURE, overwrite_option, writing
from headtrain.cli.own_heads import arch_option
from headtrain.cli.together import opened_for
from headtrain.cli.trunks import warn_of_other_trunks

if TYPE_CHECKING:
    from headtrain.figures.looks import Look

MOST_IMAGES = 50  # on one picture


@click.command(cls=OneLineErrors)
@features_option
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--head", "run", required=True, type=PATH, help="Run folder or checkpoint file.")
@click.option("--view", default=0, type=click.IntRange(0), help="View that the head looks at.")
@click.option("--images", type=PATH, help="Folder of the image files.  [default: where they were extracted from]")
@click.option("--out", default="attention.png", type=PATH, help="Picture, .png, .svg or .pdf.")
@click.option(
    "--maps",
    type=PATH,
    help="Also write the weights as they are, (n, T, 14, 14) or the grid of another trunk, float32, as a .npy file.",
)
@overwrite_option
@arch_option
@device_option
def attend(
    features: Sequence[Path], ids: Sequence[str], run: Path, view: int, images: Path | None, out: Path,
    maps: Path | None, overwrite: bool, device: str,
) -> None:  # fmt: skip
    """Draw the attention of each step over images of a collection, which are named as in it."""
    if len(ids) > MOST_IMAGES:
        raise ConfigError(f"attend: expected at most {MOST_IMAGES} images, found {len(ids)}")
    if images and not images.is_dir():
        raise ConfigError(f"--images {images}: expected a folder, found none")
    inputs = [*features, run]
    with contextlib.ExitStack() as held:
        held.enter_context(writing("--out", out, PICTURE, overwrite, inputs))
        if maps:
            held.enter_context(writing("--maps", maps, MAPS, overwrite, inputs))
        looks = looked(features, ids, run, view, images, device)
        draw(looks, view, out, maps)


def looked(
    features: Sequence[Path], ids: Sequence[str], run: Path, view: int, images: Path | None, device: str
) -> "list[Look]":
    """Compute what the head sees of each image; images whose files are gone are named."""
    from amnet_common.machine.devices import choose_device
    from headtrain.figures.looks import looks_of
    from headtrain.heads.checkpoint import checkpoint_of, load_head, read_provenance

    collection = opened_for({str(run): read_provenance(checkpoint_of(run))}, features)
    rows = rows_of(collection, ids)
    head = load_head(run, choose_device(device))
    warn_of_other_trunks({str(run): head.provenance}, [collection])
    looks = looks_of(collection, head, rows, view, images)
    for look in looks:
        if look.missing:
            say_wrong(f"{look.id}: drawn without its picture: {look.missing}")
    return looks


def draw(looks: "Sequence[Look]", view: int, out: Path, maps: Path | None) -> None:
    """Write the picture and, if they are asked for, the weights as they are."""
    from headtrain.figures.look_figure import draw_looks
    from headtrain.figures.looks import save_maps

    draw_looks(looks, out, view)
    say(out)
    if maps:
        save_maps(maps, looks)
        say(maps)


def rows_of(collection: Collection, ids: Sequence[str]) -> list[int]:
    """Return the rows of the images called `ids`. Raises MissingRowsError for an image that the collection has not."""
    row_of = {id_: row for row, id_ in enumerate(collection.ids)}
    for id_ in ids:
        if id_ not in row_of:
            raise MissingRowsError(f"{collection.path}: expected an image named as in the collection, such as "
                                   f"{collection.ids[0]}, found {id_}")  # fmt: skip
    return [row_of[id_] for id_ in ids]
