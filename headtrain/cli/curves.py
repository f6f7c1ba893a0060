"""`amnet-head curves`: how a training went, as a picture."""

from pathlib import Path

import click

from amnet_common.commands import OneLineErrors
from headtrain.cli.options import PATH


@click.command(cls=OneLineErrors)
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, help="Picture, .png or .svg.  [default: RUN/curves.png]")
def curves(run: Path, out: Path | None) -> None:
    """Draw a run's log, finished or not: squared error, attention penalty, validation MSE and rank correlation of each
    epoch. Of a folder of split-1, split-2 and so on: a curve for each split."""
    from headtrain.figures.curves import CURVES, draw_curves

    out = out or run / CURVES
    draw_curves(run, out)
    click.echo(out)
