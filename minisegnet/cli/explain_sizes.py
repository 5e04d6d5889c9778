"""``minisegnet explain sizes``: which transposed convolutions turn one size into another."""

from __future__ import annotations

import re

import click

from minisegnet.checks import Pair
from minisegnet.cli.errors import Command
from minisegnet.cli.matrices import as_json
from minisegnet.explain import Sizes
from minisegnet.explain import sizes as solve

_LARGEST_SIZE = 10_000
_LARGEST_OPTION = 64


def _size(flag: str, text: str) -> int | Pair:
    numbers = re.fullmatch(r"\s*(\d{1,9})(?:\s*[x, ]\s*(\d{1,9}))?\s*", text)
    if numbers is None:
        raise ValueError(f"{flag} is {text!r}: give a size such as 57, or rows and columns: 48,57")
    size = [int(number) for number in numbers.groups() if number]
    if not all(1 <= number <= _LARGEST_SIZE for number in size):
        raise ValueError(f"{flag} is {text!r}: give sizes from 1 to {_LARGEST_SIZE}")
    return size[0] if len(size) == 1 else (size[0], size[1])


def read_range(flag: str, text: str) -> list[int]:
    """Whole numbers from ``1-4``, ``2,3,5`` or a mixture.

    Raises
    ------
    ValueError
        If the text is none of them, or a number is out of range.

    Examples
    --------
    >>> read_range("--kernels", "2-4, 8")
    [2, 3, 4, 8]
    """
    numbers: list[int] = []
    for part in text.replace(",", " ").split():
        ends = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        if ends is None:
            raise ValueError(f"{flag} is {text!r}: give whole numbers such as 2,3,4 or 1-8")
        low, high = int(ends[1]), int(ends[2] or ends[1])
        if not 1 <= low <= high <= _LARGEST_OPTION:
            raise ValueError(
                f"{flag} is {text!r}: give numbers from 1 to {_LARGEST_OPTION}, small before large"
            )
        numbers += range(low, high + 1)
    if not numbers:
        raise ValueError(f"{flag} is empty: give whole numbers such as 2,3,4 or 1-8")
    return sorted(set(numbers))


@click.command(
    cls=Command, short_help="the transposed convolutions that turn one size into another"
)
@click.option("--from", "from_", required=True, metavar="N|R,C", help="Size of the input.")
@click.option("--to", required=True, metavar="N|R,C", help="Size of the result.")
@click.option("--kernels", default="1-8", metavar="A-B", help="Kernel sizes to try  [default: 1-8]")
@click.option(
    "--strides", metavar="A-B", help="Strides to try  [default: 1 to the ratio of the sizes]"
)
@click.option("--dilations", default="1", metavar="A-B", help="Dilations to try  [default: 1]")
@click.option("--even", is_flag=True, help="Only those that reach every cell equally often.")
@click.option("--json", "in_json", is_flag=True, help="Print JSON and nothing else.")
def sizes(
    from_: str,
    to: str,
    kernels: str,
    strides: str | None,
    dilations: str,
    even: bool,
    in_json: bool,
) -> None:
    """List the transposed convolutions that turn one size into another.

    Best first: 'overlap' is how many input cells reach a cell of the result away from the border,
    in two dimensions. Where it is uneven, the result shows a checkerboard. 'multiply-adds' are
    those of each cell of the result.
    """
    found = solve(
        _size("--from", from_),
        _size("--to", to),
        read_range("--kernels", kernels),
        None if strides is None else read_range("--strides", strides),
        read_range("--dilations", dilations),
    )
    if even:
        found = Sizes(found.from_, found.to, (s for s in found if s.overlap_ratio == 1))
    if in_json:
        click.echo(as_json(_as_dict(found)))
    else:
        click.echo(str(found))


def _as_dict(found: Sizes) -> dict[str, object]:
    return {
        "from": list(found.from_),
        "to": list(found.to),
        "solutions": [
            {
                "kernel": solution.kernel,
                **solution.options,
                "least_overlap": solution.least_overlap,
                "most_overlap": solution.most_overlap,
                "overlap_ratio": solution.overlap_ratio,
                "multiply_adds": solution.cost,
            }
            for solution in found
        ],
    }
