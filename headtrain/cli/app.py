"""`amnet-head app`: a page of this machine alone, on which photographs are dropped to see what heads say of them."""

import os
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import click

from amnet_common.commands import OneLineErrors, say, say_wrong
from amnet_common.errors import ConfigError
from headtrain.cli.options import PATH, device_option, refuse_twice
from headtrain.cli.own_heads import arch_option
from headtrain.cli.predict import flat_in_its_test, refuse_joint, refuse_other_weights


@click.command(cls=OneLineErrors)
@click.option("--head", "runs", required=True, multiple=True, type=PATH, help="Run, checkpoint, or folder of --split "
              "all. Given again: the page has a choice.")  # fmt: skip
@click.option("--weights", help="Of the trunk that the heads were trained on, as for amnet-extract.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), show_default=False, help="Of the page; a free one if "
              "not given.")  # fmt: skip
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
@arch_option
@device_option
def app(runs: Sequence[Path], weights: str | None, port: int, browser: bool, device: str) -> None:
    """Show a page on this machine alone (127.0.0.1): drop photographs, see score, percentile, steps and attention.

    It runs until Ctrl-C. Nothing leaves this machine, and nothing is kept.
    """
    refuse_twice("--head", runs)
    from amnet_common.machine.devices import choose_device
    from headtrain.app.looking import Looking
    from headtrain.app.server import Server
    from headtrain.scoring.ensemble import load_ensemble

    heads = {name: head for run in runs for name, head in load_ensemble([run], choose_device(device)).items()}
    for name, head in heads.items():
        refuse_joint("app", name, head)
        refuse_other_weights(name, head, weights or os.environ.get("AMNET_WEIGHTS"))
        if line := flat_in_its_test(Path(name)):
            say_wrong(line)
    with tempfile.TemporaryDirectory(prefix="amnet-") as work:
        try:
            server = Server(Looking(heads, Path(work), weights, device), Path(work), port)
        except OSError as error:
            raise ConfigError(f"--port {port}: expected a free port, found none: {error.strerror}") from error
        with server:
            say(f"{server.url}  (Ctrl-C ends it)")
            if browser:
                webbrowser.open(server.url)
            try:
                server.serve_forever()
            except KeyboardInterrupt as stop:
                if type(stop) is not KeyboardInterrupt:  # a scheduler or the terminal, and not the one who looks
                    raise
                say("ended", err=True)
