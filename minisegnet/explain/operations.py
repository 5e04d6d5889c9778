"""The operations that can be explained, with their arguments as text: what a command line needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from minisegnet.checks import did_you_mean
from minisegnet.explain.classes import softmax
from minisegnet.explain.confusion import confusion_matrix
from minisegnet.explain.convolution import conv2d
from minisegnet.explain.cross_entropy import cross_entropy
from minisegnet.explain.numbers import parse_matrix
from minisegnet.explain.pooling import max_pool2d, max_unpool2d
from minisegnet.explain.resizing import bed_of_nails, interpolate
from minisegnet.explain.scores import dice, iou
from minisegnet.explain.transposed import conv_transpose2d
from minisegnet.explain.walkthrough import Walkthrough

Kind = Literal["matrix", "vector", "pair", "factor", "integer", "number", "flag", "choice", "words"]


@dataclass(frozen=True)
class Argument:
    """An argument of an operation, and how it is read from text.

    Attributes
    ----------
    name : str
        As the Python function calls it.
    kind : str
        "matrix" (``"1 2; 3 4"``), "vector" (``"1 2"``), "pair" (``"2"`` or ``"2,1"``), "factor" (a
        pair of numbers), "integer", "number", "flag" (yes or no), "choice", or "words".
    help : str
    is_required : bool
    default : any
        What the function does without it.
    choices : tuple of str
    option : str
        As a command line calls it, without the dashes; by default the name.
    """

    name: str
    kind: Kind
    help: str
    is_required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    option: str = ""

    @property
    def flag(self) -> str:
        """The command line's option: ``--output-padding``."""
        return "--" + (self.option or self.name).replace("_", "-")

    def parse(self, text: str) -> Any:
        """The value that a text stands for.

        Raises
        ------
        ValueError
            If it does not stand for one; the message names the option.

        Examples
        --------
        >>> Argument("stride", "pair", "").parse("2,1")
        (2, 1)
        """
        try:
            return _PARSERS[self.kind](text, self)
        except ValueError as error:
            raise ValueError(f"{self.flag}: {error}") from None


def _pair_of(kind: Callable[[str], Any], what: str) -> Callable[[str, Argument], Any]:
    def parse(text: str, _: Argument) -> Any:
        try:
            parts = tuple(kind(word) for word in text.replace(",", " ").split())
        except ValueError:
            parts = ()
        if len(parts) not in (1, 2):
            raise ValueError(f'"{text}" is neither one {what} nor two such as 2,1')
        return parts[0] if len(parts) == 1 else parts

    return parse


def _number(kind: Callable[[str], Any], what: str) -> Callable[[str, Argument], Any]:
    def parse(text: str, _: Argument) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f'"{text}" is not {what}') from None

    return parse


def _flag(text: str, _: Argument) -> bool:
    words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in words:
        raise ValueError(f'"{text}" is neither yes nor no')
    return words[text.lower()]


def _choice(text: str, argument: Argument) -> str:
    if text not in argument.choices:
        raise ValueError(f'"{text}" is unknown: {did_you_mean(text, argument.choices)}')
    return text


def _padding(text: str, argument: Argument) -> Any:
    return text if text in argument.choices else _pair_of(int, "whole number")(text, argument)


_PARSERS: dict[str, Callable[[str, Argument], Any]] = {
    "matrix": lambda text, _: parse_matrix(text),
    "vector": lambda text, _: parse_matrix(text).ravel(),
    "pair": _padding,
    "factor": _pair_of(float, "number"),
    "integer": _number(int, "a whole number"),
    "number": _number(float, "a number"),
    "flag": _flag,
    "choice": _choice,
    "words": lambda text, _: [word.strip() for word in text.split(",")],
}


