"""`amnet-head test RUN`: runs of --no-test on the test lists of their own splits, once."""

from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from amnet_common.collection.folding import with_lists_of
from amnet_common.collection.side_by_side import opened
from amnet_common.commands import say, say_wrong, summary
from amnet_common.errors import ConfigError
from headtrain.cli.figure import on_axis
from headtrain.cli.folds import say_out_of_fold
from headtrain.cli.options import refuse_twice
from headtrain.cli.outputs import drawing
from headtrain.cli.train import describe_result, print_mean

OF_RUNS = ("own", "features", "device", "scatter", "overwrite", "arch")  # the command's parameters that go with RUN


def refuse_mixed(ctx: click.Context) -> None:
    """Raise ConfigError for options of heads on other collections beside a RUN on its own list."""
    asked = [one.opts[0] for one in ctx.command.params if one.name in ctx.params and one.name not in OF_RUNS
             and ctx.get_parameter_source(one.name) is not ParameterSource.DEFAULT]  # fmt: skip
    if asked:
        raise ConfigError(f"test RUN: expected no {', '.join(asked)}, as a run is tested on its own list; --head RUN "
                          "tests heads on any")  # fmt: skip


def test_on_own_lists(
    paths: Sequence[Path], features: Sequence[Path], device: str, scatter: Path | None, overwrite: bool
) -> None:
    """Test runs, and those in folders of splits, and print what came out; those that have been tested are left as they
    are. `scatter`: a picture of all of them, those included.

    Raises RunError if all have been, or one cannot be.
    """
    from amnet_common.machine.devices import choose_device
    from headtrain.evaluation.metrics import flat_line
    from headtrain.evaluation.predictions import read_predictions
    from headtrain.figures.pictures import save
    from headtrain.figures.scatter import scatter_figure
    from headtrain.heads.checkpoint import BEST
    from headtrain.runs.documents import read_result
    from headtrain.runs.features import features_files
    from headtrain.runs.folder import RESULT, RUN, TEST
    from headtrain.runs.results import folders_of
    from headtrain.training.outcome import tested_later, to_be_tested

    refuse_twice("RUN", paths)
    chosen = choose_device(device)
    folders = {path: folders_of(path) for path in paths}
    every = [folder for found in folders.values() for folder in found]
    tested = {folder for folder in every if (folder / RESULT).exists() and read_result(folder).tested}
    if len(tested) == len(every):
        tested = set()  # of which the first is named and refused
    begun = {folder: to_be_tested(folder)[0] for folder in every if folder not in tested}
    files_of = {folder: tuple(features) or features_files(one) for folder, one in begun.items()}
    collections = {files: opened(files) for files in {*files_of.values()}}
    read = [RUN, RESULT, BEST, TEST]
    with drawing("--scatter", scatter, overwrite, [folder / name for folder in every for name in read]):
        for path, found in folders.items():
            for folder in found:
                if folder in tested:
                    say(f"{folder}: has been tested, left as it is", err=True)
                    continue
                result = tested_later(folder, collections[files_of[folder]], chosen)
                say(describe_result(result, folder))
                summary(folder)
                if line := flat_line(folder, [result.test]):
                    say_wrong(line)
            if len(found) > 1:
                results = [read_result(folder) for folder in found]
                print_mean(results, path)
                where = tuple(features) or features_files(results[0])
                say_out_of_fold(path, with_lists_of(collections.get(where) or opened(where), results[0].folding))
        summary(tested=len(begun), left=len(tested))
        if scatter:
            shown = {str(one): read_predictions(one / TEST) for one in every}
            save(scatter_figure(shown, on_axis(None, [read_result(one).features for one in every])), scatter)
