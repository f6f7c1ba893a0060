"""`amnet-head runs`: the leaderboard of all heads below a folder."""

from collections.abc import Sequence
from pathlib import Path

import click

from amnet_common.commands import OneLineErrors, say, say_wrong
from amnet_common.commands import summary as facts
from headtrain.cli.options import PATH

FORMATS = ("table", "csv", "json")
HIDDEN = "test figures are hidden, as they should choose nothing: amnet-head runs --test shows them"
NO_MARK = "no row is marked: none has a validation rho on just the lists that all have; --where narrows"


@click.command("runs", cls=OneLineErrors)
@click.argument("folder", metavar="[DIR]", default="runs", type=PATH)
@click.option("--summary", is_flag=True, help="A row for each configuration: mean and spread over splits and seeds.")
@click.option("--where", "texts", metavar="KEY=VALUE", multiple=True, help="Only such heads: lr=1e-4, split=1, "
              "status=finished. Given again: all must hold.")  # fmt: skip
@click.option("--sort", "column", metavar="COLUMN", help="Order by a column: rho from the highest, others from the "
              "lowest.  [default: val-rho]")  # fmt: skip
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--top", type=click.IntRange(min=1), help="Only the first so many rows.")
@click.option("--test", is_flag=True, help="Show test figures as well, which csv and json always have.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", help="csv and json have every digit.")
def leaderboard(
    folder: Path, summary: bool, texts: Sequence[str], column: str | None, reverse: bool, top: int | None, test: bool,
    form: str,
) -> None:  # fmt: skip
    """List the heads trained below DIR (default: runs), finished or not, with the settings in which they differ.

    What is best is chosen by validation: it gives the order, and in a summary the mark *, which only a configuration
    gets whose heads stand on the same lists as those of all others. Test figures of the rest must steer nothing: the
    table shows none without --test, or an order by one.
    """
    from headtrain.evaluation.metrics import flat_line
    from headtrain.leaderboard import board
    from headtrain.leaderboard import text as row_text
    from headtrain.leaderboard.facts import matching, own_kinds, read_condition
    from headtrain.leaderboard.listing import listed

    found = listed(folder)
    own = own_kinds(found.heads)
    conditions = [read_condition(text, own) for text in texts]
    heads = matching(found.heads, conditions) if found.heads else []
    rows = (board.summary_rows(heads) if summary else board.head_rows(heads)) if heads else []
    notes = [NO_MARK] if summary and rows and not rows[0]["best"] else []
    if rows and (column or reverse):
        rows = board.ordered(rows, column or "val-rho", reverse)
    if summary or conditions:
        for run, why in found.damaged:
            say_wrong(f"{run}: damaged, left out: {why}")
    else:
        rows = board.with_damaged(rows, found.damaged)
    write = {"table": row_text.as_table, "csv": row_text.as_csv, "json": row_text.as_json}[form]
    rows = rows[:top]
    shown = {row["run"] for row in rows if "run" in row}
    if form == "table" and not test and column not in board.OF_TEST:
        rows, some = board.without_test(rows)
        notes += [HIDDEN] * some
    if rows:
        for line in write(rows).split("\n"):
            say(line)
    facts(heads=len(heads), damaged=len(found.damaged))
    for line in ("; ".join(notes), board.overlap_line(heads) if summary else ""):
        if line:
            say(line, err=True)
    for line in board.mean_lines(heads) if summary and test else ():
        say(line, err=True)
    for head in (one for one in heads if summary or str(one.run) in shown):
        if line := flat_line(head.run, [head.test]):
            say_wrong(line)
