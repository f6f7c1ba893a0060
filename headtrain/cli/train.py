"""`amnet-head train`: one head on one split, or one on each."""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amnet_common.collection import Collection
from amnet_common.commands import NOT_ALL_WELL, OneLineErrors, say, say_done, say_wrong, summary
from amnet_common.errors import CollectionError, ConfigError
from headtrain.cli.compare import print_table
from headtrain.cli.computing import Computing, chosen_kernels, kernel_options
from headtrain.cli.folds import fold_options, say_out_of_fold, usual_split, with_lists
from headtrain.cli.options import (
    PATH,
    PRESET_NAMES,
    chosen_splits,
    device_option,
    features_option,
    left_untested,
    merged,
    no_test_option,
    say_repeated,
    say_unfinished,
    setting_options,
)
from headtrain.cli.placing import placed, residency_option
from headtrain.runs.folder import RUN, free_run_name, refuse_absent, split_folders
from headtrain.settings.configuration import Config
from headtrain.settings.presets import DEFAULT

if TYPE_CHECKING:
    from headtrain.features.splits import Subsets
    from headtrain.runs.documents import Diverged, Result
    from headtrain.runs.log import Epoch
    from headtrain.settings.configuration import TrainingConfig
    from headtrain.training.planned import Setup
    from headtrain.training.tensorboard import EventLogs


@click.command(cls=OneLineErrors)
@features_option
@click.option("--preset", "name", type=click.Choice(PRESET_NAMES), help=f"Named configuration.  [default: {DEFAULT}]")
@click.option("--config", "file", type=PATH, help="TOML file of settings; config.toml of a run repeats it.")
@click.option("--split", help="Number K of the lists train_K, val_K and test_K, or all.  [default: 1; of folds all]")
@fold_options
@click.option("--out", type=PATH, help="Run folder; with --split all, a folder of them.  [default: "
              "runs/FEATURES-PRESET-SPLIT, numbered if it exists]")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the run of --out where it was stopped; with other --epochs or "
              "--patience, if given.")  # fmt: skip
@click.option(
    "--keep-state", is_flag=True, help="Keep what --resume needs when the run is finished, for more --epochs."
)
@click.option("--allow-missing", is_flag=True, help="Leave images without features out instead of refusing.")
@click.option("--check/--no-check", default=True, help="Compare every view that is trained on with its checksum.")
@residency_option
@kernel_options
@no_test_option
@click.option("--tensorboard", is_flag=True, help="Write events for TensorBoard into RUN/events.")
@device_option
@setting_options
def train(
    features: Sequence[Path], name: str | None, file: Path | None, split: str | None, folds: int | None,
    repeats: int | None, out: Path | None, resume: bool, keep_state: bool,
    allow_missing: bool, check: bool, residency: str, precision: str, compiled: bool | None, no_test: bool,
    tensorboard: bool, device: str,
    **given: Any,  # noqa: ANN401 - one for each setting
) -> int:  # fmt: skip
    """Train a head; test it once, with the checkpoint of the best validation rank correlation, unless --no-test.

    Exit status 1: a training diverged, and has no result.
    """
    if resume and out is None:
        raise ConfigError("--resume: expected --out RUN, the run to be resumed, found none")
    if resume and out:
        refuse_absent(out)
    collection = with_lists(features, folds, repeats, [out] if out and resume else [])
    split = usual_split(collection, split)
    say_unfinished(collection)
    splits = chosen_splits(collection, split)
    dataset = str(collection.provenance.get("dataset"))
    config = merged(dataset, name, file, given, begun_with(out, splits, resume), collection.view_shape)
    from amnet_common.machine.beginning import begin_to_compute
    from amnet_common.machine.devices import choose_device
    from headtrain.evaluation.metrics import flat_line
    from headtrain.features.splits import split_subsets
    from headtrain.runs.documents import Result
    from headtrain.training.loop import train as train_head
    from headtrain.training.tensorboard import EventLogs

    events = EventLogs() if tensorboard else None
    begin_to_compute()
    computing = Computing(choose_device(device), precision, compiled, residency, check)
    out = out or free_run_name(Path("runs"), f"{collection.stem}-{config.preset}-{split}")
    refuse_other_out(out, splits, resume)
    untested = left_untested(no_test, config.training, out if resume else None)
    settings = config.training
    subsets = {k: split_subsets(collection, k, settings.data_seed, allow_missing, settings.select_on) for k in splits}
    results, resumed = [], out if resume else None
    for number in splits:  # nothing here keeps a setup: the memory of its views is wanted for the next split
        run = run_of(out, number, splits)
        if resume and (line := tested_before(run, config)):
            say(line, err=True)
        setup = setup_of(collection, config, number, subsets[number], computing, resumed)
        setup = replace(setup, test=not untested, other_lengths=resume, keep_state=keep_state)
        epochs = train_head(setup, config, run)
        del setup
        ended = watched(epochs, run, events)
        del epochs
        if isinstance(ended, Result):
            results.append(ended)
            say_done(describe_result(ended, run))
            if line := flat_line(run, [ended.test]):
                say_wrong(line)
        else:
            say_wrong(f"{run}: diverged: {ended.why}")
    summary(out, trained=len(results), diverged=len(splits) - len(results), **figures_of(results))
    if line := ridge_line(out, results, collection, subsets):
        say(line, err=True)
    if len(splits) > len(results):
        return NOT_ALL_WELL
    if len(splits) > 1:
        print_mean(results, out)
        say_out_of_fold(out, collection)
    return 0


