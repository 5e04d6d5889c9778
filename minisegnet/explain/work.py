"""What a whole network does, op by op: shapes, sizes, multiply-adds, bytes, receptive fields."""

from __future__ import annotations

import contextlib
import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from minisegnet.explain.arguments import by_axis
from minisegnet.explain.recorder import Entry, Recorder
from minisegnet.explain.tabular import aligned, html_table
from minisegnet.tape import observe

_HEADER = (
    "", "layer", "op", "input", "weight", "output", "multiply-adds", "bytes", "field", "size",
)  # fmt: skip


_RIGHT = (0, 6, 7)


@dataclass(frozen=True)
class Totals:
    """What a network needs in all.

    Attributes
    ----------
    multiply_adds : int
    bytes : int
        Of all the maps that the ops wrote, which training keeps until the gradients are there.
    parameters, parameter_bytes : int
        Of all the weights that were used, each counted once.
    """

    multiply_adds: int
    bytes: int
    parameters: int
    parameter_bytes: int


class Work(Sequence[Entry]):
    """The ops that ran, in order; prints as a table.

    See :func:`show_work`.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        return self._recorder.entries[index]

    def __len__(self) -> int:
        return len(self._recorder.entries)

    @property
    def totals(self) -> Totals:
        """Multiply-adds, bytes and parameters in all."""
        weights = self._recorder.weights.values()
        return Totals(
            sum(entry.multiply_adds for entry in self),
            sum(entry.bytes for entry in self),
            sum(math.prod(shape) for shape, _ in weights),
            sum(math.prod(shape) * size for shape, size in weights),
        )

    # ------------------------------------------------------------------ the table

    def rows(self) -> list[list[str]]:
        """The cells of the table, the header first."""
        return [list(_HEADER), *(row for entry in self for row in _rows(entry))]

    def __str__(self) -> str:
        return "\n".join([*aligned(self._filled(), _RIGHT), "", self.summary])

    __repr__ = __str__

    @property
    def summary(self) -> str:
        """The totals in a sentence."""
        totals = self.totals
        return (
            f"{totals.multiply_adds:,} multiply-adds, {totals.bytes:,} bytes of maps, "
            f"{totals.parameters:,} parameters ({totals.parameter_bytes:,} bytes)"
        )

    def _repr_html_(self) -> str:
        return f"<div>{html_table(self._filled(), _RIGHT)}{html.escape(self.summary)}</div>"

    def _filled(self) -> list[list[str]]:
        """The table, without the names of columns that stay empty."""
        header, *rows = self.rows()
        return [[name if any(r[i] for r in rows) else "" for i, name in enumerate(header)], *rows]

    def to_dict(self) -> dict[str, Any]:
        """The entries and the totals as plain lists and numbers, for JSON."""
        return {
            "entries": [entry.to_dict() for entry in self],
            "totals": vars(self.totals),
        }

    # ------------------------------------------------------------------ the graph

    def mermaid(self) -> str:
        """The graph as Mermaid text, which GitHub and notebooks draw.

        Examples
        --------
        >>> import minisegnet as ms
        >>> from minisegnet.explain import show_work
        >>> x = ms.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> with show_work() as work:
        ...     y = ms.functional.relu(x)
        >>> print(work.mermaid())
        flowchart TD
            i0(["input<br/>1x1x1x3"])
            n1["1 relu<br/>1x1x1x3"]
            i0 --> n1
        """
        lines = ["flowchart TD"]
        for name, shape in self._recorder.inputs:
            lines.append(f'    {name}(["input<br/>{_shape(shape)}"])')
        for entry in self:
            lines.append(f'    n{entry.number}["{"<br/>".join(_label(entry))}"]')
        lines += [f"    {source} --> n{entry.number}" for entry in self for source in entry.sources]
        return "\n".join(lines)

    def dot(self) -> str:
        """The graph as DOT text, for Graphviz."""
        lines = ["digraph work {", "    node [shape=box, style=rounded];"]
        for name, shape in self._recorder.inputs:
            lines.append(f'    {name} [label="input\\n{_shape(shape)}", shape=oval];')
        for entry in self:
            label = "\\n".join(_label(entry))
            lines.append(f'    n{entry.number} [label="{label}"];')
        lines += [f"    {source} -> n{entry.number};" for entry in self for source in entry.sources]
        return "\n".join([*lines, "}"])


def _label(entry: Entry) -> list[str]:
    layer = [entry.layer] if entry.layer else []
    return [f"{entry.number} {entry.op}", *layer, _shape(entry.output)]


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _rows(entry: Entry) -> list[list[str]]:
    """The row of an entry; a second one where the columns' size has other numbers."""
    formulas = by_axis(entry.formulas) if entry.formulas else [""]
    formulas = [formula.replace("rows and columns: ", "") for formula in formulas]
    field = "" if entry.receptive_field is None else _shape(entry.receptive_field)
    first = [
        str(entry.number),
        entry.layer,
        entry.op,
        " + ".join(map(_shape, entry.inputs)),
        "" if entry.weight is None else _shape(entry.weight),
        _shape(entry.output),
        f"{entry.multiply_adds:,}" if entry.multiply_adds else "",
        f"{entry.bytes:,}",
        field,
        formulas[0],
    ]
    blank = [""] * (len(first) - 1)
    return [first, *([*blank, formula] for formula in formulas[1:])]


@contextlib.contextmanager
def show_work(model: Any = None) -> Iterator[Work]:
    """Inside this context, write down every op that runs: what a network does, in full.

    For each op: the shapes, the size formula with its numbers, the multiply-adds, the bytes it
    writes, and the receptive field of its cells (rows and columns of the network's input that one
    of them depends on, along the path that sees most, borders aside). A convolution counts the
    products with its padding too; a transposed one counts what its input cells stamp, not the zeros
    between them.

    Parameters
    ----------
    model : Module, optional
        Gives the layers their names.

    Yields
    ------
    Work
        A sequence of entries that prints as a table; ``.totals``, ``.mermaid()``, ``.dot()``.

    Examples
    --------
    >>> import numpy as np
    >>> import minisegnet as ms
    >>> model = ms.nn.Sequential(ms.nn.Conv2d(3, 2, 3, stride=2, padding=1), ms.nn.ReLU())
    >>> with show_work(model) as work:
    ...     y = model(ms.tensor(np.zeros((1, 3, 8, 8), dtype=np.float32)))
    >>> work[0].op, work[0].layer, work[0].output, work[0].multiply_adds, work[0].receptive_field
    ('conv2d', '0', (1, 2, 4, 4), 864, (3, 3))
    >>> work[0].formulas[0]
    'floor((8 + 2*1 - 1*(3 - 1) - 1) / 2) + 1 = 4'
    >>> print(work.summary)
    864 multiply-adds, 256 bytes of maps, 56 parameters (224 bytes)
    """
    recorder = Recorder(model)
    with observe(recorder.see):
        yield Work(recorder)
