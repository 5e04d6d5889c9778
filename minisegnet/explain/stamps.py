"""Transposed convolution as stamping: every input cell adds its value times the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from minisegnet.explain.arguments import both, count, dilated
from minisegnet.explain.ledger import Cell, Factor, Index, Ledger, Origin, Term
from minisegnet.explain.numbers import exact, show_factor
from minisegnet.explain.panels import Frame, Mark, Panel, Step
from minisegnet.explain.walkthrough import Moment, Walkthrough, bias_factor

if TYPE_CHECKING:
    from minisegnet.explain.transposed import Recipe

#: So many stamps are shown one by one.
_MOST_STAMPS = 9


def scatter_view(recipe: Recipe) -> Walkthrough:
    """The same transposed convolution, told by its input cells."""
    return _Stamps(recipe).walkthrough()


class _Stamps:
    """The canvas, and the stamps on it."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.given, self.layout = recipe, recipe.given, recipe.layout
        x, w = self.given.x, self.given.w
        self.spread, self.gaps = dilated(w, recipe.dilation)
        self.outputs = w.shape[1] * recipe.groups
        reach = tuple(
            (n - 1) * s + k
            for n, s, k in zip(x.shape[2:], recipe.stride, self.spread.shape[2:], strict=True)
        )
        # Output padding can lie beyond what the stamps reach; the canvas holds both.
        self.size = tuple(
            max(r, r - p + e)
            for r, p, e in zip(reach, recipe.padding, recipe.output_padding, strict=True)
        )
        self.canvas = np.zeros((len(x), self.outputs, *self.size), x.dtype)
        for channel, row, column in product(*map(range, x.shape[1:])):
            outs, rows, columns = self.under(channel, row, column)
            stamp = x[:, channel, row, column, None, None, None] * self.spread[channel]
            self.canvas[:, outs, rows, columns] += stamp

    def under(self, channel: int, row: int, column: int) -> tuple[slice, slice, slice]:
        """What one input cell stamps on: output channels, rows and columns of the canvas."""
        per_group = self.given.w.shape[1]
        group = channel // (self.given.x.shape[1] // self.recipe.groups)
        top, left = row * self.recipe.stride[0], column * self.recipe.stride[1]
        height, width = self.spread.shape[2:]
        return (
            slice(group * per_group, (group + 1) * per_group),
            slice(top, top + height),
            slice(left, left + width),
        )

    # ------------------------------------------------------------------ the steps

    def walkthrough(self) -> Walkthrough:
        """The steps: stamp, add up, cut."""
        result = self.cropped(self.canvas)
        if self.given.bias is not None:
            result = result + self.given.bias[:, None, None]
        start = Step("Start", "The map, and the kernel that it stamps with.", self.given.panels)
        return Walkthrough(
            "conv_transpose2d",
            self.recipe.facts(),
            (start, *self._stamp_steps(), self._sum_step(), *self._crop_step(result)),
            self.layout.array(result),
            self.account,
            {"canvas": self.layout.array(self.canvas)},
            view="scatter",
            own_moments=self.moments,
        )

    def cropped(self, canvas: np.ndarray) -> np.ndarray:
        """What the frame shows of a canvas."""
        frame = self.frame
        return canvas[..., frame.top : frame.bottom, frame.left : frame.right]

    @property
    def frame(self) -> Frame:
        """What ``padding`` and ``output_padding`` leave of the canvas."""
        top, left = self.recipe.padding
        return Frame(top, left, top + self.recipe.size[0], left + self.recipe.size[1])

    def _stamp_steps(self) -> list[Step]:
        x = self.given.x
        if not self.shown_one_by_one:
            return []
        panels = []
        for row, column in product(*map(range, x.shape[2:])):
            values = np.zeros(self.size, x.dtype)
            outside = np.ones(self.size, bool)
            _, rows, columns = self.under(0, row, column)
            values[rows, columns] = x[0, 0, row, column] * self.spread[0, 0]
            outside[rows, columns] = self.gaps
            marks = {Mark.OUTSIDE: outside}
            name = self._stamp_name(row, column)
            panels.append(Panel(name, self.layout.array(values[None, None]), marks=marks))
        step = both(self.recipe.stride)
        sentence = (
            "Every input cell times the whole kernel, not flipped; the next cell's stamp lies "
            f"{step} further, which is the stride."
        )
        return [Step("Stamp", sentence, tuple(panels))]

    @property
    def shown_one_by_one(self) -> bool:
        """Whether there are few enough stamps, on one map."""
        x = self.given.x
        return x[0, 0].size <= _MOST_STAMPS and x.shape[:2] == (1, 1) and self.outputs == 1

    def _stamp_name(self, *cell: int) -> str:
        """``2 * kernel, from (0, 1)``, after the cell of the input that stamps."""
        row, column = cell[-2:]
        value = show_factor(exact(self.given.x[0, 0, row, column]))
        return f"{value} * kernel, from ({row}, {column})"

    def _sum_step(self) -> Step:
        frame, (rows, columns) = self.frame, self.recipe.padding
        whole = Frame(0, 0, *self.size)
        sentence = f"Lay the stamps on one canvas of {self.size[0]}x{self.size[1]}"
        sentence += ", adding where they overlap."
        if frame == whole:
            panel = Panel("canvas", self.layout.array(self.canvas))
            return Step("Add up", sentence, (panel,))
        inside = np.zeros(self.size, bool)
        inside[frame.top : frame.bottom, frame.left : frame.right] = True
        sentence += (
            f" The frame is what stays: padding cuts {count(rows, 'row')} and "
            f"{count(columns, 'column')} off each side"
        )
        if max(self.recipe.output_padding):
            sentence += (
                f", and output_padding moves it out again by {both(self.recipe.output_padding)} at "
                "the bottom and right"
            )
        uncovered = np.zeros(self.size, bool)
        self.cropped(uncovered)[...] = self.recipe.uncovered()
        marks = {Mark.CROPPED: ~inside, Mark.UNCOVERED: uncovered}
        panel = Panel("canvas", self.layout.array(self.canvas), marks=marks, frame=frame)
        return Step("Add up", f"{sentence}.", (panel,))

    def _crop_step(self, result: np.ndarray) -> list[Step]:
        marks = {Mark.UNCOVERED: self.recipe.uncovered()}
        panel = Panel("result", self.layout.array(result), "result", marks)
        bias = " plus the bias" if self.given.bias is not None else ""
        if self.frame == Frame(0, 0, *self.size):
            return [Step("Nothing to cut", f"The canvas{bias} is the result.", (panel,))]
        return [Step("Cut to the frame", f"What stands in the frame{bias}.", (panel,))]

    # ------------------------------------------------------------------ the account of one cell

    def account(self, cell: Cell) -> Ledger:
        """The ledger of one output cell: the stamps that reach it."""
        name = self.layout.name("result", cell.n, cell.channel, cell.row, cell.col)
        rows, columns = self.recipe.padding
        index = self.layout.index(cell.n, cell.channel, cell.row + rows, cell.col + columns)
        terms = list(self._terms(cell))
        places = {"canvas": [index]}
        if self.shown_one_by_one:
            sources = [term.factors[0] for term in terms]
            places |= {
                self._stamp_name(*source.index): [index]
                for source in sources
                if source.origin is Origin.INPUT and source.index is not None
            }
        return Ledger.of_sum(name, terms, places=places)

    def _terms(self, cell: Cell) -> Iterator[Term]:
        x, w, bias = self.given.x, self.given.w, self.given.bias
        group, o = divmod(cell.channel, w.shape[1])
        inputs = x.shape[1] // self.recipe.groups
        on_canvas = (cell.row + self.recipe.padding[0], cell.col + self.recipe.padding[1])
        for channel in range(group * inputs, (group + 1) * inputs):
            for row, i in self._reaching(on_canvas[0], 0):
                for column, j in self._reaching(on_canvas[1], 1):
                    index = self.layout.index(cell.n, channel, row, column)
                    weight = self.layout.index(channel, o, i, j)
                    yield Term.product(
                        Factor(
                            exact(x[cell.n, channel, row, column]),
                            Origin.INPUT,
                            index,
                            {"input": index},
                        ),
                        Factor(
                            exact(w[channel, o, i, j]),
                            Origin.KERNEL,
                            weight,
                            {"kernel": weight},
                        ),
                    )
        if bias is not None:
            yield Term.product(bias_factor(exact(bias[cell.channel]), cell.channel))

    def _reaching(self, position: int, axis: int) -> Iterator[tuple[int, int]]:
        """Along one axis, the input cells whose stamps reach a position, and with which tap."""
        stride, dilation = self.recipe.stride[axis], self.recipe.dilation[axis]
        for cell in range(self.given.x.shape[2 + axis]):
            tap, rest = divmod(position - cell * stride, dilation)
            if rest == 0 and 0 <= tap < self.given.w.shape[2 + axis]:
                yield cell, tap

    # ------------------------------------------------------------------ the animation

    def moments(self, out: int, n: int) -> Iterator[Moment]:
        """One stamp after another, and at last the frame."""
        x = self.given.x
        canvas = np.zeros(self.size, x.dtype)
        to_come = np.ones(self.size, bool)
        group = out // self.given.w.shape[1]
        inputs = x.shape[1] // self.recipe.groups
        own = None if self.frame == Frame(0, 0, *self.size) else self.frame
        for k, row, column in product(range(inputs), *map(range, x.shape[2:])):
            channel = group * inputs + k
            _, rows, columns = self.under(channel, row, column)
            weights = self.spread[channel, out % self.given.w.shape[1]]
            canvas[rows, columns] += x[n, channel, row, column] * weights
            to_come[rows, columns] &= self.gaps
            index = self.layout.index(n, channel, row, column)
            lit = {"input": frozenset({index}), "canvas": self._stamped(rows, columns)}
            factor = show_factor(exact(x[n, channel, row, column]))
            yield Moment(
                self._stage(canvas, to_come, own),
                lit,
                sentence=f"input[{', '.join(map(str, index))}] = {factor} stamps {factor} * kernel "
                f"on rows {_span(rows)} and columns {_span(columns)}, added to what is there",
            )
        yield Moment(self._stage(canvas, to_come & False, own), {}, None, self._last_sentence())

    def _stage(
        self, canvas: np.ndarray, to_come: np.ndarray, frame: Frame | None
    ) -> tuple[Panel, ...]:
        input_panel, kernel = self.given.panels[:2]
        marks = {Mark.TO_COME: to_come.copy()}
        return input_panel, kernel, Panel("canvas", canvas.copy(), "result", marks, frame)

    def _stamped(self, rows: slice, columns: slice) -> frozenset[Index]:
        taps = np.argwhere(~self.gaps)
        return frozenset((int(rows.start + i), int(columns.start + j)) for i, j in taps)

    def _last_sentence(self) -> str:
        bias = " plus the bias" if self.given.bias is not None else ""
        if self.frame == Frame(0, 0, *self.size):
            return f"The canvas{bias} is the result."
        return f"What stands in the frame{bias} is the result: padding cuts the rest off."


def _span(cells: slice) -> str:
    return str(cells.start) if cells.stop - cells.start == 1 else f"{cells.start}-{cells.stop - 1}"