def figures_of(results: "Sequence[Result]") -> dict[str, list[float]]:
    """Return validation and test rho of each split, in their order; test rho where all have been tested."""
    found = {"val_rho": [result.best.val_rho for result in results if result.best]}
    if results and all(result.tested for result in results):
        found["test_rho"] = [result.test.rho for result in results]
    return found


def ridge_line(out: Path, results: "Sequence[Result]", collection: Collection, subsets: "Mapping[int, Subsets]") -> str:
    """Describe ridge regression on the same features where it does better than the trained heads; empty where not, or
    where that is not known. A test list that is closed stays so.
    """
    from headtrain.evaluation.beside import Beside, better_line, ridge_rho

    tested = all(result.tested for result in results)
    try:
        others = [ridge_rho(collection, subsets[result.split], tested) for result in results]
    except CollectionError as error:  # of views that nobody has trained on: no reason to fail now
        return f"note: ridge on the same features could not be fitted to compare: {error}"
    heads = [result.test.rho if tested else result.best.val_rho if result.best else math.nan for result in results]
    found = [Beside(*pair) for pair in zip(heads, others, strict=True)]
    return better_line(out, "ridge on the same features", found, "test" if tested else "validation")


def tested_before(run: Path, config: Config) -> str:
    """Describe a run that goes on with other lengths though its test has been seen; empty for any other."""
    from headtrain.runs.documents import read_result
    from headtrain.runs.folder import RESULT
    from headtrain.training.going_on import changed_lengths

    if not (run / RESULT).exists() or not changed_lengths(run, config):
        return ""
    result = read_result(run)
    again = f"note: {run} was tested after {result.epochs} epochs; going on, its test list is opened again"
    return again if result.tested else ""


def print_mean(results: "Sequence[Result]", out: Path) -> None:
    """Print mean and spread over the splits in `out`, and their table if they have been tested."""
    if all(result.tested for result in results):
        say_done(describe_mean(results))
        print_table([out], say_done)
        return
    from headtrain.leaderboard.board import overlap_line
    from headtrain.leaderboard.listing import listed

    say_done(describe_validation(results))
    if line := overlap_line(listed(out).heads):
        say(line, err=True)


def refuse_other_out(out: Path, splits: Sequence[int], resume: bool) -> None:
    """Raise OutputError for folders that stand already, ConfigError for one run in place of several, or the reverse."""
    from headtrain.training.planned import refuse_taken

    several = len(splits) > 1
    if several and (out / RUN).exists():
        raise ConfigError(f"--out {out}: expected a folder of split-1, split-2 ... for --split all, found a single run")
    if not several and resume and not (out / RUN).exists() and split_folders(out):
        raise ConfigError(f"--out {out}: expected the folder of one run, found one of split-1, split-2 ...; give "
                          f"--split all, or --out {out}/split-{splits[0]}")  # fmt: skip
    for split in splits:
        refuse_taken(run_of(out, split, splits), resume)


def run_of(out: Path, split: int, splits: Sequence[int]) -> Path:
    """Return the run folder of one split."""
    return out if len(splits) == 1 else out / f"split-{split}"


