"""A walkthrough: an operation taken apart, to be printed, looked at, and checked cell by cell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from minisegnet.checks import did_you_mean
from minisegnet.explain import animation, figure, text, web
from minisegnet.explain.ledger import Cell, Factor, Index, Ledger, Origin, plain
from minisegnet.explain.panels import Lit, Mark, Panel, Step

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame of an animation: what stands there, what is lit, and what is said."""

    panels: tuple[Panel, ...]
    lit: Lit
    ledger: Ledger | None = None
    sentence: str = ""


class Views(Mapping[str, "Walkthrough"]):
    """Walkthroughs by name, each made when it is first looked at."""

    def __init__(self, makers: Mapping[str, Callable[[], Walkthrough]]) -> None:
        self._makers = dict(makers)
        self._made: dict[str, Walkthrough] = {}

    def __getitem__(self, name: str) -> Walkthrough:
        if name not in self._makers:
            raise KeyError(f"no view is named {name!r}: {did_you_mean(name, self._makers)}")
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __repr__(self) -> str:
        return f"<views: {', '.join(self)}>"


@dataclass(frozen=True, eq=False, repr=False)
class Walkthrough:
    """An operation with its steps, its result, and the ledger of every cell.

    It prints in a terminal (``print(walk)``), shows itself in a notebook, draws itself
    (:meth:`plot`) and moves (:meth:`animate`).

    Attributes
    ----------
    op : str
        The operation, under its name in ``minisegnet.functional``.
    facts : tuple of str
        The shapes, the options, and the size formula with its numbers.
    steps : tuple of Step
        Each with a title, a sentence and its named arrays.
    result : ndarray or float
        What the operation returns: a matrix if the input was a matrix. Integers stay exact.
    outputs : mapping of str to ndarray
        What else there is to know: pooling's indices, overlap counts, the predicted classes.
    views : mapping of str to Walkthrough
        Other ways to the same result, each made when it is first looked at.

    Examples
    --------
    >>> from minisegnet import explain
    >>> walk = explain.conv_transpose2d([[1, 2], [3, 4]], [[1, 0], [1, 1]])
    >>> walk.result
    array([[1, 2, 0],
           [4, 7, 2],
           [3, 7, 4]])
    >>> print(walk.at(1, 1))
    1*1 + 2*1 + 3*0 + 4*1 = 7
    >>> [step.title for step in walk.steps]
    ['Start', 'Pad', 'Flip the kernel', 'Count the overlap', 'Slide and sum']
    >>> walk.steps[1].arrays["padded input"]
    array([[0, 0, 0, 0],
           [0, 1, 2, 0],
           [0, 3, 4, 0],
           [0, 0, 0, 0]])
    """

    op: str
    facts: tuple[str, ...]
    steps: tuple[Step, ...]
    result: Any
    account: Callable[[Cell], Ledger]
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    views: Views = field(default_factory=lambda: Views({}))
    view: str = ""
    remarks: tuple[str, ...] = ()
    #: The panel whose cells have ledgers, and the ledger of a result that is one number.
    accounted: str = "result"
    account_of_all: Callable[[], Ledger] | None = None
    #: The panels that an animation shows beside the result.
    stage: tuple[str, ...] = ()
    own_moments: Callable[[int, int], Iterator[Moment]] | None = None

    def at(
        self, row: int | None = None, col: int | None = None, channel: int = 0, n: int = 0
    ) -> Ledger:
        """The ledger of one cell: its terms, and where each factor came from.

        Parameters
        ----------
        row, col : int
            Left out where the result is one number: then it is the ledger of that.
        channel, n : int
            For results of four dimensions.

        Raises
        ------
        IndexError
            If there is no such cell.
        TypeError
            If no cell is named and the result is more than one number.

        Examples
        --------
        >>> from minisegnet import explain
        >>> walk = explain.max_pool2d([[1, 4, 4, 8], [7, 0, 3, 2]], 2)
        >>> print(walk.at(0, 1))
        max(4, 8, 3, 2) = 8
        """
        if row is None or col is None:
            if row is None and col is None and self.account_of_all is not None:
                return self.account_of_all()
            raise TypeError(f"{self.op}: name a cell of the {self._size}: at(row, column)")
        return self.account(self.cell(row, col, channel, n))

    def cell(self, row: int, col: int, channel: int = 0, n: int = 0) -> Cell:
        """The cell, counted from the end where an index is negative.

        Raises
        ------
        IndexError
            If there is no such cell.
        """
        images, channels, rows, columns = (1, 1, *self.cells.shape)[-4:]
        limits = {"row": rows, "column": columns, "channel": channels, "n": images}
        given = {"row": row, "column": col, "channel": channel, "n": n}
        for name, limit in limits.items():
            if not -limit <= given[name] < limit:
                raise IndexError(
                    f"{self.op}: there is no {name} {given[name]} in the {self._size}: "
                    f"choose 0 to {limit - 1}"
                )
        return Cell(row % rows, col % columns, channel % channels, n % images)

    @property
    def cells(self) -> np.ndarray:
        """The array whose cells have ledgers: the result, or the cost of every pixel."""
        return self.panel(self.accounted).values

    @property
    def _size(self) -> str:
        return f"{'x'.join(map(str, self.cells.shape))} {self.accounted}"

    def index(self, cell: Cell) -> Index:
        """The cell's index in :attr:`cells`."""
        return (cell.n, cell.channel, cell.row, cell.col)[-self.cells.ndim :]

    def panel(self, name: str) -> Panel:
        """The panel of that name, from the last step that shows it.

        Raises
        ------
        KeyError
            If no step shows such an array.
        """
        for step in reversed(self.steps):
            for panel in step.panels:
                if panel.name == name:
                    return panel
        raise KeyError(f"{self.op}: no step shows an array named {name!r}")

    def lit(self, cell: Cell) -> dict[str, frozenset[Index]]:
        """For each array by name, the cells that take part in this cell, and the cell itself."""
        places: dict[str, set[Index]] = {self.accounted: {self.index(cell)}}
        ledger = self.account(cell)
        for name, indices in ledger.places.items():
            places.setdefault(name, set()).update(indices)
        for term in ledger.terms:
            for factor in term.factors:
                for name, index in factor.places.items():
                    places.setdefault(name, set()).add(index)
        return {name: frozenset(indices) for name, indices in places.items()}

    def telling_cell(self) -> Cell:
        """A cell worth looking at first: near the middle, with many terms."""
        rows, columns = self.cells.shape[-2:]
        near = sorted(
            product(range(rows), range(columns)),
            key=lambda p: (abs(2 * p[0] - rows + 1) + abs(2 * p[1] - columns + 1), -p[0], -p[1]),
        )
        cells = [Cell(row, col) for row, col in near[:25]]

        def worth(cell: Cell) -> tuple[int, bool]:
            ledger = self.account(cell)
            return len(ledger.real_terms), bool(ledger.total)

        return max(cells, key=worth)

    def moments(self, channel: int = 0, n: int = 0) -> Iterator[Moment]:
        """The frames of the animation: one a cell of the result, unless the view has its own."""
        first = self.cell(0, 0, channel, n)
        if self.own_moments is not None:
            yield from self.own_moments(channel, n)
            return
        stage = tuple(self.panel(name) for name in self.stage or self._taking_part(first))
        result = self.panel(self.accounted)
        to_come = np.ones(self.cells.shape, bool)
        rows, columns = self.cells.shape[-2:]
        for row, col in product(range(rows), range(columns)):
            cell = Cell(row, col, channel, n)
            to_come[self.index(cell)] = False
            ledger = self.account(cell)
            so_far = replace(result, marks={Mark.TO_COME: to_come.copy(), **result.marks})
            yield Moment((*stage, so_far), self.lit(cell), ledger)

    def _taking_part(self, cell: Cell) -> list[str]:
        return [name for name in self.lit(cell) if name != self.accounted]

    # ------------------------------------------------------------------ showing it

    def __str__(self) -> str:
        return text.render(self)

    __repr__ = __str__

    def text(
        self,
        row: int | None = None,
        col: int | None = None,
        channel: int = 0,
        n: int = 0,
        *,
        width: int = 96,
        colour: bool = False,
    ) -> str:
        """The steps for a terminal; with a cell named, its window in brackets and its ledger.

        Parameters
        ----------
        row, col, channel, n : int, optional
            The cell.
        width : int
            Matrices stand side by side up to so many characters.
        colour : bool
            Grey for the zeros put in and yellow for the window, by ANSI codes.

        Examples
        --------
        >>> from minisegnet import explain
        >>> walk = explain.conv2d([[1, 2, 3], [4, 5, 6]], [[1, 0], [2, -1]])
        >>> print(walk.text(0, 1))  # doctest: +NORMALIZE_WHITESPACE
        conv2d
        input 2x3, kernel 2x2, stride 1, padding 0, dilation 1
        rows: floor((2 + 2*0 - 1*(2 - 1) - 1) / 1) + 1 = 1
        columns: floor((3 + 2*0 - 1*(2 - 1) - 1) / 1) + 1 = 2
        <BLANKLINE>
        1. Start
           The map, and the kernel to be laid on it.
        <BLANKLINE>
           input (2x3)    kernel (2x2)
            1 [2][3]        1  0
            4 [5][6]        2 -1
        <BLANKLINE>
        2. Slide and sum
           Lay the kernel on every window, one cell at a time; multiply cell by cell and sum the
           products.
        <BLANKLINE>
           result (1x2)
            4 [6]
        <BLANKLINE>
        result[0, 1] = 2*1 + 3*0 + 5*2 + 6*(-1) = 6
          product      from         times
          2*1 = 2      input[0, 1]  kernel[0, 0]
          3*0 = 0      input[0, 2]  kernel[0, 1]
          5*2 = 10     input[1, 1]  kernel[1, 0]
          6*(-1) = -6  input[1, 2]  kernel[1, 1]
        """
        cell = None if row is None or col is None else self.cell(row, col, channel, n)
        return text.render(self, cell, width, colour)

    def _repr_html_(self) -> str:
        return web.render(self)

    def html(self) -> str:
        """The walkthrough as HTML that needs nothing else, for light and dark pages.

        Pointing at a cell of the result lights its window and shows its ledger (no JavaScript).
        """
        return web.render(self)

    def plot(
        self,
        row: int | None = None,
        col: int | None = None,
        channel: int = 0,
        n: int = 0,
        *,
        path: str | os.PathLike[str] | None = None,
    ) -> Figure:
        """Draw the steps: matrices with their numbers, one window lit, its ledger beneath.

        Parameters
        ----------
        row, col, channel, n : int, optional
            The cell whose window is lit; by default one near the middle.
        path : str or path, optional
            Where to write the picture: PNG, PDF or SVG by its ending.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        IndexError
            If there is no such cell.
        ValueError
            If the ending of ``path`` is unknown.
        """
        named = row is not None and col is not None
        cell = self.cell(row, col, channel, n) if named else self.telling_cell()  # type: ignore[arg-type]
        drawing = figure.draw(self, cell)
        if path is not None:
            figure.write(drawing, path)
        return drawing

    def animate(
        self,
        path: str | os.PathLike[str],
        channel: int = 0,
        n: int = 0,
        *,
        seconds: float = 0.9,
        dpi: int = 100,
    ) -> None:
        """Save a GIF of the window sliding over the input, the ledger of each cell beneath.

        The scatter view of a transposed convolution shows one stamp after another instead.

        Parameters
        ----------
        path : str or path
            The file, ending in ``.gif``.
        channel, n : int
            Which map of a result of four dimensions.
        seconds : float
            How long each frame stands.
        dpi : int
            Pixels an inch: 100 for a page, 200 for a projector.

        Raises
        ------
        ValueError
            If the path does not end in ``.gif``, or there would be more than 400 frames.
        """
        animation.save(self, path, channel, n, seconds, dpi)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the ledgers as plain lists, numbers and strings, for JSON."""
        return {
            "op": self.op,
            "view": self.view,
            "facts": list(self.facts),
            "steps": [
                {
                    "title": step.title,
                    "sentence": step.sentence,
                    "arrays": {name: _plain_list(array) for name, array in step.arrays.items()},
                    "marks": {
                        name: {mark: where.tolist() for mark, where in marks.items()}
                        for name, marks in step.marks.items()
                    },
                }
                for step in self.steps
            ],
            "result": _plain_list(np.asarray(self.result)),
            "outputs": {name: _plain_list(array) for name, array in self.outputs.items()},
            "remarks": list(self.remarks),
        }


def _plain_list(array: np.ndarray) -> Any:
    values = array.tolist()
    return _without_fractions(values) if array.dtype == object else values


def _without_fractions(values: Any) -> Any:
    return [_without_fractions(v) for v in values] if isinstance(values, list) else plain(values)


def bias_factor(value: Any, channel: int) -> Factor:
    """The bias of an output channel, as a factor."""
    return Factor(value, Origin.BIAS, (channel,), {"bias": (0, channel)})
