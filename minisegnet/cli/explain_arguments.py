"""The arguments of ``minisegnet explain``: from what is typed to what the operations take."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np

from minisegnet.checks import Pair
from minisegnet.cli.matrices import MOST_CELLS, read_matrix
from minisegnet.explain import Argument, Operation

_KINDS = {
    "matrix": "MATRIX",
    "vector": "NUMBERS",
    "pair": "N|R,C",
    "factor": "X|R,C",
    "integer": "N",
    "number": "X",
    "choice": "NAME",
    "words": "A,B,...",
}
#: Other names of options.
_ALSO = {
    "kernel_size": "--kernel",
    "scale_factor": "--scale",
    "target": "--truth",
    "num_classes": "--classes",
}
_ON_MAPS = ("conv", "conv-transpose", "max-pool", "max-unpool", "bed-of-nails", "interpolate")


def extra_arguments(op: Operation) -> list[Argument]:
    """Arguments that only several channels need."""
    has_kernels = op.command in ("conv", "conv-transpose")
    if not has_kernels or any(argument.name == "groups" for argument in op.arguments):
        return []
    return [Argument("groups", "integer", "groups of channels that are kept apart", default=1)]


def click_option(argument: Argument) -> click.Option:
    """An argument as an option of a command."""
    flags = [argument.flag]
    also = _ALSO.get(argument.name)
    if also and also != argument.flag:
        flags.append(also)
    text = f"{argument.help[:1].upper()}{argument.help[1:]}"
    if argument.choices:
        known = " or ".join(argument.choices)
        text += f": {known}" if argument.kind == "choice" else f", or {known}"
    if argument.default is not None and argument.default is not False:
        text += f"  [default: {argument.default}]"
    names = [*flags, argument.name]
    if argument.kind == "flag":
        return click.Option(names, is_flag=True, help=text)
    # That a required one is missing is said by values_of, which knows what it is.
    text += "  [required]" if argument.is_required else ""
    return click.Option(names, metavar=_KINDS[argument.kind], help=text)


def in_options(message: str, arguments: Sequence[Argument]) -> str:
    """A message of the library in the words of the command line.

    Examples
    --------
    >>> in_options("pass output_size=3", [Argument("output_size", "pair", "")])
    'pass --output-size 3'
    """
    for argument in arguments:
        message = re.sub(rf"(?<![\w-]){argument.name}=(?=\d)", f"{argument.flag} ", message)
        if "_" in argument.name:
            message = re.sub(rf"(?<![\w-]){argument.name}\b", argument.flag, message)
    return message


def values_of(
    op: Operation, arguments: Sequence[Argument], texts: Mapping[str, Any]
) -> dict[str, Any]:
    """What the operation's function takes.

    Raises
    ------
    ValueError
        If something cannot be read, or the result would be too large to be looked at.
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        text = texts.get(argument.name)
        if text is not None and text is not False:
            values[argument.name] = _value(argument, text)
        elif argument.is_required:
            raise ValueError(f"{argument.flag} is missing: give {argument.help}")
    if op.command in _ON_MAPS:
        _as_maps(op, values)
        _require_small(op, values)
    if op.command == "cross-entropy" and np.ndim(values["input"]) == 2:
        values["target"] = values["target"].ravel()
    return values


def _value(argument: Argument, text: Any) -> Any:
    if argument.kind == "flag":
        return True
    if argument.kind != "matrix" and argument.name != "target":
        return argument.parse(text)
    try:
        return read_matrix(text)
    except ValueError as error:
        raise ValueError(f"{argument.flag}: {error}") from None
    except OSError as error:
        raise ValueError(
            f"{argument.flag} {text}: {error.strerror}: check the path and your permissions"
        ) from None


# ------------------------------------------------------------------ channels


def _as_maps(op: Operation, values: dict[str, Any]) -> None:
    """Give every array four dimensions if one of them has more than two."""
    maps = [name for name in ("input", "weight", "indices") if name in values]
    if all(values[name].ndim == 2 for name in maps):
        return
    for name in maps:
        array = values[name]
        if array.ndim == 2:
            values[name] = array[None, None]
        elif array.ndim == 3 and name != "weight":
            values[name] = array[None]
    if "weight" in values and values["weight"].ndim == 3:
        values["weight"] = _kernels(op, values)


def _kernels(op: Operation, values: dict[str, Any]) -> np.ndarray:
    """Kernels with ``|`` between them: one for each input channel, or for each output channel."""
    weight, channels = values["weight"], values["input"].shape[1]
    if op.command == "conv-transpose":
        return weight[:, None] if channels > 1 else weight[None]
    return weight[None] if channels // values.get("groups", 1) > 1 else weight[:, None]


# ------------------------------------------------------------------ sizes


def _require_small(op: Operation, values: Mapping[str, Any]) -> None:
    """Refuse what would fill the memory or the screen: a stride of a million, say."""
    lengths = [_longest(op, values, axis) for axis in (0, 1)]
    cells = math.prod(lengths)
    if cells > MOST_CELLS:
        raise ValueError(
            f"{op.command}: there would be {lengths[0]:.0f}x{lengths[1]:.0f} cells: give a smaller "
            f"input or smaller options, for at most {MOST_CELLS:,} cells"
        )


def _longest(op: Operation, values: Mapping[str, Any], axis: int) -> float:
    """How long the largest map along an axis is, about."""
    length = float(values["input"].shape[-2 + axis])
    if op.command in ("conv-transpose", "max-unpool"):
        kernel = values.get("kernel_size", 1)
        length *= max(_along(values.get("stride", kernel), axis), 1)
    length *= max(_along(values.get("scale", values.get("scale_factor", 1)), axis), 1)
    length += 2 * abs(_along(values.get("padding", 0), axis))
    length += abs(_along(values.get("output_padding", 0), axis))
    if "weight" in values:
        reach = values["weight"].shape[-2 + axis] * abs(_along(values.get("dilation", 1), axis))
        length = max(length + reach, reach)
    for name in ("size", "output_size"):
        if name in values:
            length = max(length, _along(values[name], axis))
    return length


def _along(value: float | Pair | str, axis: int) -> float:
    if isinstance(value, str):
        return 0
    return value[axis] if isinstance(value, tuple) else value
