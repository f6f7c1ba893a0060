"""`amnet-head evaluate`: test what is already there on a collection's lists."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.folding import FOLDING
from amnet_common.commands import OneLineErrors, say, say_done, say_wrong, summary
from amnet_common.datasets import Columns
from amnet_common.datasets.columns import ID, SCORE
from amnet_common.datasets.score_table import read_score_table
from amnet_common.errors import ConfigError, OutputError, RunError
from amnet_common.files import whole_folder
from amnet_common.only_writer import only_writer
from amnet_common.table_options import table_options
from headtrain.cli.compare import print_table
from headtrain.cli.folds import fold_options, say_out_of_fold, with_lists
from headtrain.cli.options import ALL, PATH, chosen_splits, device_option, refuse_twice, say_repeated
from headtrain.cli.own_heads import arch_option
from headtrain.cli.together import say_notes

if TYPE_CHECKING:
    from headtrain.heads.head import Head
    from headtrain.scoring.beside import Reader, Seen
    from headtrain.scoring.on_splits import Evaluated

CHOOSING = ("validation", "stacked")  # of --weights: those that the validation images choose
FITTED = "undefined: these images chose the weights"
SEEN = ("undefined: a head was trained on images of this seeded tenth; the --data-seed of its training gives the tenth "
        "that it has not seen, unless the test list chose its epoch")  # fmt: skip
SEEN_BY_FILES = "undefined: a head was trained on files of these images"
UNKNOWN = "undefined: the table has not all of these images"


@click.command(cls=OneLineErrors)
@click.option("--features", type=PATH, multiple=True, required=True, help="The collection that amnet-extract wrote. "
              "Given again: each head reads the one, or those together, that it was trained on; the lists are the "
              "first's.")  # fmt: skip
@click.option("--head", "runs", type=PATH, multiple=True, help="Run, or folder of --split all. Given again: the mean "
              "of their scores, or what --weights says.")  # fmt: skip
@click.option("--scores", "paths", type=PATH, multiple=True, help="Another system's table id,score, alone or, with "
              "--weights, beside others.")  # fmt: skip
@table_options(ID, SCORE)
@click.option("--weights", type=click.Choice(("equal", "validation", "stacked")), help="Put systems together on one "
              "scale: equally, by their validation rho, or by non-negative least squares on validation.")  # fmt: skip
@click.option("--average", type=click.Choice(("score", "rank")), help="Of --weights: an image counts by what a system "
              "predicts of it, or by the rank of that within its list.  [default: score]")  # fmt: skip
@click.option("--view", help="View of each image that heads score, or all: the mean over all views.  [default: all if "
              "a kernel is among the heads, else 0]")  # fmt: skip
@click.option("--split", default=ALL, help="Number K of the lists val_K and test_K, or all.")
@fold_options
@click.option("--name", help="In tables.  [default: what --out is called]")
@click.option("--out", required=True, type=PATH, help="Folder of the results, for compare and table.")
@click.option("--data-seed", default=0, help="Of the validation tenth where a data set has no validation list.")
@click.option("--allow-missing", is_flag=True, help="Leave images without features out instead of refusing.")
@arch_option
@device_option
def evaluate(
    features: Sequence[Path], runs: Sequence[Path], paths: Sequence[Path], weights: str | None, average: str | None,
    view: str | None, split: str, folds: int | None, repeats: int | None,
    name: str | None, out: Path, data_seed: int, allow_missing: bool, device: str, columns: Columns,
) -> None:  # fmt: skip
    """Test heads together (an ensemble, over one view or all), other systems' scores, or both, on the same lists."""
    refuse_unclear(features, runs, paths, weights, average)
    with only_writer(out, make_folders=True):
        if out.exists():
            raise OutputError(f"--out {out}: expected a new folder, found one that exists; give another name")
        collections = [with_lists(features[:1], folds, repeats, runs), *map(Collection, features[1:])]
        collection, together = collections[0], Together(collections)
        from amnet_common.machine.devices import choose_device
        from headtrain.evaluation.metrics import spearman
        from headtrain.features.splits import split_subsets
        from headtrain.runs.documents import Result
        from headtrain.runs.results import save_result
        from headtrain.scoring.beside import have_seen_by_files, in_common, refuse_seen_by
        from headtrain.scoring.on_splits import chosen_by_heads, have_seen_validation, heads_for

        tables = {path: read_score_table(path, collection.ids, columns, tell) for path in paths}
        with whole_folder(out, "--out") as made:  # all splits or none
            for number in chosen_splits(collection, split):
                started = time.monotonic()
                heads = heads_for(runs, number, choose_device(device))
                readers = readers_of(runs, heads, together, view, number)
                others = [one for one in (*collections[1:], *together.joined)
                          if any(reader.collection is one for reader in readers)]  # fmt: skip
                found = split_subsets(collection, number, data_seed, allow_missing)
                found = chosen_by_heads(found, heads, number)
                seen = in_common(collection, others, found, allow_missing)
                refuse_seen_by(readers, collection, seen)
                say_repeated(collection, seen.subsets)
                say_untested(runs, number)
                subsets = seen.subsets
                by_files = have_seen_by_files(readers, collection, seen)
                fitting = by_files or have_seen_validation(heads, collection, number, data_seed)
                if fitting and weights:
                    raise ConfigError(f"--weights {weights}: split {number}: expected validation images that no head "
                                      "was trained on, found some")  # fmt: skip
                said, chosen = predictions_of(readers, tables, weights, average == "rank", collection, seen)
                if paths and np.array_equal(said.test, subsets.test.scores):
                    say_wrong(f"warning: split {number}: the table gives every test image the very score that people "
                              "gave: these seem to be their scores, not a system's")  # fmt: skip
                fitted = fitting or weights in CHOOSING
                val_rho = math.nan if fitted else spearman(said.val, subsets.val.scores)
                result = Result(
                    made / f"split-{number}", number, system=name or out.name, val_rho=val_rho, chosen=chosen,
                    seconds=time.monotonic() - started, heads=tuple(map(str, runs)),
                    views=widest(collection, view, readers),
                    other_features=beside(collection, others),
                )  # fmt: skip
                save_result(result, said.test, collection, subsets)
                told = f"; {chosen}" if chosen else ""
                unknown = UNKNOWN if np.isnan(said.val).any() else f"{val_rho:.4f}"
                of_val = (SEEN_BY_FILES if by_files else SEEN) if fitting else FITTED if fitted else unknown
                say(f"split {number}: val rho {of_val}{told}", err=True)
        print_table([out], say_done)
        summary(out)
        if not paths:  # a table says nothing of what it was made from
            say_out_of_fold(out, collection)


