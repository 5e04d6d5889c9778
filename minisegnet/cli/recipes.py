"""``minisegnet recipes``: the settings that come with the package."""

from __future__ import annotations

import click

from minisegnet.cli.errors import Command
from minisegnet.train import recipes as book


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", required=False)
def recipes(name: str | None) -> None:
    """List the recipes for training, or print the one called NAME.

    'minisegnet train --config NAME --data PATH' follows one; options typed beside it win. What is
    printed can be changed and kept as a file of your own: 'minisegnet recipes camvid > mine.toml'.
    """
    if name is not None:
        click.echo(book.text(name), nl=False)
        return
    width = max(map(len, book.names()))
    for each in book.names():
        click.echo(f"{each:{width}}  {book.summary(each)}")
