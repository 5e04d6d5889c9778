"""``minisegnet models``: the networks there are."""

from __future__ import annotations

import click

from minisegnet.cli.errors import Command
from minisegnet.models import TABLE


@click.command(cls=Command)
def models() -> None:
    """List the networks: name, paper, parameters, input sizes."""
    rows = [("name", "paper", "parameters", "input sizes")]
    for entry in TABLE.values():
        count = sum(parameter.size for parameter in entry.make().parameters())
        rows.append((entry.name, entry.paper, f"{count:,}", entry.sizes))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for name, paper, count_text, sizes in rows:
        click.echo(
            f"{name:{widths[0]}}  {paper:{widths[1]}}  {count_text:>{widths[2]}}  {sizes}".rstrip()
        )
    click.echo(
        "Parameters are those of the paper's width with 3 channels in. 'minisegnet train --model "
        "NAME' makes a toy of a fraction of that width unless --base says otherwise."
    )
