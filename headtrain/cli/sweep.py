"""`amnet-head sweep`: every combination of some settings, or a search, on every split, many heads in a pass."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from amnet_common.collection import Collection
from amnet_common.commands import NOT_ALL_WELL, OneLineErrors, say, say_done, summary
from amnet_common.engine_options import RAY, engine_options, refuse_beside_engine
from amnet_common.errors import ConfigError, OutputError
from amnet_common.machine.cards import parse_devices, present_devices
from amnet_common.only_writer import clear_locks, only_writer
from headtrain.cli.computing import Computing, chosen_kernels, kernel_options
from headtrain.cli.folds import fold_options, with_lists
from headtrain.cli.leaderboard import HIDDEN
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
from headtrain.cli.own_heads import kinds_in
from headtrain.cli.placing import Placed, residency_option
from headtrain.runs.folder import RUN, refuse_absent
from headtrain.settings.configuration import Config
from headtrain.settings.presets import DEFAULT

if TYPE_CHECKING:
    from headtrain.cli.sweep_shares import Share, Shared
    from headtrain.settings.configuration import TrainingConfig
    from headtrain.sweep.passes import Pass
    from headtrain.sweep.sweeping import SweepReport
    from headtrain.training.planned import Setup

AUTO = "auto"


@click.command(cls=OneLineErrors)
@features_option
@click.option("--grid", "grids", multiple=True, metavar="KEY=VALUE,VALUE",
              help="Values to try of an option: lr=1e-4,3e-4; dropout sets --feature-dropout and --regress-dropout. "
              "Given again: every combination.")  # fmt: skip
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Instead of every combination let Optuna "
              "search: N trials, chosen by mean validation rho.")  # fmt: skip
@click.option("--range", "ranges", multiple=True, metavar="KEY=LOW:HIGH[:log]", help="With --trials, any value in "
              "between: lr=1e-5:1e-2:log; with :log on a logarithmic scale.")  # fmt: skip
@click.option("--seeds", default=1, type=click.IntRange(min=1), help="So many seeds of each combination: 0, 1, ...")
@click.option("--split", default="all", help="Number K of the lists train_K, val_K and test_K, or all.")
@fold_options
@click.option("--preset", "name", type=click.Choice(PRESET_NAMES), help=f"What is varied.  [default: {DEFAULT}]")
@click.option("--config", "file", type=PATH, help="TOML file of settings.")
@click.option("--out", required=True, type=PATH, help="Folder of the runs: OUT/KEY=VALUE,.../split-K; of a search "
              "OUT/trial-0000,.../split-K, beside OUT/study.db for optuna-dashboard.")  # fmt: skip
@click.option("--heads-per-pass", default=AUTO, help="Heads that train together, or auto: as many as fit.")
@click.option("--halving", type=click.IntRange(min=2), metavar="F", help="After epochs F, F^2, ... only the best 1/F "
              "of a split's heads go on, by validation rho.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the sweep of --out; finished heads are not trained again.")
@click.option("--allow-missing", is_flag=True, help="Leave images without features out instead of refusing.")
@click.option("--check/--no-check", default=True, help="Compare every view that is trained on with its checksum.")
@residency_option
@kernel_options
@no_test_option
@click.option("--tensorboard", is_flag=True, help="Write events for TensorBoard into RUN/events.")
@device_option
@click.option("--devices", metavar="LIST", help="Several cards: all, 0,1 or cuda:0,cuda:1. Each has a process of its "
              "own, which trains its part of the passes.")  # fmt: skip
@engine_options
@setting_options
def sweep(
    features: Sequence[Path], grids: Sequence[str], trials: int | None, ranges: Sequence[str], seeds: int, split: str,
    folds: int | None, repeats: int | None,
    name: str | None, file: Path | None, out: Path, heads_per_pass: str, halving: int | None,
    resume: bool, allow_missing: bool, check: bool, residency: str, precision: str, compiled: bool | None,
    no_test: bool, tensorboard: bool, device: str, devices: str | None, engine: str, address: str | None,
    **given: Any,  # noqa: ANN401 - one for each setting
) -> int:  # fmt: skip
    """Train a head for every combination of the --grid values, or N trials, on every split; print the leaderboard.

    Exit status 1: some heads diverged, or have damaged files; the others are trained. 2: wrong use or input, or a
    process of --devices died.
    """
    refuse_contradictions(given["seed"], ranges, trials, halving)
    cards = chosen_cards(devices, device, trials, engine, address)
    with only_writer(out, make_folders=True), contextlib.ExitStack() as held:
        refuse_or_resume(out, resume)
        clear_locks(out)
        collection = with_lists(features, folds, repeats, [out] if resume else [])
        say_unfinished(collection)
        splits = chosen_splits(collection, split)
        dataset = str(collection.provenance.get("dataset"))
        base = merged(dataset, name, file, given, None, collection.view_shape)
        untested = left_untested(no_test, base.training, out if resume else None)
        from amnet_common.machine.beginning import begin_to_compute
        from amnet_common.machine.devices import choose_device
        from headtrain.cli.sweep_course import watch
        from headtrain.cli.sweep_shares import Share, Shared
        from headtrain.features.splits import split_subsets
        from headtrain.sweep.room import Room
        from headtrain.sweep.sweeping import Halving
        from headtrain.sweep.sweeping import sweep as train_all
        from headtrain.training.planned import Setup
        from headtrain.training.tensorboard import EventLogs

        events = EventLogs() if tensorboard else None
        begin_to_compute()
        several = len(cards) > 1  # which their own processes open
        chosen = cards[0] if several else choose_device(cards[0] if cards else device)
        computing, settings = Computing(chosen, precision, compiled, residency, check), base.training
        most = heads_chooser(heads_per_pass, chosen)
        subsets = {k: split_subsets(collection, k, settings.data_seed, allow_missing, settings.select_on)
                   for k in splits}  # fmt: skip
        for of_split in subsets.values():
            say_repeated(collection, of_split)
        kernels = chosen_kernels(computing, subsets[splits[0]], collection.views, base, out if resume else None)
        setups = {k: Setup(collection, of_split, k, computing.device, computing.check, kernels=kernels,
                           test=not untested) for k, of_split in subsets.items()}  # fmt: skip
        source_of, room = Placed(collection, subsets, computing), Room()
        load = source_of if heads_per_pass == AUTO else None

        def train(plan: "Sequence[Pass]") -> "Iterable[SweepReport]":
            return train_all(setups, plan, Halving(halving) if halving else None, source_of, room)

        ways = Ways(most, train, load, describe_plan)
        shared = None
        if several or engine == RAY:
            common = Share((*features,), folds, repeats, (out,) if resume else (), allow_missing, computing, kernels,
                           not untested, halving, given["architecture"] if base.head.has_own else None,
                           load is not None)  # fmt: skip
            shared = Shared(common, cards) if several else held.enter_context(by_ray(common, chosen, address))
            ways = Ways((lambda _: 1) if load else most, shared.train, None, shared.describe)
        if trials:
            reports, total = searched(setups, base, grids, ranges, range(seeds), trials, out, ways)
        else:
            reports, total = of_grid(setups, base, grids, range(seeds), out, ways)
        ended = watch(reports, total, out, events)
        lost = shared.say_lost() if shared else 0
        keep_out_of_fold(out, collection)
        print_summary(out)
        summary(out, heads=ended.heads, failed=ended.failed, pruned=ended.pruned)
        return max(lost, NOT_ALL_WELL if ended.failed else 0)


@contextlib.contextmanager
def by_ray(common: "Share", device: str, address: str | None) -> "Iterator[Shared]":
    """Yield what trains passes by a Ray cluster."""
    from amnet_common.ray_tasks import connected
    from headtrain.cli.sweep_ray import RaySweep

    with connected(address) as cluster:
        yield RaySweep(common, device, cluster)


class Ways(NamedTuple):
    """Hold how many heads of a configuration a pass may hold, what trains passes, and what loads the views of a split
    for some settings: before heads are counted, as both want the same memory (None: they are not counted).
    """

    most: Callable[[Config], int]
    train: "Callable[[Sequence[Pass]], Iterable[SweepReport]]"
    load: "Callable[[int, Sequence[TrainingConfig]], object] | None"
    describe: "Callable[[int, int, Sequence[Pass]], str]"


def of_grid(
    setups: "Mapping[int, Setup]", base: Config, grids: Sequence[str], seeds: Sequence[int], out: Path, ways: Ways
) -> "tuple[Iterable[SweepReport], int]":
    """Train every combination; return the reports and the number of epochs at most."""
    from headtrain.sweep.grid import points, read_axis
    from headtrain.sweep.passes import passes
    from headtrain.training.planned import PlannedRun, refuse_unfitting

    own, splits = kinds_in(base), list(setups)
    found = points(base, [read_axis(text, own) for text in grids], seeds)
    runs = [(k, PlannedRun(point.config, out / point.name / f"split-{k}")) for point in found for k in splits]
    for point in found:
        refuse_unfitting(point.config, setups[splits[0]].collection)
    if ways.load:
        ways.load(min(splits), [point.config.training for point in found])
    plan = passes(runs, ways.most)
    say(ways.describe(len(found), len(splits), plan), err=True)
    return ways.train(plan), sum(one.config.training.epochs for _, one in runs)


def searched(
    setups: "Mapping[int, Setup]", base: Config, grids: Sequence[str], ranges: Sequence[str], seeds: Sequence[int],
    trials: int, out: Path, ways: Ways,
) -> "tuple[Iterable[SweepReport], int]":  # fmt: skip
    """Train the trials of a search; return the reports and the number of epochs at most."""
    from headtrain.sweep.grid import read_axis
    from headtrain.sweep.passes import passes
    from headtrain.sweep.searching import begin_search, search, trial_runs
    from headtrain.sweep.space import read_range

    own = kinds_in(base)
    axes, between = [read_axis(text, own) for text in grids], [read_range(text, own) for text in ranges]
    study = begin_search(setups, base, seeds, axes, between, out)
    left = max(0, trials - study.finished)
    if left and ways.load:
        ways.load(min(setups), [base.training])
    size, heads = max(1, ways.most(base) // len(seeds)), len(setups) * len(seeds)
    say(describe_search(left, trials, heads, size), err=True)
    runs_of = partial(trial_runs, base=base, seeds=seeds, splits=list(setups), out=out)
    reports = search(study, trials, size, runs_of, lambda runs: ways.train(passes(runs, ways.most)))
    return reports, left * heads * base.training.epochs


def refuse_contradictions(seed: int | None, ranges: Sequence[str], trials: int | None, halving: int | None) -> None:
    """Raise ConfigError for options that do not go together."""
    if seed is not None:
        raise ConfigError("--seed: expected --seeds N, which trains the seeds 0 to N - 1 of each combination")
    if ranges and not trials:
        raise ConfigError("--range: expected --trials N as well; every combination wants --grid KEY=VALUE,VALUE")
    if halving and trials:
        raise ConfigError("--halving: expected without --trials, which compares heads that are trained to their end")


def chosen_cards(
    devices: str | None, device: str, trials: int | None, engine: str, address: str | None
) -> tuple[str, ...]:
    """Return the cards that --devices names; none without it. Raises ConfigError."""
    refuse_beside_engine(engine, address, devices)
    if devices is None and engine != RAY:
        return ()
    if trials:
        option = "--devices" if devices is not None else f"--engine {engine}"
        raise ConfigError(f"{option}: expected without --trials, which are chosen by the results of those before; the "
                          "heads of --grid do not wait for each other")  # fmt: skip
    return () if devices is None else present_devices(parse_devices(devices, device))


def refuse_or_resume(out: Path, resume: bool) -> None:
    """Raise OutputError for a folder that is there without --resume, RunError for one that is not with it."""
    if resume:
        refuse_absent(out)
    elif out.exists():
        raise OutputError(f"--out {out}: expected a new folder, found one that exists; --resume resumes its sweep")


def heads_chooser(text: str, device: str) -> Any:  # noqa: ANN401 - Callable[[Config], int]
    """Return a function that tells how many heads of a configuration a pass may hold. Raises ConfigError."""
    from headtrain.sweep.capacity import heads_that_fit

    if text == AUTO:
        return lambda config: heads_that_fit(config, device)
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--heads-per-pass: expected {AUTO} or a number from 1, found {text!r}")
    return lambda _: int(text)


def describe_plan(points: int, splits: int, plan: "Sequence[Pass]") -> str:
    """Describe how much a grid has to do: configurations, splits, heads and passes."""
    sizes = sorted({len(one.planned) for one in plan})
    heads = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
    return f"{points} configurations on {splits} splits: {points * splits} heads in {len(plan)} passes of {heads}"


def describe_search(left: int, trials: int, heads: int, size: int) -> str:
    """Describe how much a search has to do still: trials, heads and batches."""
    return f"{left} of {trials} trials to go: {left * heads} heads, in batches of {min(size, trials)} trials"


def keep_out_of_fold(out: Path, collection: Collection) -> None:
    """Write the out-of-fold predictions of each configuration whose heads all have been tested; rho stays unsaid."""
    from headtrain.runs.out_of_fold import OUT_OF_FOLD, write_out_of_fold

    folders = sorted({path.parent.parent for path in out.glob("*/split-*/test.csv")})
    if written := sum(write_out_of_fold(folder, collection) is not None for folder in folders):
        say(f"out-of-fold predictions of {written} configurations: {out}/*/{OUT_OF_FOLD}", err=True)


def print_summary(out: Path) -> None:
    """Print the leaderboard of the sweep, without test figures."""
    from headtrain.leaderboard.board import overlap_line, summary_rows, without_test
    from headtrain.leaderboard.listing import listed
    from headtrain.leaderboard.text import as_table

    if not any(out.glob(f"*/split-*/{RUN}")):  # where no head has room none is begun
        return
    if heads := listed(out).heads:
        rows, some = without_test(summary_rows(heads))
        for line in as_table(rows).split("\n"):
            say_done(line)
        for line in (HIDDEN if some else "", overlap_line(heads)):
            if line:
                say(line, err=True)
