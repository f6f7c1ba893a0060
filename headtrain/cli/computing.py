"""In what arithmetic heads are computed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headtrain.configuration import TrainingConfig

if TYPE_CHECKING:
    from headtrain.kernels import Kernels
    from headtrain.parts import Parts


def kernel_options(command: Any) -> Any:  # noqa: ANN401 - as click's decorators
    """--precision and --compile."""
    precision = click.option(
        "--precision", type=click.Choice(("auto", "float32", "bfloat16")), default="auto",
        help="Of the matrix products; auto: bfloat16 where the device has units for it.",
    )  # fmt: skip
    compiled = click.option(
        "--compile/--no-compile", "compiled", default=None,
        help="Compile what lies between the products.  [default: where the work is long enough]",
    )  # fmt: skip
    return precision(compiled(command))


def chosen_kernels(
    precision: str, compiled: bool | None, device: str, parts: "Parts", views: int, settings: TrainingConfig,
    resumed: Path | None,
) -> "Kernels":  # fmt: skip
    """For heads like this one; `views` of the collection. `resumed`: a folder whose runs go on as they were begun."""
    from headtrain.batches import views_an_epoch
    from headtrain.kernels import AUTO, choose_kernels
    from headtrain.run_folder import begun_kernels

    if resumed and (begun := begun_kernels(resumed)):
        precision = begun[0] if precision == AUTO else precision
        compiled = begun[1] if compiled is None else compiled
    shown = settings.epochs * views_an_epoch(len(parts.train.rows), views, settings)
    found = choose_kernels(precision, compiled, device, shown)
    first = "; compiling takes the first epoch up to a minute longer, once on this machine" if found.compiled else ""
    click.echo(f"training in {found}{first}", err=True)
    return found
