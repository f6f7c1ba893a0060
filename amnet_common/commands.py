"""What the three commands share: an error of ours becomes one line and exit status 2, Ctrl-C one line and 130."""

import os
import sys

import click

from amnet_common.errors import AmnetError

BAD_INPUT, INTERRUPTED = 2, 130


class OneLineErrors(click.Command):
    """A command whose function returns its exit status."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and leave with its status."""
        try:
            status = super().invoke(ctx)
        except AmnetError as error:
            click.echo(f"{ctx.command_path}: {printable(str(error))}", err=True)
            ctx.exit(BAD_INPUT)
        except KeyboardInterrupt as stop:
            click.echo(f"{ctx.command_path}: interrupted. {printable(str(stop))}".rstrip(), err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:  # the reader of our output, `head` say, has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        ctx.exit(status or 0)


class OneLineErrorsGroup(click.Group):
    """A group of such commands."""

    command_class = OneLineErrors


def printable(text: str) -> str:
    """One line that any terminal takes: file names may hold line breaks and bytes that are not UTF-8."""
    one_line = text.replace("\n", "\\n").replace("\r", "\\r")
    return one_line.encode("utf-8", "backslashreplace").decode()
