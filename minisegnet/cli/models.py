"""``minisegnet models``: the networks there are, and what each is made of and costs."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

import click

from minisegnet.checks import Pair
from minisegnet.cli.checked import checked_by
from minisegnet.cli.errors import Command
from minisegnet.models import TABLE, Entry, SegmentationModel, blocks, find, multiply_adds
from minisegnet.nn import init
from minisegnet.train.option_checks import whole

LARGEST_SIDE = 16384


def _size(ctx: click.Context, parameter: click.Parameter, value: str) -> Pair:
    """One side of a square, or rows x columns."""
    found = re.fullmatch(r"(\d{1,5})(?:\s*[x,]\s*(\d{1,5}))?", value.strip().lower())
    sides = [int(side) for side in found.groups() if side] if found else []
    if not sides or not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise click.BadParameter(
            f"{value!r} is no size: give a side, 224, or rows and columns, 360x480, "
            f"up to {LARGEST_SIDE}",
            ctx,
            parameter,
        )
    return sides[0], sides[-1]


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--size",
    metavar="N|RxC",
    default="224",
    callback=_size,
    help="Count multiply-adds for pictures of this size.  [default: 224]",
)
@click.option(
    "--level",
    metavar="N",
    default="1",
    callback=checked_by(whole(1, 9)),
    help="Of one network, show the parts of its parts.  [default: 1]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def models(name: str | None, size: Pair, level: int, as_json: bool) -> None:
    """List the networks with what they cost, or show the parts of the network NAME.

    A network that does not take the size is counted at the next one that it takes.
    """
    if name is not None:
        _show_one(find(name), size, level, as_json)
        return
    rows = [_cost(entry, _paper_network(entry), size) for entry in TABLE.values()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    head = ("name", "paper", "parameters", "multiply-adds", "at", "input sizes")
    lines = [
        (
            row["name"],
            row["paper"],
            f"{row['parameters']:,}",
            _in_words(row["multiply_adds"]),
            _times(row["size"]),
            row["sizes"],
        )
        for row in rows
    ]
    _print_table([head, *lines], "<<>>><")
    click.echo(
        "\nParameters and multiply-adds are those of the paper's width, channels and classes, a "
        "pass forward of one picture. 'minisegnet models NAME' shows the parts of one; 'minisegnet "
        "train --model NAME' makes a toy of a fraction of that width unless --base says otherwise."
    )


def _paper_network(entry: Entry) -> SegmentationModel:
    with init.skip():
        return entry.make()


def _cost(entry: Entry, model: SegmentationModel, size: Pair) -> dict[str, Any]:
    rows, columns = (side if model.accepts(side) else model.next_size(side) for side in size)
    return {
        "name": entry.name,
        "paper": entry.paper,
        "parameters": entry.parameters,
        "multiply_adds": multiply_adds(model, (rows, columns)),
        "size": [rows, columns],
        "sizes": entry.sizes,
        "in_channels": model.in_channels,
        "num_classes": model.num_classes,
    }


def _show_one(entry: Entry, size: Pair, level: int, as_json: bool) -> None:
    model = _paper_network(entry)
    cost = _cost(entry, model, size)
    parts = blocks(model, (cost["size"][0], cost["size"][1]), level)
    if as_json:
        cost["blocks"] = [dataclasses.asdict(part) for part in parts]
        click.echo(json.dumps(cost, indent=2))
        return
    click.echo(f"{entry.name}: {entry.paper}")
    click.echo(
        f"{cost['in_channels']} channels in, {cost['num_classes']} classes out; input sizes: "
        f"{entry.sizes}\n"
    )
    head = ("part", "kind", "output", "parameters", "multiply-adds")
    lines = [
        (
            part.name or "(the rest)",
            part.kind,
            _times(part.output) or "does not run",
            f"{part.parameters:,}" if part.parameters else "",
            _in_words(part.multiply_adds) if part.multiply_adds else "",
        )
        for part in parts
    ]
    total = ("in all", "", "", f"{model.num_parameters():,}", _in_words(cost["multiply_adds"]))
    _print_table([head, *lines, total], "<<>>>")
    click.echo(
        f"\nFor one picture of {_times(cost['size'])}; outputs are channels x rows x columns."
        + (f" Of the parameters {fixed:,} are not trained." if (fixed := _fixed(model)) else "")
    )


def _fixed(model: SegmentationModel) -> int:
    return model.num_parameters() - model.num_parameters(trainable_only=True)


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _in_words(number: int) -> str:
    """A number of multiply-adds in thousands, millions or billions.

    Examples
    --------
    >>> _in_words(36_881_367_040), _in_words(2_500), _in_words(120)
    ('36.88 G', '2.50 k', '120')
    """
    for factor, sign in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= factor:
            return f"{number / factor:.2f} {sign}"
    return str(number)


def _print_table(rows: Sequence[Sequence[str]], sides: str) -> None:
    """Print rows under each other; ``sides`` says where each column is flush."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(sides))]
    for row in rows:
        cells = (
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        )
        click.echo("  ".join(cells).rstrip())
