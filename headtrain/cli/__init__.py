"""`amnet-head`: train heads on a collection, compare them, and score collections with them."""

import click

from amnet_common.commands import OneLineErrorsGroup, version_option
from headtrain.cli.app import app
from headtrain.cli.attend import attend
from headtrain.cli.compare import baseline, compare, table
from headtrain.cli.curves import curves
from headtrain.cli.evaluate import evaluate
from headtrain.cli.figure import figure
from headtrain.cli.leaderboard import leaderboard
from headtrain.cli.methods import methods
from headtrain.cli.predict import predict
from headtrain.cli.report import report
from headtrain.cli.runs import import_, show
from headtrain.cli.score import score
from headtrain.cli.sweep import sweep
from headtrain.cli.train import train
from headtrain.cli.transfer import test_command

__all__ = ["main"]


@click.group(cls=OneLineErrorsGroup, context_settings={"show_default": True})
@version_option
def main() -> None:
    """Train attention heads on cached features and score collections with them."""


COMMANDS = (
    train, sweep, baseline, evaluate, test_command, leaderboard, table, compare, curves, show, import_,
    score, predict, attend, figure, report, methods, app,
)  # fmt: skip
for command in COMMANDS:
    main.add_command(command)
