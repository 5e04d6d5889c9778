"""The one place where a failure becomes a line on standard error and an exit code."""

from __future__ import annotations

import contextlib
import difflib
import errno
import io
import logging
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import click

from minisegnet.checks import did_you_mean
from minisegnet.train import DivergedError, OptionError

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
# What only Python can say.
_IN_PYTHON = re.compile(r"\bvalues=(?![-\w(\[])")
_API_NAME = re.compile(rf"\b({'|'.join(_AS_TYPED)})\b(=(?=[-\w]))?=?")


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
            meant = _option_meant(error.option_name, [o for o in known if o.startswith("--")])
            advice = f"did you mean {meant!r}?" if meant else f"see {ctx.command_path} --help"
            raise click.UsageError(
                f"no option {error.option_name} in '{ctx.command_path}': {advice}"
            ) from None
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # whose help to see
            raise


def _option_meant(typed: str, known: Sequence[str]) -> str | None:
    """The option that was probably meant; None if none is near.

    Names are compared without their dashes, which all have in common; ``--learning-rate`` means
    ``--lr``.
    """
    words = typed.strip("-").lower().replace("_", "-")
    names = [option.strip("-") for option in known]
    initials = "".join(word[:1] for word in words.split("-"))
    if len(initials) > 1 and initials in names:
        return f"--{initials}"
    near = difflib.get_close_matches(words, names, n=1, cutoff=0.6)
    return f"--{near[0]}" if near else None


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
            with deaf_to_ctrl_c():
                click.echo("interrupted")
            ctx.exit(INTERRUPTED)


@contextlib.contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Ignore Ctrl-C inside the block: who presses it again wants out no less than before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread, and only that one may handle them
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_safely(cli: click.Group, arguments: Sequence[str]) -> int:
    """Run a command; whatever goes wrong becomes one line ``error: ...`` and an exit code."""
    _silence_libraries()
    _print_whatever_comes()
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


def _print_whatever_comes() -> None:
    """Let names of files that are no text, or not of this terminal's letters, be printed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


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
    if isinstance(error, OptionError):
        return str(error)
    if isinstance(error, (ValueError, DivergedError)):
        message = _IN_PYTHON.sub("values= of minisegnet.data.Folder in Python", str(error))
        return _API_NAME.sub(lambda name: _AS_TYPED[name[1]] + (" " if name[2] else ""), message)
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
        return f"{_as_typed(error.param)} is missing: {_see_help(error)}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{error.param.opts[-1]}: {error.message}"
    message = error.format_message().rstrip(".")
    if isinstance(error, click.UsageError) and ": " not in message:
        return f"{message[:1].lower()}{message[1:]}: {_see_help(error)}"
    return message


def _as_typed(parameter: click.Parameter | None) -> str:
    """What stands for a parameter on the command line: ``--to``, or ``DIR``."""
    if isinstance(parameter, click.Option):
        return str(parameter.opts[-1])
    return "an argument" if parameter is None else str(parameter.human_readable_name)


def _see_help(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx is not None else "minisegnet"
    return f"see {path} --help"
