"""`amnet-head show` and `amnet-head import`: what a run is, and runs of the authors' checkpoints."""

from pathlib import Path

import click

from amnet_common.commands import OneLineErrors, say
from amnet_common.only_writer import only_writer
from headtrain.cli.options import PATH
from headtrain.settings.configuration import MOST_STEPS
from headtrain.settings.presets import RELEASED


@click.command(cls=OneLineErrors)
@click.argument("run", type=PATH)
def show(run: Path) -> None:
    """Print a run's configuration and result. Settings that depart from the paper are marked with *, those that also
    depart from the run's preset with **."""
    from headtrain.runs.showing import run_lines

    for line in run_lines(run):
        say(line)


@click.command("import", cls=OneLineErrors)
@click.argument("checkpoint", type=PATH)
@click.option("--out", required=True, type=PATH, help="Run folder.")
@click.option("--steps", default=RELEASED.head.steps, type=click.IntRange(0, MOST_STEPS), help="LSTM steps T.")
@click.option("--no-attention", is_flag=True, help="The checkpoint was trained without attention.")
@click.option("--last-step", is_flag=True, help="It was trained with --last-step-prediction.")
def import_(checkpoint: Path, out: Path, steps: int, no_attention: bool, last_step: bool) -> None:
    """Turn a checkpoint of the authors' published code into a run. Its trunk: amnet-extract --weights CHECKPOINT."""
    from headtrain.runs.importing import import_released, save_imported

    head = import_released(checkpoint, steps, not no_attention, "last" if last_step else RELEASED.head.output)
    with only_writer(out, make_folders=True):
        save_imported(out, head, checkpoint)
    trunk = "with" if head.provenance and "weights_sha256" in head.provenance.spec else "without"
    say(f"{out}: a released head of {steps} steps {'without' if no_attention else 'with'} attention; "
               f"{checkpoint.name} came {trunk} its trunk")  # fmt: skip
