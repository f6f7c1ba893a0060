"""`amnet-head show` and `amnet-head import`: what a run is, and runs of the authors' checkpoints."""

from pathlib import Path

import click

from amnet_common.commands import OneLineErrors, say, say_done, say_wrong
from amnet_common.errors import ConfigError
from amnet_common.only_writer import only_writer
from headtrain.cli.options import PATH, PRESET_NAMES
from headtrain.settings.configuration import MOST_STEPS
from headtrain.settings.presets import RELEASED, RELEASED_MEAN

MOST_NAMES = 12  # of layers that are passed over, in one line


@click.command(cls=OneLineErrors)
@click.argument("run", type=PATH, required=False)
@click.option("--preset", "name", type=click.Choice(PRESET_NAMES), help="A named configuration instead of a run.")
@click.pass_context
def show(ctx: click.Context, run: Path | None, name: str | None) -> None:
    """Print a run's configuration and result, or a preset. Settings that depart from the paper are marked with *, those
    that also depart from the run's preset with **."""
    from headtrain.runs.showing import preset_lines, run_lines

    if run is None and name is None:
        raise click.MissingParameter(ctx=ctx, param=ctx.command.params[0])
    if run is not None and name is not None:
        raise ConfigError(f"--preset {name}: expected it without a run, found {run} as well")
    for line in run_lines(run) if run is not None else preset_lines(str(name)):
        say(line)


@click.command("import", cls=OneLineErrors)
@click.argument("checkpoint", type=PATH)
@click.option("--out", required=True, type=PATH, help="Run folder.")
@click.option("--steps", default=RELEASED.head.steps, type=click.IntRange(0, MOST_STEPS), help="LSTM steps T.")
@click.option("--no-attention", is_flag=True, help="The checkpoint was trained without attention.")
@click.option("--last-step", is_flag=True, help="It was trained with --last-step-prediction.")
@click.option("--mean", default=RELEASED_MEAN, show_default=True, help="Mean score that its code adds; AVA: 0.538.")
def import_(checkpoint: Path, out: Path, steps: int, no_attention: bool, last_step: bool, mean: float) -> None:
    """Turn a checkpoint of the authors' published code into a run. Its trunk: amnet-extract --weights CHECKPOINT.

    What it was trained with is said by the options; where the path's name says otherwise, a line on stderr tells.
    """
    from headtrain.runs.importing import read_released, save_imported
    from headtrain.runs.path_hints import contradictions

    output = "last" if last_step else RELEASED.head.output
    released = read_released(checkpoint, steps, not no_attention, output, mean)
    head = released.head()
    with only_writer(out, make_folders=True):
        save_imported(out, head, checkpoint)
    for line in contradictions(checkpoint.absolute(), steps, not no_attention, output, mean):
        say_wrong(f"warning: {checkpoint}: {line}")
    if names := released.passed_over(head):
        more = f", and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        line = f"{checkpoint}: passed over, as no part of the head: {', '.join(names[:MOST_NAMES])}{more}"
        say(line, err=True)
    trunk = "with" if head.provenance and "weights_sha256" in head.provenance.spec else "without"
    say_done(f"{out}: a released head of {steps} steps {'without' if no_attention else 'with'} attention; "
             f"{checkpoint.name} came {trunk} its trunk")  # fmt: skip
