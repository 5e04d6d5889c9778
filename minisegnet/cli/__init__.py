"""The command line: ``minisegnet train``, ``evaluate``, ``predict`` and the others."""

from __future__ import annotations

import sys

# Reading the engine takes a moment, in which Ctrl-C is as much in order as later.
try:
    import contextlib
    import signal
    from collections.abc import Sequence

    import click

    from minisegnet import __version__
    from minisegnet.cli.compare import compare
    from minisegnet.cli.doctor import doctor
    from minisegnet.cli.errors import INTERRUPTED, Commands, run_safely
    from minisegnet.cli.explain import explain
    from minisegnet.cli.explore import explore
    from minisegnet.cli.models import models
    from minisegnet.cli.recipes import recipes
    from minisegnet.cli.score import evaluate, predict
    from minisegnet.cli.training import resume, train
    from minisegnet.cli.worksheet import worksheet
except KeyboardInterrupt:
    sys.exit(130)

__all__ = ["cli", "main"]


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="minisegnet %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Train segmentation networks, score them, and apply them to pictures.

    Begin with 'minisegnet train': a small U-Net learns procedural shapes within a minute.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for command in (
    train,
    resume,
    evaluate,
    predict,
    explain,
    explore,
    worksheet,
    models,
    compare,
    recipes,
    doctor,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0; 1 when something failed on the way; 2 for wrong usage or bad data; 130 after Ctrl-C.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    minisegnet ...
    0
    """
    if arguments is not None:
        return run_safely(cli, arguments)
    try:
        return run_safely(cli, sys.argv[1:])
    except KeyboardInterrupt:  # a second one, while the first was dealt with
        return INTERRUPTED
    finally:
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process is about to end
