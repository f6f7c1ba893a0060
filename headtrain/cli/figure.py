"""`amnet-head figure`: the paper's figures 4, 6 and 7, of one's own runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amnet_common.collection.folding import with_lists_of
from amnet_common.collection.score_names import MEMORABILITY
from amnet_common.commands import OneLineErrorsGroup, say
from amnet_common.errors import RunError
from headtrain.cli.compare import data_of_runs, finished_of
from headtrain.cli.options import PATH, device_option, score_name_in, score_name_option
from headtrain.cli.outputs import PICTURE, overwrite_option, writing
from headtrain.cli.own_heads import arch_option
from headtrain.cli.together import opened_for
from headtrain.cli.trunks import warn_of_other_trunks

if TYPE_CHECKING:
    from headtrain.figures.paper_figures import Steps


@click.group(cls=OneLineErrorsGroup)
def figure() -> None:
    """Draw figures of the paper from runs, as PNG, SVG or PDF; Figure 3 is amnet-head curves, Figure 5 attend."""


@figure.command()
@click.argument("run", type=PATH)
@score_name_option
@click.option("--out", default="histogram.png", type=PATH, help="Picture, .png, .svg or .pdf.")
@overwrite_option
def histogram(run: Path, score_name: str | None, out: Path, overwrite: bool) -> None:
    """Draw Figure 4: the distribution of human and predicted scores of a run's test images."""
    from headtrain.figures.paper_figures import histogram as draw
    from headtrain.figures.pictures import save
    from headtrain.runs.results import results_of

    with writing("--out", out, PICTURE, overwrite):
        results = results_of(run)
        save(draw(results, run.name, on_axis(score_name, [one.result.features for one in results])), out)
    say(out)


@figure.command()
@click.argument("run", type=PATH)
@click.option("--features", type=PATH, multiple=True, help="The collection, or those that the run was trained on "
              "together.  [default: where it was trained]")  # fmt: skip
@score_name_option
@click.option("--out", default="slope.png", type=PATH, help="Picture, .png, .svg or .pdf.")
@overwrite_option
@arch_option
@device_option
def slope(run: Path, features: Sequence[Path], score_name: str | None, out: Path, overwrite: bool, device: str) -> None:
    """Draw Figure 6: the slope of the step scores against memorability, over the test images of one head."""
    from headtrain.figures.paper_figures import slope_figure
    from headtrain.figures.pictures import save
    from headtrain.runs.documents import read_begun

    with writing("--out", out, PICTURE, overwrite):
        steps = steps_of(run, features, device)
        save(slope_figure(steps, run.name, on_axis(score_name, features or [read_begun(run).features])), out)
    say(out)


@figure.command()
@click.argument("runs", nargs=-1, required=True, type=PATH)
@click.option("--out", default="comparison.png", type=PATH, help="Picture, .png, .svg or .pdf.")
@overwrite_option
def comparison(runs: Sequence[Path], out: Path, overwrite: bool) -> None:
    """Draw Figure 7: mean test rho of RUNS among the published figures of their data set."""
    from headtrain.figures.paper_figures import comparison as draw
    from headtrain.figures.pictures import save
    from headtrain.leaderboard.table import name_of

    with writing("--out", out, PICTURE, overwrite):
        found = finished_of(runs)
        systems = [(name_of(run, results), results) for run, results in found]
        save(draw(systems, data_of_runs([result for _, results in found for result in results])), out)
    say(out)


def on_axis(given: str | None, collections: Sequence[Path | str]) -> str:
    """Return what an axis calls the scores: by their name, or `score` where that is memorability, as in the paper."""
    name = score_name_in(given, collections)
    return "score" if name == MEMORABILITY and given is None else name


def steps_of(run: Path, features: Sequence[Path], device: str) -> "Steps":
    """Compute the step scores of a head's test images, in the view that it was tested on. Raises RunError for a run
    without a split, or a head of fewer than 2 steps.
    """
    from amnet_common.machine.devices import choose_device
    from headtrain.features.splits import split_subsets
    from headtrain.figures.paper_figures import Steps
    from headtrain.heads.checkpoint import load_head
    from headtrain.runs.documents import read_begun
    from headtrain.runs.features import features_files
    from headtrain.scoring.ensemble import predict_together
    from headtrain.scoring.scores import refuse_missing_view, refuse_other_shape

    begun = read_begun(run)
    if begun.split is None:
        raise RunError(f"{run}: expected a run of amnet-head train, found one without a split")
    head = load_head(run, choose_device(device))
    steps = head.outputs if head.config.has_own else head.config.steps
    if steps < 2:
        raise RunError(f"{run}: expected a head of 2 steps or more, whose scores have a slope, found {steps}")
    training = begun.config.training
    files = features or features_files(begun)
    collection = with_lists_of(opened_for({str(run): head.provenance}, files), begun.folding)
    refuse_other_shape(head, collection)
    refuse_missing_view(training.eval_view, collection)
    warn_of_other_trunks({str(run): head.provenance}, [collection])
    subsets = split_subsets(collection, begun.split, training.data_seed, True, training.select_on)
    said = predict_together([head], collection, subsets.test.rows, [training.eval_view])
    return Steps(subsets.test.scores, said.steps)
