"""`amnet-head table`, `compare` and `baseline`: how runs stand beside each other and beside simpler models."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amnet_common.collection import Collection
from amnet_common.commands import OneLineErrors, progress, say, say_done, say_wrong, summary
from amnet_common.errors import CollectionError, OutputError, RunError
from amnet_common.files import whole_folder
from amnet_common.only_writer import only_writer
from headtrain.cli.folds import fold_options, say_out_of_fold, with_lists
from headtrain.cli.options import PATH, chosen_splits, features_option, refuse_twice, say_repeated, say_unfinished
from headtrain.runs.folder import free_run_name

if TYPE_CHECKING:
    from headtrain.evaluation.bootstrap import Comparison
    from headtrain.runs.results import RunResult

OTHERS = "headtrain.compare.others"  # in a context's meta: what stands behind --


@click.command(cls=OneLineErrors)
@click.argument("runs", nargs=-1, required=True, type=PATH)
def table(runs: Sequence[Path]) -> None:
    """Print one Markdown table of finished RUNS (folders of one split, or of --split all) and the published figures."""
    print_table(runs)


class TwoSides(OneLineErrors):
    """Take `--` as what stands between two lists of runs; click itself would drop it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what stands behind `--` for the function."""
        if "--" in args:
            middle = args.index("--")
            args, ctx.meta[OTHERS] = args[:middle], args[middle + 1 :]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show both lists."""
        return [*super().collect_usage_pieces(ctx)[:1], "RUN [RUN ...] [--] OTHER [OTHER ...]"]


@click.command(cls=TwoSides)
@click.argument("runs", nargs=-1, required=True, type=PATH)
@click.pass_context
def compare(ctx: click.Context, runs: Sequence[Path]) -> None:
    """Say whether RUN and OTHER differ in mean test rho: a paired bootstrap over the images of their test lists.

    With several trainings a side, `compare A/* -- B/*`, the seeds count too, and the answer is about the two
    configurations; with one a side it is about these two heads alone.
    """
    from headtrain.evaluation.trainings import compared
    from headtrain.leaderboard.board import OPTIMISTIC
    from headtrain.runs.results import results_of

    sides = two_sides(runs, [Path(name) for name in ctx.meta.get(OTHERS, ())])
    for side in sides:
        refuse_twice("RUN", side)
    results = {path: results_of(path) for side in sides for path in side}
    for path, of_run in results.items():
        refuse_undefined(path, of_run)
    a, b = ([[result.predictions for result in results[path]] for path in side] for side in sides)
    one_seeded, other_seeded = (any(is_trained(one) for path in side for one in results[path]) for side in sides)
    found = compared(a, b, seeded=(one_seeded, other_seeded))
    one, other = map(described_side, sides)
    summary(difference=found.difference, low=found.low, high=found.high, p=found.p, images=found.images,
            splits=found.splits, real=found.real)  # fmt: skip
    say(f"{one} - {other}: rho {found.difference:+.4f}, 95 % [{found.low:+.4f}, {found.high:+.4f}], "
        f"p = {found.p:.3g}, {found.images} images in {found.splits} splits: {verdict(found)}")  # fmt: skip
    if line := corrected_difference([[results[path] for path in side] for side in sides]):
        say(line, err=True)
    for path, of_run in results.items():
        if any(one.result.optimistic for one in of_run):
            say(f"note: {path} is {OPTIMISTIC}", err=True)


def corrected_difference(sides: "Sequence[Sequence[Sequence[RunResult]]]") -> str:
    """Describe the mean over several splits of the difference in rho of two sides, each the mean of its trainings, with
    an interval that knows that the splits' training lists overlap. Empty where there is none.
    """
    import numpy as np

    from headtrain.evaluation.resampled import NAME, corrected, splits_word
    from headtrain.runs.results import mean_lengths

    first = sides[0][0]
    rho = [np.mean([[one.metrics.rho for one in training] for training in side], axis=0) for side in sides]  # (J,) each
    found = corrected((rho[0] - rho[1]).tolist(), *mean_lengths(first))
    if found is None:
        return ""
    word = splits_word(one.result.folding for one in first)
    return (f"mean difference of {len(first)} {word}: rho {found.mean:+.4f}, 95 % "
            f"{found.low:+.4f} to {found.high:+.4f} ({NAME})")  # fmt: skip


