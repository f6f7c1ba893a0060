"""`amnet-head test`: heads on any labelled collection, that of another data set above all; runs on their own lists."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amnet_common.collection.folding import with_lists_of
from amnet_common.commands import OneLineErrors, say, say_wrong, summary
from headtrain.cli.evaluate import chosen_views
from headtrain.cli.figure import on_axis
from headtrain.cli.folds import dealt_before
from headtrain.cli.options import PATH, device_option, refuse_twice
from headtrain.cli.outputs import PREDICTIONS, drawing, overwrite_option, writing
from headtrain.cli.own_heads import arch_option
from headtrain.cli.own_list import refuse_mixed, test_on_own_lists
from headtrain.cli.together import opened_for

if TYPE_CHECKING:
    from headtrain.evaluation.predictions import Predictions
    from headtrain.scoring.on_list import Labelled


@click.command("test", cls=OneLineErrors)
@click.argument("own", metavar="[RUN]...", nargs=-1, type=PATH)
@click.option("--features", type=PATH, multiple=True, help="The collection that amnet-extract wrote. Given again: "
              "those that the head was trained on together.  [default: of RUN, where it was trained]")  # fmt: skip
@click.option("--head", "runs", multiple=True, type=PATH, help="Run, checkpoint, or folder of --split "
              "all. Given again, or several splits: their mean.")  # fmt: skip
@click.option("--list", "name", help="A split list of the collection, such as test_1.  [default: every image with "
              "a score]")  # fmt: skip
@click.option("--view", help="View of each image that heads score, or all: the mean over all views.  [default: all if "
              "a kernel is among the heads, else 0]")  # fmt: skip
@click.option("--categories", type=PATH, help="A table with the columns id and --column: rho of each category as well.")
@click.option("--column", default="category", help="Of --categories.")
@click.option("--out", type=PATH, help="Also write id,score,predicted as CSV.")
@click.option("--scatter", type=PATH, help="Also draw predicted against human scores of each head, .png, .svg or .pdf.")
@overwrite_option
@arch_option
@device_option
@click.pass_context
def test_command(
    ctx: click.Context, own: Sequence[Path], features: Sequence[Path], runs: Sequence[Path], name: str | None,
    view: str | None, categories: Path | None, column: str,
    out: Path | None, scatter: Path | None, overwrite: bool, device: str,
) -> None:  # fmt: skip
    """Test heads on any labelled collection: rho with its interval, calibration, and rho of each category.

    Images that a head was trained on are left out, by the bytes of their files, and counted; those that chose its epoch
    are not.

    RUN ...: runs of --no-test, or folders of them, each on the test list of its own split, once; its figures stand in
    its folder, as if it had been tested at its end.
    """
    if own:
        refuse_mixed(ctx)
        test_on_own_lists(own, features, device, scatter, overwrite)
        return
    if not (features and runs):
        missing = "runs" if features else "features"
        raise click.MissingParameter(ctx=ctx, param=next(one for one in ctx.command.params if one.name == missing))
    from amnet_common.machine.devices import choose_device
    from headtrain.evaluation.metrics import evaluate, flat_line
    from headtrain.evaluation.predictions import write_predictions
    from headtrain.figures.pictures import save
    from headtrain.figures.scatter import scatter_figure
    from headtrain.scoring.ensemble import load_ensemble
    from headtrain.scoring.on_list import by_category, labelled, read_categories, tested
    from headtrain.scoring.scores import trunk_differences

    known = read_categories(categories, column) if categories else {}
    refuse_twice("--features", features)
    inputs = [*features, *runs, *([categories] if categories else [])]
    with (
        writing("--out", out, PREDICTIONS, overwrite, inputs) if out else contextlib.nullcontext(),
        drawing("--scatter", scatter, overwrite, inputs),
    ):
        heads = load_ensemble(runs, choose_device(device))
        collection = opened_for({path: head.provenance for path, head in heads.items()}, features)
        if name:
            collection = with_lists_of(collection, dealt_before(runs))
        for path, head in heads.items():
            for line in trunk_differences(head.provenance, collection):
                say_wrong(f"warning: {path} was trained on other features: {line}")
            if not (head.provenance and head.provenance.trained_on):
                say_wrong(f"warning: what {path} was trained on is not known: none of it could be left out")
        images = labelled(collection, name, [*heads.values()])
        views = chosen_views(collection, view, [*heads.values()])
        predictions = tested([*heads.values()], collection, images, views)
        if out:
            write_predictions(out, predictions)
        if scatter:
            shown = dict.fromkeys(heads, predictions)
            if len(heads) > 1:
                shown = {path: tested([head], collection, images, views) for path, head in heads.items()}
                shown[f"mean of {len(heads)} heads"] = predictions
            save(scatter_figure(shown, on_axis(None, features)), scatter)
    say(describe_left_out(images), err=True)
    say(described("all", predictions))
    found = evaluate(predictions.predicted, predictions.scores)
    summary(*(path for path in (out, scatter) if path), images=found.n, rho=found.rho, pearson=found.pearson,
            mse=found.mse, left_out=images.left_out)  # fmt: skip
    if line := flat_line(" ".join(map(str, runs)), [found]):
        say_wrong(line)
    for category, part in by_category(predictions, known):
        say(described(category, part))


def describe_left_out(images: "Labelled") -> str:
    """Describe which images are tested on."""
    left = ", ".join(f"{count} {reason} left out" for reason, count in images.left_out.items() if count)
    return f"{len(images.rows)} images" + (f", {left}" if left else "")


def described(name: str, predictions: "Predictions") -> str:
    """Describe how good predictions are in one line."""
    from headtrain.evaluation.bootstrap import interval
    from headtrain.evaluation.metrics import evaluate

    found, sure = evaluate(predictions.predicted, predictions.scores), interval(predictions)
    line = f"score = {found.slope:.2f} * prediction {found.intercept:+.2f}"
    return (f"{name}: rho {found.rho:.4f} [{sure.low:.3f}, {sure.high:.3f}], Pearson {found.pearson:.4f}, MSE "
            f"{found.mse:.5f}, {line}, {found.n} images")  # fmt: skip
