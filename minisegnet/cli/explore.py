"""``minisegnet explore``: the page to play with a transposed convolution."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from minisegnet.checkpoint import atomic_write
from minisegnet.cli.errors import Command
from minisegnet.explain import explorer_page
from minisegnet.explain.explorer import MARK

_USUAL = "transposed-convolution.html"


@click.command(cls=Command)
@click.option("--out", metavar="FILE", help=f"Where to write the page  [default: {_USUAL}]")
@click.option("--no-open", is_flag=True, help="Write the page and do not open it in a browser.")
def explore(out: str | None, no_open: bool) -> None:
    """Write a page to play with a transposed convolution, and open it in the browser.

    On the page you change the numbers and the options, see zero insertion, stamps and the matrix
    side by side, and predict values before they are shown. It needs no connection, and its address
    holds all that is set, so that it can be shared.
    """
    path = Path(_USUAL if out is None else out)
    _refuse_another_file(path)
    with atomic_write(path, "w") as file:
        file.write(explorer_page())
    click.echo(f"{path}: the explorer of transposed convolutions")
    if not no_open and not webbrowser.open(path.resolve().as_uri()):
        click.echo("no browser was found here: open the file in one")


def _refuse_another_file(path: Path) -> None:
    """A page of the explorer may be written again; anything else that is there stays."""
    if path.is_dir():
        raise ValueError(f"--out {path} is a folder: name a file in it")
    if not path.is_file():
        return
    with path.open("rb") as file:
        begins = file.read(1 << 12)
    if begins.strip() and MARK.encode() not in begins:
        raise ValueError(f"--out {path} is there and is no page of the explorer: name another file")