def refuse_undefined(path: Path, results: "Sequence[RunResult]") -> None:
    """Raise RunError, which names the run, if its rho is not defined on a split: it cannot be compared."""
    for one in results:
        if math.isnan(one.metrics.rho):
            raise RunError(f"{path}: expected a rank correlation on every split, found none on split {one.split}: all "
                           "predictions, or all scores, are equal")  # fmt: skip


def is_trained(result: "RunResult") -> bool:
    """Tell whether another seed would have given a result otherwise: of a head, or of what has heads in it."""
    return result.result.best is not None or bool(result.result.heads)


def two_sides(runs: Sequence[Path], others: Sequence[Path]) -> tuple[Sequence[Path], Sequence[Path]]:
    """Return the runs of either side. Raises RunError unless each has one."""
    if not others and len(runs) == 2:
        return runs[:1], runs[1:]
    if not (runs and others):
        raise RunError(f"expected two runs, or runs on both sides of --, found {len(runs)} and {len(others)}")
    return runs, others


def described_side(runs: Sequence[Path]) -> str:
    """Name the runs of one side."""
    return str(runs[0]) if len(runs) == 1 else f"{len(runs)} runs ({runs[0]} to {runs[-1]})"


def verdict(found: "Comparison") -> str:
    """Say what a comparison shows, and of what."""
    about = "for these trained heads" if found.trainings == (1, 1) else "over seeds and images"
    if found.real:
        return f"a real difference, {about}"
    images = "images" if found.trainings == (1, 1) else "images and seeds"
    return f"no difference that these {images} can show, {about}"


@click.command(cls=OneLineErrors)
@features_option
@click.option("--split", default="all", help="Number K of the lists train_K, val_K and test_K, or all.")
@fold_options
@click.option("--out", type=PATH, help="Folder of their results, for compare and table."
              "  [default: runs/FEATURES-baselines, numbered if it exists]")  # fmt: skip
@click.option("--data-seed", default=0, help="Of the validation tenth where a data set has no validation list.")
@click.option("--allow-missing", is_flag=True, help="Leave images without features out instead of refusing.")
def baseline(
    features: Sequence[Path], split: str, folds: int | None, repeats: int | None, out: Path | None, data_seed: int,
    allow_missing: bool,
) -> None:  # fmt: skip
    """Fit what a head must beat: the mean score, ridge on mean-pooled view 0, three kernel ridges on all views.

    The kernels: Gaussian and exponential on the mean over locations, exponential on mean, deviation and maximum. Every
    strength is chosen by leave-one-out on the training list.
    """
    from headtrain.evaluation.baselines import BASELINES, CONSTANT
    from headtrain.runs.out_of_fold import write_out_of_fold

    collection = with_lists(features, folds, repeats)
    say_unfinished(collection)
    splits = chosen_splits(collection, split)
    out = out or free_run_name(Path("runs"), f"{collection.stem}-baselines")
    with only_writer(out, make_folders=True):
        if out.exists():
            raise OutputError(f"--out {out}: expected a new folder, found one that exists; give another name")
        with whole_folder(out, "--out") as made:  # all of them or none
            fit_all(collection, splits, made, data_seed, allow_missing)
            for name in BASELINES:
                write_out_of_fold(made / name, collection)
        print_table([out / name for name in BASELINES], say_done)
        summary(out, systems=len(BASELINES), splits=len(splits))
        for name in BASELINES:
            if name != CONSTANT:
                say_out_of_fold(out / name, collection)


def fit_all(collection: Collection, splits: Sequence[int], out: Path, data_seed: int, allow_missing: bool) -> None:
    """Fit every baseline on every split, each image being read once, and write the results below `out`."""
    import numpy as np

    from headtrain.evaluation.baselines import BASELINES
    from headtrain.evaluation.metrics import spearman
    from headtrain.evaluation.pooled import Pooled
    from headtrain.features.seen import as_text, content_keys
    from headtrain.features.splits import split_subsets
    from headtrain.heads.checkpoint import BEST, save_head
    from headtrain.heads.provenance import Provenance
    from headtrain.runs.documents import Result
    from headtrain.runs.results import save_result
    from headtrain.settings.configuration import override

    subsets = {number: split_subsets(collection, number, data_seed, allow_missing) for number in splits}
    for one in subsets.values():
        say_repeated(collection, one)
    pooled = Pooled(collection)
    with progress("read", len(subsets), "splits") as bar:
        for one in subsets.values():
            pooled.take(np.concatenate([one.train.rows, one.val.rows, one.test.rows]), range(collection.views))
            bar.update()
    for name, fit in BASELINES.items():
        for number in splits:
            started = time.monotonic()
            found = fit(pooled, subsets[number])
            result = Result(
                out / name / f"split-{number}", number, system=found.name, chosen=found.chosen,
                val_rho=spearman(found.val, subsets[number].val.scores), seconds=time.monotonic() - started,
            )  # fmt: skip
            save_result(result, found.test, collection, subsets[number])
            if found.head and found.config:
                config = override(found.config, data_seed=data_seed)
                trained_on = as_text(content_keys(collection, subsets[number].train.rows))
                provenance = Provenance(config, collection.spec.as_dict(), number, None, trained_on)
                save_head(result.run / BEST, found.head, provenance)
            say(f"{name}, split {number}: {found.chosen}", err=True)