def tell(note: str) -> None:
    """Say how a table was read."""
    say(f"note: {note}", err=True)


def refuse_unclear(
    features: Sequence[Path], runs: Sequence[Path], tables: Sequence[Path], weights: str | None, average: str | None
) -> None:
    """Raise ConfigError unless it is said what is tested, and how several systems are put together."""
    refuse_twice("--features", features)
    refuse_twice("--head", runs)
    refuse_twice("--scores", tables)
    if weights and len(runs) + len(tables) < 2:
        raise ConfigError(f"--weights {weights}: expected two systems or more, found {len(runs) + len(tables)}")
    if not weights and (bool(runs) == bool(tables) or len(tables) > 1):
        raise ConfigError("evaluate: expected --head RUN, or --scores FILE.csv, and not both, unless --weights says "
                          "how they are put together")  # fmt: skip
    if average and not weights:
        raise ConfigError(f"--average {average}: expected --weights beside it, which puts systems together, found none")


class Together:
    """Give heads the collections that they read; those that read several together share them, which are opened, and
    told of, once.
    """

    def __init__(self, collections: Sequence[Collection]) -> None:
        self.collections = collections
        self.joined: list[Collection] = []
        self._as_they_are = [one.reopened() if one.provenance.get(FOLDING) else one for one in collections]

    def of(self, run: Path, head: "Head") -> Collection:
        """Return the collection that a head reads. Raises SpecError, CollectionError."""
        from headtrain.scoring.arranging import is_joint
        from headtrain.scoring.beside import collection_of

        if not is_joint(head.provenance):
            return collection_of(run, head, self.collections)
        found = collection_of(run, head, self._as_they_are)  # whatever folds were dealt of the first
        for one in self.joined:
            if one.files == found.files:
                return one
        say_notes(found)
        self.joined.append(found)
        return found