@dataclass(frozen=True)
class Operation:
    """An operation that can be explained.

    Attributes
    ----------
    command : str
        Its name on the command line, such as ``conv-transpose``.
    function : callable
        Returns the Walkthrough.
    summary : str
    arguments : tuple of Argument
    aliases : tuple of str
        Other names that it is found under.
    """

    command: str
    function: Callable[..., Walkthrough]
    summary: str
    arguments: tuple[Argument, ...]
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The function's name, such as ``conv_transpose2d``."""
        return self.function.__name__

    def __call__(self, **arguments: Any) -> Walkthrough:
        """Explain it, the arguments as the function takes them."""
        return self.function(**arguments)

    def from_text(self, texts: Mapping[str, str]) -> Walkthrough:
        """Explain it, every argument as text under its name (or its option's).

        Raises
        ------
        ValueError
            If an argument is unknown, missing, or cannot be read.

        Examples
        --------
        >>> walk = operation("conv-transpose").from_text(
        ...     {"input": "1 2; 3 4", "kernel": "1 0; 1 1", "stride": "1"}
        ... )
        >>> walk.result.tolist()
        [[1, 2, 0], [4, 7, 2], [3, 7, 4]]
        """
        known = {argument.name: argument for argument in self.arguments}
        known |= {argument.flag[2:].replace("-", "_"): argument for argument in self.arguments}
        values: dict[str, Any] = {}
        for name, text in texts.items():
            argument = known.get(name.replace("-", "_"))
            if argument is None:
                raise ValueError(f"{self.command}: no option {name!r}: {did_you_mean(name, known)}")
            values[argument.name] = argument.parse(text)
        for argument in self.arguments:
            if argument.is_required and argument.name not in values:
                raise ValueError(f"{self.command}: give {argument.flag}, {argument.help}")
        return self.function(**values)


def _matrix(name: str, help: str, option: str = "", kind: Kind = "matrix") -> Argument:
    return Argument(name, kind, help, is_required=True, option=option)


_INPUT = _matrix("input", 'the map, such as "1 2; 3 4"')
_KERNEL = _matrix("weight", 'the kernel, such as "1 0; 1 1"', "kernel")
_BIAS = Argument("bias", "vector", "a number added to every cell")
_STRIDE = Argument("stride", "pair", "steps between windows", default=1)
_DILATION = Argument("dilation", "pair", "distance of the kernel's taps", default=1)
_PREDICTION = _matrix("prediction", 'predicted classes, such as "0 1; 1 1"')
_TARGET = _matrix("target", 'true classes, such as "0 1; 0 1"')
_POSITIVE = Argument("positive", "integer", "the class that is scored", default=1)
_VOID = Argument("ignore_index", "integer", "the label of void pixels in the target")
_LOGITS = _matrix("input", 'logits, a row for each pixel, such as "2 30"')
_NAMES = Argument("names", "words", "the classes' names, such as cat,background")
_WINDOW = Argument("kernel_size", "pair", "rows and columns of a window", is_required=True)
_WINDOW_STRIDE = Argument("stride", "pair", "steps between windows, by default the window's size")