def print_table(runs: Sequence[Path], tell: Callable[[object], None] = say) -> None:
    """Print the table of these runs, by `tell`; `say_done` where it tells how a work has gone."""
    from headtrain.evaluation.baselines import CONSTANT
    from headtrain.evaluation.metrics import flat_line
    from headtrain.leaderboard.table import mean_line, name_of, table_lines

    systems = finished_of(runs)
    data = data_of_runs([result for _, results in systems for result in results])
    for line in table_lines([(name_of(path, results), results) for path, results in systems], data):
        tell(line)
    summary(rho={str(path): [one.metrics.rho for one in results] for path, results in systems})
    for path, results in systems:
        if line := mean_line(results):
            say(f"{path}: {line}", err=True)
        if results[0].result.system != CONSTANT and (line := flat_line(path, [one.metrics for one in results])):
            say_wrong(line)
    for line in simpler_lines(systems):
        say(line, err=True)


def simpler_lines(systems: "Sequence[tuple[Path, Sequence[RunResult]]]") -> Iterator[str]:
    """Yield a line for each head that the best of the baselines beside it outdoes, on the very same test lists and
    fitted on no more images.
    """
    from headtrain.evaluation.beside import Beside, better_line
    from headtrain.evaluation.metrics import ordering_key

    baselines = [(path, results) for path, results in systems if not is_trained(results[0])]
    for path, results in systems:
        if not is_trained(results[0]):
            continue
        alike = [(other, ones) for other, ones in baselines if same_tests(results, ones) and no_more(ones, results)]
        if not alike:
            continue
        other, ones = max(alike, key=lambda pair: ordering_key(sum(one.metrics.rho for one in pair[1])))
        rhos = [Beside(a.metrics.rho, b.metrics.rho) for a, b in zip(results, ones, strict=True)]
        if line := better_line(path, f"{ones[0].result.system or other} ({other})", rhos, "test"):
            yield line


def same_tests(a: "Sequence[RunResult]", b: "Sequence[RunResult]") -> bool:
    """Tell whether two systems were tested on the same images with the same scores, split by split."""

    def lists(results: "Sequence[RunResult]") -> list[list[tuple[str, float]]]:
        return [sorted(zip(one.predictions.ids, one.predictions.scores.tolist(), strict=True)) for one in results]

    return lists(a) == lists(b)


def no_more(a: "Sequence[RunResult]", b: "Sequence[RunResult]") -> bool:
    """Tell whether the training lists of `a` are no longer than those of `b`, as far as both say."""
    pairs = [
        (one.result.images.get("train"), other.result.images.get("train")) for one, other in zip(a, b, strict=True)
    ]
    return all(mine is None or theirs is None or mine <= theirs for mine, theirs in pairs)


def finished_of(runs: Sequence[Path]) -> "list[tuple[Path, list[RunResult]]]":
    """Read the results of runs; those that diverged, or have not been tested, are named and left out.

    Raises RunError if none is left.
    """
    from headtrain.runs.results import DivergedRunError, UntestedRunError, results_of

    found, reasons = [], []
    for path in runs:
        try:
            found.append((path, results_of(path)))
        except (DivergedRunError, UntestedRunError) as error:
            reasons.append(str(error))
    if not found:
        raise RunError("; ".join(reasons))
    for reason in reasons:
        say_wrong(f"left out: {reason}")
    return found


def data_of_runs(results: "Sequence[RunResult]") -> str | None:
    """Name the data set of the runs' images, if it is known and the same for all whose collection is still there."""
    from headtrain.evaluation.published import data_of

    known = set()
    for path in {result.result.features for result in results}:
        with contextlib.suppress(CollectionError):
            known |= {data_of(Collection(path))} if path and Path(path).exists() else set()
    return known.pop() if len(known) == 1 else None
