"""`amnet-head curves`: how a training went, as a picture."""

from pathlib import Path

import click

from amnet_common.commands import OneLineErrors, say
from headtrain.cli.options import PATH
from headtrain.cli.outputs import PICTURE, overwrite_option, writing


@click.command(cls=OneLineErrors)
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, help="Picture, .png, .svg or .pdf.  [default: RUN/curves.png, which is drawn anew]")
@overwrite_option
def curves(run: Path, out: Path | None, overwrite: bool) -> None:
    """Draw a run's log, finished or not: squared error, attention penalty, validation MSE and rank correlation of each
    epoch. Of a folder of split-1, split-2 and so on: a curve for each split."""
    from headtrain.figures.curves import CURVES, draw_curves

    own = out is None
    out = out or run / CURVES
    with writing("--out", out, PICTURE, overwrite or own):
        draw_curves(run, out)
    say(out)
