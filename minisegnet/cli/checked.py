"""Callbacks of click that check a value the way the options of a run are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from minisegnet.train.option_checks import Check, RefusedError
from minisegnet.train.options import OptionError, check_option

__all__ = ["checked", "checked_by"]

Callback = Callable[[click.Context, click.Parameter, Any], Any]


def checked(name: str) -> Callback:
    """A callback that checks a value as the option ``name`` of a run; None stays None."""

    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        return None if value is None else check_option(name, value)

    return callback


def checked_by(check: Check) -> Callback:
    """A callback that applies a check of :mod:`minisegnet.train.option_checks`; None stays None.

    Examples
    --------
    >>> from minisegnet.train.option_checks import whole
    >>> level = click.Option(["--level"])
    >>> checked_by(whole(1, 9))(click.Context(click.Command("x")), level, "12")
    Traceback (most recent call last):
        ...
    minisegnet.train.options.OptionError: --level is '12': give a whole number from 1 to 9
    """

    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            return None if value is None else check(value)
        except RefusedError as refused:
            raise OptionError(f"{parameter.opts[0]} is {value!r}: {refused}") from None

    return callback