_ALL = (
    Operation(
        "conv",
        conv2d,
        "convolution, with stride, padding and dilation",
        (
            _INPUT,
            _KERNEL,
            _BIAS,
            _STRIDE,
            Argument("padding", "pair", "zeros on each side", default=0, choices=("same", "valid")),
            _DILATION,
        ),
        ("dilated-conv", "convolution"),
    ),
    Operation(
        "conv-transpose",
        conv_transpose2d,
        "transposed convolution in three views",
        (
            _INPUT,
            _KERNEL,
            _BIAS,
            _STRIDE,
            Argument("padding", "pair", "cells cut off each side", default=0),
            Argument(
                "output_padding", "pair", "cells uncovered at the bottom and right", default=0
            ),
            _DILATION,
        ),
        ("transposed-conv", "deconv"),
    ),
    Operation(
        "max-pool",
        max_pool2d,
        "the largest value of each window, and where it stood",
        (
            _INPUT,
            _WINDOW,
            _WINDOW_STRIDE,
            Argument("padding", "pair", "cells on each side that never win", default=0),
            _DILATION,
            Argument("ceil_mode", "flag", "round the size up", default=False),
        ),
        ("pool", "maxpool"),
    ),
    Operation(
        "max-unpool",
        max_unpool2d,
        "values back at the places that pooling remembered",
        (
            _INPUT,
            _matrix("indices", 'the remembered places, such as "4 3; 8 15"'),
            _WINDOW,
            _WINDOW_STRIDE,
            Argument("padding", "pair", "that of the pooling", default=0),
            Argument("output_size", "pair", "rows and columns of the map that was pooled"),
        ),
        ("unpool",),
    ),
    Operation(
        "bed-of-nails",
        bed_of_nails,
        "each value at the top left of a block of zeros",
        (_INPUT, Argument("scale", "pair", "rows and columns of a block", is_required=True)),
        ("nails",),
    ),
    Operation(
        "interpolate",
        interpolate,
        "resizing by nearest neighbour or bilinear",
        (
            _INPUT,
            Argument("size", "pair", "rows and columns of the result"),
            Argument("scale_factor", "factor", "how many times as large"),
            Argument(
                "mode",
                "choice",
                "how cells between cells are made",
                default="nearest",
                choices=("nearest", "bilinear"),
            ),
            Argument("align_corners", "flag", "map the corner cells onto each other"),
        ),
        ("resize", "upsample", "nearest", "bilinear"),
    ),
    Operation(
        "softmax",
        softmax,
        "the classification end: logits, probabilities, the class",
        (_LOGITS, Argument("dim", "integer", "the dimension of the classes", default=1), _NAMES),
        ("argmax",),
    ),
    Operation(
        "cross-entropy",
        cross_entropy,
        "what the logits cost, given the true classes",
        (
            _LOGITS,
            _matrix("target", 'the true class of each pixel, such as "0 2"', kind="vector"),
            Argument("weight", "vector", "a weight for each class"),
            Argument("ignore_index", "integer", "the label of void pixels", default=-100),
            Argument(
                "reduction",
                "choice",
                "of the costs",
                default="mean",
                choices=("mean", "sum", "none"),
            ),
            Argument("label_smoothing", "number", "share of the truth spread evenly", default=0.0),
            _NAMES,
        ),
    ),
    Operation(
        "dice",
        dice,
        "Dice's coefficient of two masks",
        (
            _PREDICTION,
            _TARGET,
            _POSITIVE,
            _VOID,
            Argument("squared", "flag", "square in the denominator", default=False),
        ),
    ),
    Operation(
        "iou",
        iou,
        "intersection over union of two masks",
        (_PREDICTION, _TARGET, _POSITIVE, _VOID),
        ("jaccard",),
    ),
    Operation(
        "confusion-matrix",
        confusion_matrix,
        "true classes against predicted ones, and all scores",
        (_PREDICTION, _TARGET, Argument("num_classes", "integer", "how many classes"), _VOID),
    ),
)

#: Every operation by the name that a command line uses.
OPERATIONS: dict[str, Operation] = {operation.command: operation for operation in _ALL}


def operation(name: str) -> Operation:
    """The operation of that name: the command line's, the function's, or an alias.

    Raises
    ------
    ValueError
        If there is none; the message suggests the nearest name.

    Examples
    --------
    >>> operation("conv_transpose2d").command
    'conv-transpose'
    """
    names = {
        **{alias: op for op in _ALL for alias in op.aliases},
        **{op.name: op for op in _ALL},
        **OPERATIONS,
    }
    if name not in names:
        raise ValueError(f"explain: unknown operation {name!r}: {did_you_mean(name, OPERATIONS)}")
    return names[name]


def parsed_cell(text: str) -> tuple[int, int]:
    """A cell from ``"1,2"`` (row, column).

    Raises
    ------
    ValueError
        If the text is not two whole numbers.

    Examples
    --------
    >>> parsed_cell("1,2")
    (1, 2)
    """
    try:
        row, column = (int(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise ValueError(f'"{text}" is no cell: give a row and a column such as 1,2') from None
    return row, column


__all__ = ["OPERATIONS", "Argument", "Operation", "operation", "parsed_cell"]
