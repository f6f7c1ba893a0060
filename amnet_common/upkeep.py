"""`amnet-cache compact` and `remove`: what a collection that lives on needs now and then."""

import codecs
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.compacting import compact
from amnet_common.collection.description import counts, numbers
from amnet_common.collection.parts_folder import remove_superseded
from amnet_common.collection.removing import Removal, carry_out, planned
from amnet_common.commands import OneLineErrors, deferred_interrupt, progress, say, say_done, summary
from amnet_common.datasets.records import decode_id
from amnet_common.errors import ConfigError, DatasetError
from amnet_common.image_files import is_there
from amnet_common.only_writer import only_writer
from amnet_common.progress import Progress
from amnet_common.small_texts import small_bytes

PATH = click.Path(path_type=Path)


@click.command("compact", cls=OneLineErrors)
@click.argument("file", type=PATH)
@click.option("--out", type=PATH, help="A new file, and FILE stays; else the new one takes FILE's name, and parts in"
              " FILE.parts go.")  # fmt: skip
def compact_command(file: Path, out: Path | None) -> None:
    """Copy a collection of many parts into one file with features of its own.

    Every byte is compared with its checksum, when it is read and in the new file, before anything old goes. What FILE
    does not name, images that are gone say, is left behind. The same command goes on where it stopped.
    """
    with only_writer(out or file), deferred_interrupt() as check_interrupt:
        rows = len(Collection(file))
        with progress("copy", rows, "images") as copied, progress("verify", rows, "images") as checked:

            def advance(bar: Progress, count: int) -> None:
                check_interrupt()
                bar.update(count)

            done = compact(file, out, partial(advance, copied), partial(advance, checked))
        collection = Collection(out or file)
    summary(collection.path, **numbers(collection), copied=done)
    say_done(f"{collection.path}: {counts(collection)}, in one file"
             + ("" if done else " with features of its own already; nothing to do"))  # fmt: skip


@click.command("remove", cls=OneLineErrors)
@click.argument("file", type=PATH)
@click.argument("ids", nargs=-1)
@click.option("--list", "table", type=PATH, help="A text file with one id a line.")
@click.option("--ignore-missing", is_flag=True, help="Also if FILE does not hold some of them.")
def remove_command(file: Path, ids: tuple[str, ...], table: Path | None, ignore_missing: bool) -> None:
    """Remove images from a collection, so that neither their features nor their names are left in its files.

    Features are overwritten with zeros first; then the files that hold the names are written anew without them. What a
    disk, a snapshot or a backup keeps of old blocks is beyond this, and so are other collections and tables of scores.
    """
    named = [*ids, *(id_lines(table) if table else ())]
    if not named:
        raise ConfigError("remove: expected ids of images, or --list FILE, found none")
    with only_writer(file):
        remove_superseded(file, Collection(file))
        removal = planned(file, named, ignore_missing)
        with deferred_interrupt() as check_interrupt, progress("copy", removal.copied, "images") as bar:

            def advance(count: int) -> None:
                check_interrupt()
                bar.update(count)

            carry_out(file, removal, advance)
        collection = Collection(file)
        remove_superseded(file, collection)
    erased = sum(map(len, removal.rows.values()))
    removed = len(removal.keep) - int(removal.keep.sum())
    summary(file, **numbers(collection), removed=removed, erased=erased)
    say_done(f"{file}: {removed} images removed, {erased} rows erased; {counts(collection)}")  # fmt: skip
    for line in removal_notes(removal):
        say(f"note: {line}", err=True)


def removal_notes(removal: Removal) -> Iterator[str]:
    """Yield what may still remind of images that were removed."""
    if removal.shared:
        yield (f"{len(removal.shared)} images that stay, such as {removal.shared[0]}, have the same content, and keep "
               "its features")  # fmt: skip
    for path in removal.elsewhere:
        yield f"{path} is in another folder: the features are overwritten, the names stay there"
    images = (removal.collection.image_path(row) for row in np.flatnonzero(~removal.keep).tolist())
    there = [image for image in images if is_there(image)]
    if there:
        yield f"{len(there)} image files are still there, such as {there[0]}: an extraction would add them again"


def id_lines(path: Path) -> list[str]:
    """Read ids, one a line, as file names have them. Raises DatasetError."""
    try:
        lines = small_bytes(path).removeprefix(codecs.BOM_UTF8).splitlines()
    except (OSError, ValueError) as error:
        raise DatasetError(f"--list {path}: expected a text with one id a line, found: {error}") from error
    return [decode_id(line) for line in lines if line.strip()]
