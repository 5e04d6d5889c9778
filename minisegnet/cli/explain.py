"""``minisegnet explain``: an operation taken apart, every multiply-add in the open."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from minisegnet.checks import did_you_mean
from minisegnet.cli.checked import checked_by
from minisegnet.cli.errors import Command, Commands
from minisegnet.cli.explain_arguments import click_option, extra_arguments, in_options, values_of
from minisegnet.cli.explain_sizes import sizes
from minisegnet.cli.matrices import aligned_rows, as_json, plain_rows, planes
from minisegnet.explain import OPERATIONS, Ledger, Operation, Walkthrough, operation
from minisegnet.explain import text as explain_text
from minisegnet.train.option_checks import whole

_PICTURES = (".png", ".pdf", ".svg")
_FILM = ".gif"
_ALL = "all"
_WIDTH = 96
#: Commands that are another one with its mode chosen.
_MODES = {
    "nearest": "resizing by nearest neighbour: each cell becomes a block",
    "bilinear": "resizing by bilinear interpolation",
}


#: Other ways to the same result.
_VIEWS = {
    "conv": ("sliding-window", "matrix"),
    "conv-transpose": ("zero-insertion", "scatter", "matrix"),
}


class _Operations(Commands):
    """The operations, found under their other names too, and suggested where one is mistyped."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The operations in the order in which lessons take them."""
        return list(self.commands)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name or alias."""
        for spelling in (name, name.replace("-", "_"), name.replace("2d", "")):
            if (found := super().get_command(ctx, spelling)) is not None:
                return found
            try:
                return super().get_command(ctx, operation(spelling).command)
            except ValueError:
                continue
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with a suggestion for an operation that does not exist."""
        if self.get_command(ctx, args[0]) is None:
            names = self.list_commands(ctx)
            raise click.UsageError(
                f"explain has no operation {args[0]!r}: {did_you_mean(args[0], names)}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Operations, invoke_without_command=True, subcommand_metavar="OPERATION ...")
@click.pass_context
def explain(ctx: click.Context) -> None:
    """Show how an operation gets its numbers, step by step.

    \b
    minisegnet explain conv-transpose --input "1 2; 3 4" --kernel "1 0; 1 1" --at 1,1

    A matrix is typed with a blank between numbers and ';' between rows, several channels with '|'
    between them; @FILE reads it from a file. Rows and columns are counted from 0.
    """  # noqa: D301 (Click wants the character itself)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@dataclass(frozen=True)
class _Wanted:
    """What the reader wants to see."""

    at: tuple[int, int] | None
    channel: int
    view: str | None
    save: str | None
    in_json: bool
    only_result: bool


def _command(op: Operation, name: str, summary: str, fixed: dict[str, Any]) -> click.Command:
    arguments = [a for a in (*op.arguments, *extra_arguments(op)) if a.name not in fixed]

    def callback(
        at: str | None,
        channel: int,
        save: str | None,
        in_json: bool,
        only_result: bool,
        view: str | None = None,
        **texts: Any,
    ) -> None:
        wanted = _Wanted(_cell(at), channel, view, _ending(save), in_json, only_result)
        values = {**values_of(op, arguments, texts), **fixed}
        with _in_words_of(op):
            _show(op.function(**values), name, wanted)

    sentence = f"{summary[:1].upper()}{summary[1:]}."
    options = [*map(click_option, arguments), *_output_options(op)]
    return Command(name, callback=callback, params=list(options), help=sentence, short_help=summary)


def _output_options(op: Operation) -> list[click.Option]:
    at = click.Option(
        ["--at"],
        metavar="R,C",
        help="Account for this cell: every term, and where its factors came from.",
    )
    channel = click.Option(
        ["--channel"],
        default="0",
        metavar="K",
        callback=checked_by(whole(0)),
        help="The channel of --at.",
    )
    views = _VIEWS.get(op.command, ())
    view = click.Option(
        ["--view"],
        metavar="NAME",
        help=f"Another way to the same result: {', '.join(views)}, or {_ALL}.",
    )
    return [
        at,
        channel,
        *([view] if views else []),
        click.Option(
            ["--save"], metavar="FILE", help="Draw it: .png, .pdf, .svg, or .gif (it moves)."
        ),
        click.Option(
            ["--result", "--quiet", "only_result"], is_flag=True, help="Print only the numbers."
        ),
        click.Option(["--json", "in_json"], is_flag=True, help="Print JSON and nothing else."),
    ]


@contextmanager
def _in_words_of(op: Operation) -> Iterator[None]:
    """Take what the explanation refuses as an error of what was typed, and say it in options."""
    try:
        yield
    except (ValueError, TypeError, IndexError) as error:
        if isinstance(error, TypeError) and not str(error).startswith(f"{op.name}:"):
            raise
        raise ValueError(in_options(str(error), op.arguments)) from error


def _cell(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        row, column = (int(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise ValueError(
            f"--at is {text!r}: give a row and a column, counted from 0, such as 1,2"
        ) from None
    return row, column


def _ending(path: str | None) -> str | None:
    known = (*_PICTURES, _FILM)
    if path is not None and Path(path).suffix.lower() not in known:
        raise ValueError(f"--save {path}: the name must end in one of {', '.join(known)}")
    return path


# ------------------------------------------------------------------ showing it


def _show(walk: Walkthrough, name: str, wanted: _Wanted) -> None:
    """Save the picture, then print what is wanted."""
    walks = _views(walk, wanted.view)
    ledgers = [_ledger(walk, wanted) for walk in walks]
    if wanted.save is not None:
        _save(walks, wanted, wanted.save)
    if wanted.in_json:
        shown = [_as_dict(w, name, ledger) for w, ledger in zip(walks, ledgers, strict=True)]
        click.echo(as_json(shown[0] if len(shown) == 1 else shown))
    elif wanted.only_result:
        lines = [str(ledgers[0])] if ledgers[0] is not None else _result_lines(walk, True)
        click.echo("\n".join(lines))
    else:
        for number, (each, ledger) in enumerate(zip(walks, ledgers, strict=True)):
            click.echo("\n\n\n" * (number > 0) + _text(each, name, wanted, ledger))
        if wanted.save is not None:
            click.echo(f"\nsaved {wanted.save}")


def _views(walk: Walkthrough, view: str | None) -> list[Walkthrough]:
    """The walkthroughs that are wanted; view names may have - for blanks."""
    if view is None:
        return [walk]
    by_name = {name.replace(" ", "-"): name for name in walk.views}
    key = "-".join(view.replace("-", " ").split()).lower()
    if key == _ALL:
        return [walk.views[name] for name in by_name.values()]
    if key not in by_name:
        raise ValueError(f"--view is {view!r}: {did_you_mean(key, [*by_name, _ALL])}")
    return [walk.views[by_name[key]]]


def _ledger(walk: Walkthrough, wanted: _Wanted) -> Ledger | None:
    return None if wanted.at is None else walk.at(*wanted.at, wanted.channel)


def _save(walks: list[Walkthrough], wanted: _Wanted, path: str) -> None:
    if len(walks) > 1:
        raise ValueError(f"--save {path} with --view {_ALL}: one picture shows one view, name it")
    if Path(path).suffix.lower() == _FILM:
        walks[0].animate(path, wanted.channel)
    else:
        row, column = wanted.at or (None, None)
        walks[0].plot(row, column, wanted.channel, path=path)


def _text(walk: Walkthrough, name: str, wanted: _Wanted, ledger: Ledger | None) -> str:
    """The steps, the result with one row a line, and the account of a cell."""
    on_terminal = sys.stdout.isatty()
    width = max(shutil.get_terminal_size((_WIDTH, 24)).columns - 1, 40) if on_terminal else _WIDTH
    colour = on_terminal and "NO_COLOR" not in os.environ
    # Remarks speak of Python; what they say is said here in options.
    walk = replace(walk, remarks=tuple(r for r in walk.remarks if ".views" not in r))
    remarks, walk = walk.remarks, replace(walk, remarks=())
    row, column = wanted.at or (None, None)
    steps = walk.text(row, column, wanted.channel, width=width, colour=colour)
    blocks = [steps, "\n".join(_result_lines(walk, False))]
    if ledger is not None:
        account = explain_text.account(ledger, width)
        blocks[0] = steps.removesuffix(account).rstrip()
        # In a file or a pipe an equation stays on one line, so that it can be searched for.
        blocks.append(account if on_terminal else explain_text.account(ledger, sys.maxsize))
    elif walk.account_of_all is not None:
        blocks.append(f"result = {walk.at()}")
    blocks += ["\n".join(remarks)] if remarks else []
    blocks += [_more(walk, name, wanted)]
    return "\n\n".join(block for block in blocks if block)


def _result_lines(walk: Walkthrough, for_programs: bool) -> list[str]:
    """The result, one row a line; several matrices one below the other."""
    lines: list[str] = []
    parts = planes(walk.result)
    for lead, matrix in parts:
        rows = plain_rows(matrix) if for_programs else aligned_rows(matrix)
        counted = zip(("image", "channel")[-len(lead) :], lead, np.shape(walk.result), strict=False)
        where = "".join(f", {what} {i}" for what, i, number in counted if number > 1)
        size = f" ({'x'.join(map(str, matrix.shape))})" if np.ndim(walk.result) else ""
        head = f"result{where}{size}"
        gap = [""] if lines else []
        lines += [*gap, *rows] if for_programs else [*gap, head, *rows]
    return lines


def _more(walk: Walkthrough, name: str, wanted: _Wanted) -> str:
    """What else could be asked."""
    if not walk.views:
        return ""
    if wanted.view is None:
        names = ", ".join(f"--view {view.replace(' ', '-')}" for view in walk.views)
        return f"other ways to the same result: {names}"
    return ""


def _as_dict(walk: Walkthrough, name: str, ledger: Ledger | None) -> dict[str, Any]:
    """Everything there is to know, but for what only drawings need."""
    shown = {"operation": name, **walk.to_dict()}
    shown["steps"] = [
        {key: part for key, part in step.items() if key != "marks"} for step in shown["steps"]
    ]
    if ledger is not None:
        shown["at"] = ledger.to_dict()
    return shown


for _operation in OPERATIONS.values():
    explain.add_command(_command(_operation, _operation.command, _operation.summary, {}))
for _mode, _summary in _MODES.items():
    explain.add_command(_command(OPERATIONS["interpolate"], _mode, _summary, {"mode": _mode}))
explain.add_command(sizes)