def begun_with(out: Path | None, splits: Sequence[int], resume: bool) -> Config | None:
    """Read the configuration of the run that is to be resumed; None if it has not been begun."""
    from headtrain.runs.documents import read_begun

    first = run_of(out, splits[0], splits) if out and resume else None
    return read_begun(first).config if first and (first / RUN).exists() else None


def setup_of(
    collection: Collection, config: Config, split: int, subsets: "Subsets", computing: Computing, resumed: Path | None
) -> "Setup":
    """Choose how one split is trained, and say so. `resumed`: the folder of the run and of its siblings, or None."""
    from headtrain.training.planned import Setup

    settings = config.training
    say(describe_subsets(subsets), err=True)
    if line := describe_passes(len(subsets.train.rows), collection.views, settings):
        say(line, err=True)
    say_repeated(collection, subsets)
    kernels = chosen_kernels(computing, subsets, collection.views, config, resumed)
    source = placed(collection, subsets, [settings], computing)
    return Setup(collection, subsets, split, computing.device, computing.check, resumed is not None, source, kernels)


def watched(
    epochs: "Generator[Epoch, None, Result | Diverged]", run: Path, events: "EventLogs | None"
) -> "Result | Diverged":
    """Print each epoch, and follow it with the events; return the result."""
    try:
        while True:
            say(describe_epoch(next(epochs)), err=True)
            if events:
                events.follow(run)
    except StopIteration as stop:
        result: Result | Diverged = stop.value
        if events:
            events.end(run)
        return result
    except KeyboardInterrupt as stop:
        raise type(stop)(f"{run} keeps its saved epochs; --out {run} --resume goes on from there") from None


def describe_subsets(subsets: "Subsets") -> str:
    """Describe what is trained, selected and tested on, and how much is left out."""
    found = ((name, getattr(subsets, name)) for name in ("train", "val", "test"))
    texts = [f"{len(one.rows)} {name}" + (f" ({one.left_out} left out)" if one.left_out else "") for name, one in found]
    return f"images: {', '.join(texts)}; epochs are chosen on {subsets.selection}"


def describe_passes(images: int, views: int, settings: "TrainingConfig") -> str:
    """Describe how often an epoch shows its training images, if more than once."""
    from headtrain.features.batches import passes_an_epoch, views_a_pass

    passes = passes_an_epoch(views_a_pass(images, views, settings), settings)
    if passes == 1:
        return ""
    return f"an epoch shows the training images {passes} times, to have {settings.least_updates} updates or more"


def describe_epoch(epoch: "Epoch") -> str:
    """Describe an epoch in one line; * marks the highest validation rho so far, + the lowest MSE."""
    marks = " *" * epoch.best + " +" * epoch.lowest_mse
    return (f"epoch {epoch.epoch:3}: train loss {epoch.squared_error:.4f}, val rho {epoch.val_rho:.4f}, "
            f"val MSE {epoch.val_mse:.5f}, {epoch.seconds:.1f} s{marks}")  # fmt: skip


def describe_result(result: "Result", run: Path) -> str:
    """Describe what came out of a run."""
    low, high, best = result.interval.low, result.interval.high, result.best
    assert best, "a training has a best epoch"
    if not result.tested:
        return (f"{run}: not tested (amnet-head test {run}); epoch {best.epoch} of {result.epochs}, val rho "
                f"{best.val_rho:.4f}")  # fmt: skip
    return (f"{run}: test rho {result.test.rho:.4f} [{low:.3f}, {high:.3f}], MSE {result.test.mse:.5f} "
            f"({result.test.n} images); epoch {best.epoch} of {result.epochs}, val rho "
            f"{best.val_rho:.4f}")  # fmt: skip


def describe_mean(results: "Sequence[Result]") -> str:
    """Describe mean and spread over the splits."""
    import numpy as np

    rho, mse = np.array([[result.test.rho, result.test.mse] for result in results]).T  # (n,) each
    return f"mean of {len(results)} splits: test rho {rho.mean():.4f} (sd {rho.std(ddof=1):.4f}), MSE {mse.mean():.5f}"


def describe_validation(results: "Sequence[Result]") -> str:
    """Describe mean and spread of the validation rho over the splits of which some have not been tested."""
    import numpy as np

    rho = np.array([result.best.val_rho for result in results if result.best])
    return f"mean of {len(rho)} splits: val rho {rho.mean():.4f} (sd {rho.std(ddof=1):.4f}), not tested"
