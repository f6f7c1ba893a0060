"""The options that say how a table is to be read, the same for every command that reads one."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from amnet_common.datasets.cells import COMMA, POINT
from amnet_common.datasets.columns import ID, LIST, RATER, SCORE, SPLIT, Columns

HELP = {
    ID: "Of the table: the column of the images' names.  [default: id, or the one that is clearly it]",
    SCORE: "Of the table: the column of the scores.  [default: score, or the only one of numbers]",
    SPLIT: "Of the table: the column of train, val, test.  [default: split, if there is one]",
    LIST: "Of the table: a column of lists, such as train_1 or 'test_1 train_2', in place of --split-column.",
    RATER: "Of the table: the column that tells people apart, where each line is one person's rating.",
}


def table_options(*roles: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options for columns of these roles, and --decimal; it gets them as `columns`."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(*args: Any, **words: Any) -> Any:  # noqa: ANN401 - as the command
            said = {role: words.pop(f"{role}_column") for role in roles}
            decimal, raters = words.pop("decimal"), words.pop("rater_columns", None)
            return command(*args, columns=Columns(**said, decimal=decimal, raters=raters), **words)

        text = "Of the table: what stands before fractions, where its numbers leave that open."
        wrapped: Callable[..., Any] = click.option("--decimal", type=click.Choice((POINT, COMMA)), help=text)(call)
        if RATER in roles:
            text = "Of the table: the columns of ratings, one a person, by name or pattern, such as 'P*'."
            wrapped = click.option("--rater-columns", metavar="NAMES", help=text)(wrapped)
        for role in reversed(roles):
            wrapped = click.option(f"--{role}-column", metavar="NAME", help=HELP[role])(wrapped)
        return wrapped

    return add
