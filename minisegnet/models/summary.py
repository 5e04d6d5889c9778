"""What a network costs and is made of, found by watching it work on a batch without pictures.

An empty batch (0, C, H, W) passes through every layer with its true channels, rows and columns,
but holds no number: nothing is computed, and a network of 250 million weights at 512x512 takes a
few milliseconds. Every count below is for one picture, and exact.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisegnet import nn
from minisegnet.autograd import Tensor, no_grad
from minisegnet.backend import device_of, to_device
from minisegnet.checks import Pair, pair
from minisegnet.models.common import SegmentationModel
from minisegnet.tape import Event, observe


@dataclass(frozen=True)
class Block:
    """A part of a network at one of its turns in the forward pass.

    Attributes
    ----------
    name : str
        Where it is in the network, as in ``state_dict()``; empty for what is in no other part.
    kind : str
        The name of its class.
    output : tuple of int
        Of one picture: (channels, rows, columns); empty if the part did not run.
    parameters : int
        0 at the second turn of a part that has several.
    multiply_adds : int
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


def multiply_adds(model: SegmentationModel, size: int | Pair) -> int:
    r"""How often a pass forward multiplies and adds, for one picture.

    Counted are convolutions, transposed convolutions, fully connected layers and matrix products,
    in evaluation mode. A convolution uses each of its weights once for every cell that comes out,
    and a transposed one once for every cell that goes in, zeros and cells that padding cuts off
    included:

    .. math::
       H_{out} W_{out} \frac{C_{in}}{groups} C_{out} k_H k_W
       \qquad\text{and}\qquad
       H_{in} W_{in} C_{in} \frac{C_{out}}{groups} k_H k_W

    What only adds, scales or compares (biases, normalisation, pooling, interpolation) is left out.

    Parameters
    ----------
    model : SegmentationModel
        Its first dimension must stay the pictures throughout: a network that folds another one
        into it is counted too low.
    size : int or (rows, columns)
        Of the input.

    Raises
    ------
    ValueError
        If the network does not accept the size.

    Examples
    --------
    Two 3x3 convolutions and a 1x1 one, 3 to 4 to 4 to 5 channels, on 6x10 cells:

    >>> from minisegnet.models import UNet
    >>> multiply_adds(UNet(3, 5, base=4, depth=0), (6, 10))
    16320
    >>> 60 * (3 * 4 * 9 + 4 * 4 * 9 + 4 * 5)
    16320
    """
    return sum(block.multiply_adds for block in blocks(model, size))


def blocks(model: SegmentationModel, size: int | Pair, level: int = 1) -> list[Block]:
    """The parts of a network in the order in which they run, with what each makes and costs.

    Parameters
    ----------
    model : SegmentationModel
    size : int or (rows, columns)
        Of the input.
    level : int
        1 shows the network's own parts, 2 the parts of those that have parts, and so on. The
        entries of a ModuleList count as parts of what holds it.

    Raises
    ------
    ValueError
        If the network does not accept the size, or the level is not positive.

    Examples
    --------
    >>> from minisegnet.models import UNet
    >>> for block in blocks(UNet(3, 5, base=4, depth=1), (6, 10)):
    ...     print(block.name, block.output, block.parameters, block.multiply_adds)
    down.0 (4, 6, 10) 268 15120
    pool (4, 3, 5) 0 0
    bottom (8, 3, 5) 896 12960
    up.0 (4, 6, 10) 132 1920
    merge.0 (4, 6, 10) 448 25920
    classify (5, 6, 10) 25 1200
    """
    if level < 1:
        raise ValueError(f"blocks: level is {level}: it must be at least 1")
    watcher = _Watcher(model, level)
    weight = next(model.parameters()).data
    rows, columns = pair(size, "size", "blocks", minimum=1)
    no_pictures = np.zeros((0, model.in_channels, rows, columns), dtype=weight.dtype)
    with _evaluating(model), no_grad(), observe(watcher.op), nn.watch(watcher.module):
        model(Tensor(to_device(no_pictures, device_of(weight))))
    return watcher.finished()


class _Watcher:
    """Keeps count of the multiply-adds of each weight, and makes a row of every part that ran."""

    def __init__(self, model: nn.Module, level: int) -> None:
        self.model = model
        self.parts = {id(part): (name, part) for name, part in _parts(model, "", level)}
        self.names = {
            id(value): name for name, value in (*model.named_parameters(), *model.named_buffers())
        }
        # Weights as transposed convolutions rearrange them; kept, so that their ids stay theirs.
        self.transposed: dict[int, tuple[Any, str]] = {}
        self.pending: dict[str, int] = {}
        self.rows: list[Block] = []
        self.counted: set[str] = set()
        self.output: tuple[int, ...] = ()

    def op(self, event: Event) -> None:
        """Count the multiply-adds of an op."""
        out = event.outputs[0]
        first = event.inputs[0]
        if event.name == "conv_transpose2d_weight" or (
            event.name == "flip" and id(first) in self.transposed
        ):
            self.transposed[id(out)] = out, self._name_of(first)
        elif event.name in ("conv2d", "conv_transpose2d", "linear", "matmul"):
            name = self._name_of(event.inputs[1])
            count = self._multiply_adds(event.name, first, event.inputs[1], out)
            self.pending[name] = self.pending.get(name, 0) + count

    def _name_of(self, weight: Any) -> str:
        if id(weight) in self.transposed:
            return self.transposed[id(weight)][1]
        return self.names.get(id(weight), "")

    def _multiply_adds(self, name: str, x: Any, weight: Any, out: Any) -> int:
        if name == "matmul":
            return math.prod(out.shape[1:]) * x.shape[-1]
        if name == "linear":
            return math.prod(x.shape[1:-1]) * weight.size
        cells = x if name == "conv_transpose2d" else out
        return math.prod(cells.shape[2:]) * weight.size

    def module(self, module: nn.Module, output: Any) -> None:
        """Make a row of a part that has run."""
        if module is self.model:
            self.output = _one_picture(output)
        elif id(module) in self.parts:
            name, _ = self.parts[id(module)]
            self.rows.append(self._row(name, module, _one_picture(output)))

    def _row(self, name: str, module: nn.Module, output: tuple[int, ...]) -> Block:
        inside = [key for key in self.pending if key.startswith(f"{name}.")]
        parameters = 0 if name in self.counted else module.num_parameters()
        self.counted.add(name)
        spent = sum(self.pending.pop(key) for key in inside)
        return Block(name, type(module).__name__, output, parameters, spent)

    def finished(self) -> list[Block]:
        """The rows, with one for every part that did not run, and one for what is in no part."""
        idle = [
            self._row(name, part, ())
            for name, part in self.parts.values()
            if name not in self.counted and part.num_parameters()
        ]
        rows = [*self.rows, *idle]
        rest = max(0, self.model.num_parameters() - sum(row.parameters for row in rows))
        spent = sum(self.pending.values())
        if rest or spent:
            rows.append(Block("", type(self.model).__name__, self.output, rest, spent))
        return rows


def _parts(module: nn.Module, prefix: str, level: int) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from _parts(child, f"{prefix}{name}.", level)
        elif level > 1 and any(child.children()):
            yield from _parts(child, f"{prefix}{name}.", level - 1)
        else:
            yield prefix + name, child


def _one_picture(output: Any) -> tuple[int, ...]:
    """The shape of an output without the batch; of several outputs, the first one's."""
    while isinstance(output, (tuple, list)):
        output = output[0]
    return tuple(output.shape[1:])


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, and every part back in its own mode afterwards."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
