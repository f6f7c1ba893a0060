"""`amnet-head score`: scores of a whole collection as a table."""

from pathlib import Path

import click

from amnet_common.collection import Collection
from amnet_common.commands import OneLineErrors
from amnet_common.errors import OutputError
from amnet_common.layout import DONE
from headtrain.cli.options import PATH, device_option, features_option


@click.command(cls=OneLineErrors)
@features_option
@click.option("--head", "run", required=True, type=PATH, help="Run folder or checkpoint file.")
@click.option("--out", required=True, type=PATH, help="The CSV file id,score,step_1,...,step_T.")
@device_option
def score(features: Path, run: Path, out: Path, device: str) -> None:
    """Write the score of every image (evaluation view) and the step scores, which add up to it."""
    if not out.parent.is_dir():
        raise OutputError(f"--out {out}: wanted an existing folder, found no {out.parent}")
    collection = Collection(features)
    from amnet_common.devices import choose_device
    from headtrain.checkpoint import load_head
    from headtrain.scoring import score_collection, trunk_differences, write_scores

    head = load_head(run, choose_device(device))
    unlike = trunk_differences(head, collection)
    if unlike:
        click.echo(f"warning: {run} was trained on features of another trunk: {'; '.join(unlike)}", err=True)
    write_scores(out, score_collection(head, collection))
    done = int((collection.status == DONE).sum())
    missing = f", {len(collection) - done} images without features left empty" if done < len(collection) else ""
    click.echo(f"{out}: {done} images scored{missing}")
