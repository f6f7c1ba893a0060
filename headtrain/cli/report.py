"""`amnet-head report`: runs as one page."""

from collections.abc import Sequence
from pathlib import Path

import click

from amnet_common.collection import Collection
from amnet_common.commands import OneLineErrors, progress
from amnet_common.errors import ConfigError
from headtrain.cli.options import PATH, features_option, refuse_output
from headtrain.cli.trunks import warn_of_other_trunks


@click.command(cls=OneLineErrors)
@click.argument("runs", nargs=-1, required=True, type=PATH)
@features_option
@click.option("--out", default="report.html", type=PATH, help="The page.")
@click.option("--images", type=PATH, help="Folder of the image files.  [default: where they were extracted from]")
@click.option("--gallery", default=24, type=click.IntRange(0, 100), help="Images of each kind that are shown large: "
              "most and least memorable, worst errors.")  # fmt: skip
@click.option("--title", help="Of the page.  [default: the runs' names]")
def report(
    runs: Sequence[Path], features: Path, out: Path, images: Path | None, gallery: int, title: str | None
) -> None:
    """Write finished RUNS (folders of one split, or of --split all) as one HTML file that needs nothing else."""
    refuse_output("--out", out, (".html", ".htm"))
    if images and not images.is_dir():
        raise ConfigError(f"--images {images}: expected a folder, found none")
    collection = Collection(features)
    from headtrain.heads.checkpoint import BEST, read_provenance
    from headtrain.report.contents import contents
    from headtrain.report.images import Images
    from headtrain.report.page import page, write_page
    from headtrain.runs.results import results_of

    made = {str(result.run): read_provenance(result.run / BEST) for run in runs for result in results_of(run)
            if (result.run / BEST).exists()}  # fmt: skip
    warn_of_other_trunks(made, [collection])
    small = Images(collection, images)
    with progress("report", len(runs), "runs") as bar:
        found = contents(runs, collection, small, gallery, bar.update)
    text = page(found, title or f"amnet: {', '.join(run.name for run in runs)}")
    write_page(out, text)
    if small.missing:
        click.echo(f"{small.missing} of {len(small.table)} pictures are not shown: "
                   f"{next(one['missing'] for one in small.table if one['missing'])}", err=True)  # fmt: skip
    click.echo(f"{out}: {len(text) / 1e6:.1f} MB")
