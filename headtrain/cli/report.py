"""`amnet-head report`: runs as one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amnet_common.commands import OneLineErrors, progress, say_done, say_wrong, summary
from amnet_common.errors import ConfigError
from headtrain.cli.compare import finished_of
from headtrain.cli.options import PATH, features_option, score_name_in, score_name_option
from headtrain.cli.outputs import PAGE, overwrite_option, writing
from headtrain.cli.own_heads import arch_option
from headtrain.cli.together import opened_for
from headtrain.cli.trunks import warn_of_other_trunks

if TYPE_CHECKING:
    from headtrain.report.contents import System


@click.command(cls=OneLineErrors)
@click.argument("runs", nargs=-1, required=True, type=PATH)
@features_option
@click.option("--out", default="report.html", type=PATH, help="The page.")
@click.option("--images", type=PATH, help="Folder of the image files.  [default: where they were extracted from]")
@click.option("--gallery", default=24, type=click.IntRange(0, 100), help="Images of each kind that are shown large: "
              "most and least memorable, worst errors.")  # fmt: skip
@score_name_option
@click.option("--title", help="Of the page.  [default: the runs' names]")
@overwrite_option
@arch_option
def report(
    runs: Sequence[Path], features: Sequence[Path], out: Path, images: Path | None, gallery: int, title: str | None,
    overwrite: bool, score_name: str | None,
) -> None:  # fmt: skip
    """Write finished RUNS (folders of one split, or of --split all) as one HTML file that needs nothing else."""
    if images and not images.is_dir():
        raise ConfigError(f"--images {images}: expected a folder, found none")
    with writing("--out", out, PAGE, overwrite, features):
        write_report(finished_of(runs), features, out, images, gallery, title, score_name_in(score_name, features))


def write_report(
    systems: "Sequence[System]", features: Sequence[Path], out: Path, images: Path | None, gallery: int,
    title: str | None, score_name: str,
) -> None:  # fmt: skip
    """Write the page of finished runs, and say how large it is and which pictures it lacks."""
    from headtrain.heads.checkpoint import BEST, read_provenance
    from headtrain.report.contents import contents
    from headtrain.report.images import Images
    from headtrain.report.page import page, write_page

    made = {str(result.run): read_provenance(result.run / BEST) for _, results in systems for result in results
            if (result.run / BEST).exists()}  # fmt: skip
    collection = opened_for(made, features)
    warn_of_other_trunks(made, [collection])
    small = Images(collection, images)
    with progress("report", len(systems), "runs") as bar:
        found = contents(systems, collection, small, gallery, bar.update) | {"score_name": score_name}
    text = page(found, title or f"amnet: {', '.join(run.name for run, _ in systems)}")
    write_page(out, text)
    if small.missing:
        say_wrong(f"{small.missing} of {len(small.table)} pictures are not shown: "
                  f"{next(one['missing'] for one in small.table if one['missing'])}")  # fmt: skip
    summary(runs=len(systems), pictures=len(small.table), not_shown=small.missing)
    say_done(f"{out}: {len(text) / 1e6:.1f} MB")
