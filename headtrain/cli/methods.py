"""`amnet-head methods`: what a paper says of finished runs."""

from collections.abc import Sequence
from pathlib import Path

import click

from amnet_common.commands import OneLineErrors, say
from headtrain.cli.compare import data_of_runs, finished_of
from headtrain.cli.options import PATH, score_name_in, score_name_option

WIDTH = 120  # characters a line


@click.command(cls=OneLineErrors)
@click.argument("runs", nargs=-1, required=True, type=PATH)
@score_name_option
def methods(runs: Sequence[Path], score_name: str | None) -> None:
    """Print the methods paragraph of finished RUNS (folders of one split, or of several), and BibTeX of what it cites.

    Everything in it is read from the runs. Read it before you publish it: what you did beside amnet, it does not know.
    """
    import textwrap

    from headtrain.methods.facts import facts_of
    from headtrain.methods.paragraph import paragraphs
    from headtrain.methods.references import bibtex

    systems = finished_of(runs)
    data = data_of_runs([result for _, results in systems for result in results])
    name = score_name_in(score_name, [result.result.features for _, results in systems for result in results])
    cited: list[str] = []
    for text, keys in paragraphs([facts_of(run, results) for run, results in systems], name, data):
        for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False):
            say(line)
        say("")
        cited += keys
    for line in bibtex(cited).split("\n"):
        say(line)