def beside(collection: Collection, others: Sequence[Collection]) -> tuple[str, ...]:
    """Name the files of other collections than the first, each once."""
    files = dict.fromkeys(str(path.absolute()) for one in others for path in one.files)
    return tuple(name for name in files if name != str(collection.path.absolute()))


def readers_of(
    runs: Sequence[Path], heads: "Sequence[Head]", together: Together, view: str | None, split: int
) -> "list[Reader]":
    """Give each head its collection, and say which where there are several, or how they differ. Raises SpecError,
    ConfigError.
    """
    from headtrain.scoring.beside import Reader
    from headtrain.scoring.scores import trunk_differences

    collections, readers = together.collections, []
    for run, head in zip(runs, heads, strict=True):
        own = together.of(run, head)
        readers.append(Reader(run, head, own, chosen_views(own, view, heads)))
        if len(collections) > 1:
            say(f"split {split}: {run} reads {own.path}", err=True)
        for line in trunk_differences(head.provenance, own):
            say_wrong(f"warning: {run} was trained on other features: {line}")
    for idle in collections[1:]:
        if not any(idle.path in reader.collection.files for reader in readers):
            say(f"note: split {split}: no head reads {idle.path}", err=True)
    return readers


def widest(first: Collection, view: str | None, readers: "Sequence[Reader]") -> tuple[int, ...]:
    """Return the views that a result names: those of the head that reads most; of tables alone those of --view."""
    views = [tuple(one.views) for one in readers] or [tuple(chosen_views(first, view, []))]
    return max(views, key=len)


def say_untested(runs: Sequence[Path], split: int) -> None:
    """Print a note for each run that was left untested, whose test list is read here."""
    from headtrain.runs.results import is_untested

    for run in (path for one in runs for path in (one, one / f"split-{split}")):
        if is_untested(run):
            say(f"note: {run} was trained with --no-test, and this reads its test list; amnet-head test {run} would "
                "keep what comes out", err=True)  # fmt: skip


def predictions_of(
    readers: "Sequence[Reader]", scores: "Mapping[Path, Mapping[str, float]]", weights: str | None, ranks: bool,
    collection: Collection, seen: "Seen",
) -> "tuple[Evaluated, str]":  # fmt: skip
    """Return what the systems say together, and how their weights were chosen."""
    from headtrain.scoring.beside import said, together
    from headtrain.scoring.on_splits import Evaluated, by_table
    from headtrain.scoring.stacking import Member, stacked

    subsets = seen.subsets
    if not weights:
        if readers:
            return together(readers, seen), ""
        ((path, table),) = scores.items()
        return by_table(table, path, collection, subsets), ""
    each = {str(one.run): said([one], seen) for one in readers}
    for path, table in scores.items():
        if np.isnan(by_table(table, path, collection, subsets).val).any():
            raise RunError(f"--scores {path}: expected all {len(subsets.val.rows)} validation images, which --weights "
                           "puts systems on one scale by, found some missing")  # fmt: skip
    each |= {str(path): by_table(table, path, collection, subsets) for path, table in scores.items()}
    members = [Member(name, one.val, one.test) for name, one in each.items()]
    found = stacked(members, subsets.val.scores, weights, ranks)
    parts = ", ".join(f"{weight:.2f} {name}" for name, weight in zip(each, found.weights, strict=True))
    return Evaluated(found.val, found.test), f"weights {weights}{' of ranks' if ranks else ''}: {parts}"


def chosen_views(collection: Collection, text: str | None, heads: "Sequence[Head]") -> range:
    """Return the views that --view names, or those that heads of this kind are tested on. Raises ConfigError."""
    if text is None:
        text = ALL if any(head.pools_views for head in heads) else "0"
    if text == ALL:
        return range(collection.views)
    if not text.isdecimal() or int(text) >= collection.views:
        raise ConfigError(f"--view: expected a number in 0..{collection.views - 1}, or all, found {text!r}")
    return range(int(text), int(text) + 1)
