"""The one place where a failure becomes a line on standard error and an exit code."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import click

from minisegnet.checks import did_you_mean
from minisegnet.train import DivergedError

DEBUG = "--debug"
WRONG_USAGE = 2
FAILED = 1
INTERRUPTED = 130

_NO_FAULT_OF_USAGE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM)

# What the library calls by the name of its argument, a reader of the command line types.
_AS_TYPED = {
    "num_classes": "--classes",
    "ignore_index": "--ignore-index",
    "batch_size": "--batch-size",
    "val_fraction": "--val-fraction",
}
_API_NAME = re.compile(rf"\b({'|'.join(_AS_TYPED)})\b=?")


class _Helpful(click.Command):
    """Takes ``--debug``, and suggests the option that was meant."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                [DEBUG], is_flag=True, expose_value=False, help="Show where an error arose."
            )
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As in click, with a suggestion for an option that does not exist."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            known = [o for p in self.get_params(ctx) for o in (*p.opts, *p.secondary_opts)]
            meant = did_you_mean(error.option_name, [o for o in known if o.startswith("--")])
            advice = meant if meant.startswith("did") else f"see {ctx.command_path} --help"
            raise click.UsageError(
                f"no option {error.option_name} in '{ctx.command_path}': {advice}"
            ) from None


class Command(_Helpful):
    """A command of ``minisegnet``."""


class Commands(_Helpful, click.Group):
    """The group of commands: suggests the one that was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with a suggestion for a command that does not exist."""
        if self.get_command(ctx, args[0]) is None:
            raise click.UsageError(
                f"no command {args[0]!r}: {did_you_mean(args[0], self.list_commands(ctx))}"
            )
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As in click, which would put an empty line on standard error after Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted")
            ctx.exit(INTERRUPTED)


def run_safely(cli: click.Group, arguments: Sequence[str]) -> int:
    """Run a command; whatever goes wrong becomes one line ``error: ...`` and an exit code."""
    _silence_libraries()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = cli.main(list(arguments), prog_name="minisegnet", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:
        if DEBUG in arguments:
            traceback.print_exc()
        print("error:", " ".join(_describe(error).split()), file=sys.stderr)
        return _exit_code(error)


def _silence_libraries() -> None:
    """Send what libraries log nowhere; without a handler Python prints it on standard error."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())


def _exit_code(error: Exception) -> int:
    if isinstance(error, OSError):
        return FAILED if error.errno in _NO_FAULT_OF_USAGE else WRONG_USAGE
    return WRONG_USAGE if isinstance(error, (click.UsageError, ValueError)) else FAILED


def _describe(error: Exception) -> str:
    """What went wrong and what to do about it."""
    if isinstance(error, click.ClickException):
        return _describe_usage(error)
    if isinstance(error, MemoryError):
        return "out of memory: take a smaller --batch-size, --crop, --size or --base"
    if isinstance(error, (ValueError, DivergedError)):
        return _API_NAME.sub(lambda name: _AS_TYPED[name[1]], str(error))
    if isinstance(error, OSError):
        if error.filename is None or type(error).__str__ is not OSError.__str__:
            return str(error)
        return f"{error.filename}: {error.strerror}: check the path and your permissions"
    return (
        f"{type(error).__name__}: {error}: this should not happen; run it again with --debug and "
        "report what it prints"
    )


def _describe_usage(error: click.ClickException) -> str:
    """Click's complaint in our words, with the option's name in front."""
    if isinstance(error, click.MissingParameter):
        name = error.param.human_readable_name if error.param is not None else "an argument"
        return f"{name} is missing: {_see_help(error)}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{error.param.opts[-1]}: {error.message}"
    message = error.format_message().rstrip(".")
    if isinstance(error, click.UsageError) and ": " not in message:
        return f"{message[:1].lower()}{message[1:]}: {_see_help(error)}"
    return message


def _see_help(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx is not None else "minisegnet"
    return f"see {path} --help"
