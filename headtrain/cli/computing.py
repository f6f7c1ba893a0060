"""How heads are computed: where, in what arithmetic, by which kernels, from where their views are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amnet_common.commands import say
from headtrain.settings.configuration import Config

if TYPE_CHECKING:
    from headtrain.compute.kernels import Kernels
    from headtrain.features.splits import Subsets


@dataclass(frozen=True)
class Computing:
    """Hold what a command asks of the machine."""

    device: str  # as torch names it
    precision: str = "auto"
    compiled: bool | None = None  # None: where the work is long enough
    residency: str = "auto"
    check: bool = True  # every view that is trained on against its checksum
    sharers: int = 1  # processes that share the main memory, this one among them


def kernel_options(command: Any) -> Any:  # noqa: ANN401 - as click's decorators
    """Add the options --precision and --compile to a command."""
    precision = click.option(
        "--precision", type=click.Choice(("auto", "float32", "bfloat16")), default="auto",
        help="Of the matrix products; auto: bfloat16 where the device has units for it, of a head of your own float32.",
    )  # fmt: skip
    compiled = click.option(
        "--compile/--no-compile", "compiled", default=None,
        help="Compile what lies between the products.  [default: where the work is long enough]",
    )  # fmt: skip
    return precision(compiled(command))


def chosen_kernels(
    computing: Computing, subsets: "Subsets", views: int, config: Config, resumed: Path | None
) -> "Kernels":
    """Choose the kernels for heads like this one, and print them; `views` of the collection. `resumed`: a folder whose
    runs are resumed as they were begun. Raises ConfigError if compiled kernels are asked for and there is no compiler.
    """
    from headtrain.compute.kernels import AUTO, choose_kernels
    from headtrain.features.batches import views_an_epoch
    from headtrain.runs.documents import begun_kernels

    precision, compiled = computing.precision, computing.compiled
    if resumed and (begun := begun_kernels(resumed)):
        precision = begun[0] if precision == AUTO else precision
        compiled = begun[1] if compiled is None else compiled
    settings = config.training
    shown = settings.epochs * views_an_epoch(len(subsets.train.rows), views, settings)
    found = choose_kernels(precision, compiled, computing.device, shown, bool(config.head.source))
    first = "; compiling takes the first epoch up to a minute longer, once on this machine" if found.compiled else ""
    say(f"training in {found}{first}", err=True)
    return found
