"""`amnet-head`: train a head on a collection, and score collections with it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from amnet_common.collection import Collection
from amnet_common.commands import OneLineErrorsGroup
from amnet_common.errors import OutputError
from amnet_common.layout import DONE
from headtrain.presets import AMNET, PRESETS, override

if TYPE_CHECKING:
    from headtrain.parts import Parts
    from headtrain.training import Epoch, Result

PATH = click.Path(path_type=Path)


@click.group(cls=OneLineErrorsGroup, context_settings={"show_default": True})
def main() -> None:
    """Train attention heads on cached features and score collections with them."""


@main.command()
@click.option("--features", required=True, type=PATH, help="The collection that amnet-extract wrote.")
@click.option("--preset", default=AMNET.preset, type=click.Choice(sorted(PRESETS)), help="Named configuration.")
@click.option("--split", default=1, help="Number K of the lists train_K, val_K and test_K.")
@click.option("--out", type=PATH, help="Run folder.  [default: runs/FEATURES-PRESET-SPLIT, numbered if it exists]")
@click.option("--allow-missing", is_flag=True, help="Leave images without features out instead of refusing.")
@click.option("--check/--no-check", default=True, help="Compare every view that is trained on with its checksum.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--seed", type=int, help="Of initialisation, order, views and dropout.  [default: the preset's]")
@click.option("--epochs", type=int, help="At most so many.  [default: the preset's]")
@click.option("--patience", type=int, help="Stop after so many epochs without a better one.  [default: the preset's]")
@click.option("--lr", "learning_rate", type=float, help="Adam's learning rate.  [default: the preset's]")
@click.option("--l2", type=float, help="L2 penalty on the parameters.  [default: the preset's]")
@click.option("--batch-size", type=int, help="Images a batch.  [default: the preset's]")
@click.option("--penalty", type=float, help="Weight lambda of the attention penalty.  [default: the preset's]")
@click.option("--steps", type=int, help="LSTM steps T.  [default: the preset's]")
@click.option("--no-attention", is_flag=True, help="Equal weights for all places, equation (9).")
def train(
    features: Path, preset: str, split: int, out: Path | None, allow_missing: bool, check: bool, device: str,
    no_attention: bool,
    **overrides: float | None,
) -> None:  # fmt: skip
    """Train one head on one split; test it once, with the checkpoint of the best validation rank correlation."""
    config = override(PRESETS[preset], attention=False if no_attention else None, **overrides)
    collection = Collection(features)
    from amnet_common.devices import choose_device
    from headtrain.parts import split_parts
    from headtrain.runlog import free_run_name
    from headtrain.training import train as train_head

    device = choose_device(device)
    parts = split_parts(collection, split, config.training.seed, allow_missing)
    run = out or free_run_name(Path("runs"), f"{features.stem}-{preset}-{split}")
    click.echo(describe_parts(parts), err=True)
    epochs = train_head(collection, parts, config, split, run, device, check)
    try:
        while True:
            click.echo(describe_epoch(next(epochs)), err=True)
    except StopIteration as stop:
        click.echo(describe_result(stop.value, run))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{run} keeps what log and checkpoints it has; it has not been tested") from None


def describe_parts(parts: "Parts") -> str:
    """What is trained, selected and tested on, and how much is left out."""
    counts = ((part, getattr(parts, part)) for part in ("train", "val", "test"))
    texts = [f"{len(p.rows)} {name}" + (f" ({p.left_out} left out)" if p.left_out else "") for name, p in counts]
    return f"images: {', '.join(texts)}; epochs are chosen on {parts.selection}"


def describe_epoch(epoch: "Epoch") -> str:
    """One line of progress."""
    mark = " *" if epoch.best else ""
    return (f"epoch {epoch.epoch:3}: train loss {epoch.squared_error:.4f}, val rho {epoch.val_rho:.4f}, "
            f"val MSE {epoch.val_mse:.5f}, {epoch.seconds:.1f} s{mark}")  # fmt: skip


def describe_result(result: "Result", run: Path) -> str:
    """The last line of a training."""
    return (f"{run}: test rho {result.test.rho:.4f}, MSE {result.test.mse:.5f} ({result.test.n} images); "
            f"epoch {result.best.epoch} of {result.epochs}, val rho {result.best.val_rho:.4f}")  # fmt: skip


@main.command()
@click.option("--features", required=True, type=PATH, help="The collection.")
@click.option("--head", "run", required=True, type=PATH, help="Run folder or checkpoint file.")
@click.option("--out", required=True, type=PATH, help="The CSV file id,score,step_1,...,step_T.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps.")
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
