"""`amnet-head evaluate`: test what is already there on a collection's lists."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import click

from amnet_common.collection import Collection
from amnet_common.commands import OneLineErrors, say
from amnet_common.errors import ConfigError, OutputError
from amnet_common.files import whole_folder
from amnet_common.only_writer import only_writer
from headtrain.cli.compare import print_table
from headtrain.cli.options import ALL, PATH, chosen_splits, device_option, features_option, say_repeated

SEEN = ("undefined: a head was trained on images of this seeded tenth; the --data-seed of its training gives the tenth "
        "that it has not seen, unless the test list chose its epoch")  # fmt: skip


@click.command(cls=OneLineErrors)
@features_option
@click.option("--head", "runs", type=PATH, multiple=True, help="Run, or folder of --split all. Given again: the mean "
              "of their scores.")  # fmt: skip
@click.option("--scores", type=PATH, help="Instead of heads: another system's table id,score.")
@click.option("--view", default="0", help="View of each image that heads score, or all: the mean over all views.")
@click.option("--split", default=ALL, help="Number K of the lists val_K and test_K, or all.")
@click.option("--name", help="In tables.  [default: what --out is called]")
@click.option("--out", required=True, type=PATH, help="Folder of the results, for compare and table.")
@click.option("--data-seed", default=0, help="Of the validation tenth where a data set has no validation list.")
@click.option("--allow-missing", is_flag=True, help="Leave images without features out instead of refusing.")
@device_option
def evaluate(
    features: Path, runs: Sequence[Path], scores: Path | None, view: str, split: str, name: str | None, out: Path,
    data_seed: int, allow_missing: bool, device: str,
) -> None:  # fmt: skip
    """Test heads together (an ensemble, over one view or all), or another system's scores, on the same lists."""
    if bool(runs) == bool(scores):
        raise ConfigError("evaluate: expected --head RUN, or --scores FILE.csv, and not both")
    with only_writer(out, make_folders=True):
        if out.exists():
            raise OutputError(f"--out {out}: expected a new folder, found one that exists; give another name")
        collection = Collection(features)
        views = chosen_views(collection, view)
        from amnet_common.machine.devices import choose_device
        from headtrain.evaluation.metrics import spearman
        from headtrain.features.splits import split_subsets
        from headtrain.runs.documents import Result
        from headtrain.runs.results import save_result
        from headtrain.scoring.on_splits import (
            by_heads,
            by_table,
            chosen_by_heads,
            have_seen_validation,
            heads_for,
            read_scores,
            refuse_seen,
        )

        table = read_scores(scores) if scores else {}
        with whole_folder(out, "--out") as made:  # all splits or none
            for number in chosen_splits(collection, split):
                started = time.monotonic()
                heads = heads_for(runs, number, choose_device(device))
                found = split_subsets(collection, number, data_seed, allow_missing)
                refuse_seen(runs, heads, collection, found)
                say_repeated(collection, found)
                subsets = chosen_by_heads(found, heads, number)
                said = (by_table(table, scores, collection, subsets) if scores
                        else by_heads(heads, collection, subsets, views))  # fmt: skip
                seen = have_seen_validation(heads, collection, number, data_seed)
                val_rho = math.nan if seen else spearman(said.val, subsets.val.scores)
                result = Result(
                    made / f"split-{number}", number, system=name or out.name, val_rho=val_rho,
                    seconds=time.monotonic() - started, heads=tuple(str(run) for run in runs), views=tuple(views),
                )  # fmt: skip
                save_result(result, said.test, collection, subsets)
                say(f"split {number}: val rho {SEEN if seen else f'{val_rho:.4f}'}", err=True)
        print_table([out])


def chosen_views(collection: Collection, text: str) -> range:
    """Return the views that --view names. Raises ConfigError."""
    if text == ALL:
        return range(collection.views)
    if not text.isdecimal() or int(text) >= collection.views:
        raise ConfigError(f"--view: expected a number in 0..{collection.views - 1}, or all, found {text!r}")
    return range(int(text), int(text) + 1)
