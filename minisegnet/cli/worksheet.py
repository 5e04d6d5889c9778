"""``minisegnet worksheet``: pencil-and-paper problems, and a check of the answers."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from minisegnet.checks import did_you_mean
from minisegnet.cli.checked import checked_by
from minisegnet.cli.errors import FAILED, Command
from minisegnet.train.option_checks import whole
from minisegnet.worksheets import MOST_PROBLEMS, PAPERS, TOPICS, Worksheet, make

_LARGEST_SEED = 2**32 - 1


def _topic(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    topic = "-".join(value.replace("_", " ").replace("-", " ").split()).lower()
    if topic not in TOPICS:
        raise ValueError(f"no topic {value!r}: {did_you_mean(topic, TOPICS)}")
    return topic


def _paper(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    if value.lower() not in PAPERS:
        raise ValueError(f"--paper is {value!r}: {did_you_mean(value, PAPERS)}")
    return value.lower()


@click.command(cls=Command)
@click.argument("topic", metavar="TOPIC", callback=_topic)
@click.option(
    "--seed",
    default="0",
    metavar="N",
    callback=checked_by(whole(0, _LARGEST_SEED)),
    help="Each seed is another sheet  [default: 0]",
)
@click.option(
    "--out", metavar="FILE.pdf", help="Where to write the sheet  [default: TOPIC-SEED.pdf]"
)
@click.option(
    "--problems",
    default="6",
    metavar="N",
    callback=checked_by(whole(1, MOST_PROBLEMS)),
    help=f"How many, 1 to {MOST_PROBLEMS}  [default: 6]",
)
@click.option("--paper", default="a4", metavar="a4|letter", callback=_paper, help="  [default: a4]")
@click.option("--answers", metavar="FILE|-", help="Check typed answers; - reads them from here.")
@click.option("--template", is_flag=True, help="Print a text to be filled in with answers.")
def worksheet(
    topic: str,
    seed: int,
    out: str | None,
    problems: int,
    paper: str,
    answers: str | None,
    template: bool,
) -> int:
    """Make a sheet of problems to be solved on paper, with its answers at the end.

    TOPIC is one of convolution, transposed-convolution, dilated-convolution, pooling, iou-dice.
    The same topic and seed give the same sheet. To have your answers checked, fill in what
    --template prints and give it with --answers (exit code 1 if one is wrong or missing).
    """
    sheet = make(topic, seed, problems)
    if template and (answers is not None or out is not None):
        raise ValueError("--template prints a text: leave --answers and --out for another time")
    if template:
        click.echo(sheet.template(), nl=False)
        return 0
    if out is not None or answers is None:
        _write(sheet, out or f"{topic}-{seed}.pdf", paper)
    return 0 if answers is None else _check(sheet, answers)


def _write(sheet: Worksheet, path: str, paper: str) -> None:
    pages = sheet.save(path, paper)
    click.echo(
        f"{path}: {len(sheet.problems)} problems on {sheet.title.lower()}, {pages} pages, the "
        "answers last"
    )


def _check(sheet: Worksheet, path: str) -> int:
    """Print a verdict a problem, and how many are right."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"--answers {path} is not a text file: fill in what --template prints"
        ) from None
    verdicts = sheet.check(text, "the answers" if path == "-" else path)
    for verdict in verdicts:
        click.echo(str(verdict))
    right = sum(verdict.status == "right" for verdict in verdicts)
    click.echo(f"{right} of {len(verdicts)} right")
    return 0 if right == len(verdicts) else FAILED
