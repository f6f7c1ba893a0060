"""The options of the commands that can give their work to a cluster."""

from typing import Any

import click

from amnet_common.errors import ConfigError

LOCAL, RAY = "local", "ray"


def engine_options(command: Any) -> Any:  # noqa: ANN401 - as click's decorators
    """Add the options --engine and --address to a command."""
    engine = click.option("--engine", type=click.Choice((LOCAL, RAY)), default=LOCAL, show_default=True,
                          help="Who does the work: this machine, or the workers of a Ray cluster.")  # fmt: skip
    address = click.option("--address", show_default=False, help="With --engine ray: its cluster, auto or HOST:PORT.  "
                           "[default: $RAY_ADDRESS, one that runs here, or a new one on this machine]")  # fmt: skip
    return engine(address(command))


def refuse_beside_engine(engine: str, address: str | None, devices: str | None = None) -> None:
    """Raise ConfigError for options that do not go together."""
    if address is not None and engine != RAY:
        raise ConfigError("--address: expected with --engine ray, found without")
    if devices is not None and engine == RAY:
        raise ConfigError("--devices: expected without --engine ray, which gives each task a card, found both")
