"""The ledger of one cell: every term that went into it, and where each factor came from."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from minisegnet.explain.numbers import Number, show, show_factor, show_total
from minisegnet.explain.tabular import aligned, html_table

Index = tuple[int, ...]


class Cell(NamedTuple):
    """A place in the result."""

    row: int
    col: int
    channel: int = 0
    n: int = 0


class Origin(StrEnum):
    """What a factor is."""

    INPUT = "input"
    INSERTED = "inserted zero"
    PADDING = "padding"
    EXTRA = "output padding"
    KERNEL = "kernel"
    BIAS = "bias"
    KEPT = "kept"
    DROPPED = "not kept"
    SHARE = "share"
    SUM = "1 / sum"
    COMPUTED = "computed"


#: Zeros that the recipe puts there: no number of the reader's stands behind them.
MADE_UP = frozenset({Origin.INSERTED, Origin.PADDING, Origin.EXTRA})


@dataclass(frozen=True)
class Factor:
    """One number of a product.

    Attributes
    ----------
    value : int, float or Fraction
    origin : Origin
        A cell of the input, a weight, an inserted zero, padding, ...
    index : tuple of int or None
        Where it stands in the reader's own array; None if the recipe made it up.
    places : mapping of str to tuple of int
        Where it stands in each array of the steps, by the array's name.
    text : str
        How it is written, where that is more than its value (``exp(2 - 30)``).
    array_name : str
        The reader's array, where it is not called after the origin.
    """

    value: Number
    origin: Origin
    index: Index | None = None
    places: Mapping[str, Index] = field(default_factory=dict)
    text: str = ""
    array_name: str = ""

    @property
    def array(self) -> str:
        """The reader's array that it stands in."""
        return self.array_name or str(self.origin)

    def __str__(self) -> str:
        return self.text or show_factor(self.value)

    @property
    def source(self) -> str:
        """Where it came from, in words: ``input[0, 1]``, ``inserted zero``."""
        return str(self.origin) if self.index is None else f"{self.array}{list(self.index)}"


@dataclass(frozen=True)
class Term:
    """A product of factors, one of the terms that a cell sums up."""

    factors: tuple[Factor, ...]
    value: Number
    remark: str = ""

    @classmethod
    def product(cls, *factors: Factor, remark: str = "") -> Term:
        """The term of these factors."""
        value: Number = 1
        for factor in factors:
            value = value * factor.value
        return cls(factors, value, remark)

    def __str__(self) -> str:
        return "*".join(map(str, self.factors))

    @property
    def is_real(self) -> bool:
        """Whether no factor is a zero that the recipe made up (inserted, or padding)."""
        return all(factor.origin not in MADE_UP for factor in self.factors)


@dataclass(frozen=True, repr=False)
class Ledger:
    """The account of one cell: its terms, which sum to its value.

    Attributes
    ----------
    name : str
        What is accounted for: ``result[0, 1]``.
    terms : tuple of Term
    total : int, float or Fraction
        The sum of the terms: exact where the inputs are integers.
    expression : str
        The left side of the equation, where that is not a plain sum of products.
    note : str
        A sentence on how to read it.
    places : mapping of str to sequence of indices
        What else belongs to the cell in the arrays of the steps, by their names.

    Examples
    --------
    >>> from minisegnet import explain
    >>> ledger = explain.conv2d([[1, 2, 3], [4, 5, 6]], [[1, 0], [2, -1]]).at(0, 1)
    >>> print(ledger)
    2*1 + 3*0 + 5*2 + 6*(-1) = 6
    >>> ledger.terms[2].factors[0].source, ledger.terms[2].factors[1].source
    ('input[1, 1]', 'kernel[1, 0]')
    """

    name: str
    terms: tuple[Term, ...]
    total: Number
    expression: str = ""
    note: str = ""
    places: Mapping[str, Sequence[Index]] = field(default_factory=dict)

    @classmethod
    def of_sum(
        cls,
        name: str,
        terms: Iterable[Term],
        expression: str = "",
        note: str = "",
        places: Mapping[str, Sequence[Index]] | None = None,
    ) -> Ledger:
        """The ledger whose total is the sum of the terms, added from the first to the last."""
        terms_ = tuple(terms)
        total: Number = 0
        for term in terms_:
            total = total + term.value
        return cls(name, terms_, total, expression, note, places or {})

    def __str__(self) -> str:
        """``1*1 + 2*0 + ... = 7``: all the terms, in the order in which they are added."""
        return f"{self.equation} = {show_total(self.total)}"

    def __repr__(self) -> str:
        return f"{self.name} = {self}"

    @property
    def equation(self) -> str:
        """What stands left of the equals sign."""
        return self.expression or " + ".join(map(str, self.terms)) or "0"

    @property
    def real_terms(self) -> tuple[Term, ...]:
        """The terms without those that multiply an inserted zero or padding."""
        return tuple(term for term in self.terms if term.is_real)

    @property
    def short(self) -> str:
        """The equation with only :attr:`real_terms`: what is left when made-up zeros go.

        Examples
        --------
        >>> from minisegnet import explain
        >>> ledger = explain.conv2d([[1, 2], [3, 4]], [[5, 6], [7, 8]], padding=1).at(0, 0)
        >>> print(ledger)
        0*5 + 0*6 + 0*7 + 1*8 = 8
        >>> print(ledger.short)
        1*8 = 8
        """
        if self.expression:
            return str(self)
        left = " + ".join(map(str, self.real_terms)) or "0"
        return f"{left} = {show_total(self.total)}"

    def table(self) -> str:
        """One term a line: the product, where each factor came from, and where it stood.

        Examples
        --------
        >>> from minisegnet import explain
        >>> walk = explain.conv_transpose2d([[1, 2], [3, 4]], [[1, 0], [1, 1]], padding=1)
        >>> print(walk.at(0, 0).table())
        result[0, 0] = 7
          product  from         times         flipped kernel
          1*1 = 1  input[0, 0]  kernel[1, 1]  [0, 0]
          2*1 = 2  input[0, 1]  kernel[1, 0]  [0, 1]
          3*0 = 0  input[1, 0]  kernel[0, 1]  [1, 0]
          4*1 = 4  input[1, 1]  kernel[0, 0]  [1, 1]
        """
        lines = (f"  {line}" for line in aligned(self.rows()))
        return "\n".join([f"{self.name} = {show_total(self.total)}", *lines])

    def rows(self) -> list[list[str]]:
        """The cells of :meth:`table`, the header first."""
        most = max((len(term.factors) for term in self.terms), default=0)
        own = {factor.array for term in self.terms for factor in term.factors}
        elsewhere = [
            name
            for term in self.terms
            for factor in term.factors
            for name in factor.places
            if name not in own and factor.places[name] != factor.index
        ]
        names = list(dict.fromkeys(elsewhere))
        remarks = any(term.remark for term in self.terms)
        header = ["product", *["from", "times", "times"][:most], *names]
        table = [header + (["remark"] if remarks else [])]
        for term in self.terms:
            sources = [factor.source for factor in term.factors]
            places = {k: v for factor in term.factors for k, v in factor.places.items()}
            row = [f"{term} = {show(term.value)}", *sources, *[""] * (most - len(sources))]
            row += [str(list(places[name])) if name in places else "" for name in names]
            table.append(row + ([term.remark] if remarks else []))
        return table

    def _repr_html_(self) -> str:
        equation = html.escape(f"{self.name} = {self}")
        return f"<div><code>{equation}</code>{html_table(self.rows())}</div>"

    def to_dict(self) -> dict[str, object]:
        """The ledger as plain lists, numbers and strings (fractions as text), for JSON."""
        return {
            "name": self.name,
            "equation": str(self),
            "total": plain(self.total),
            "terms": [
                {
                    "value": plain(term.value),
                    "factors": [
                        {
                            "value": plain(factor.value),
                            "origin": str(factor.origin),
                            "index": None if factor.index is None else list(factor.index),
                            "places": {k: list(v) for k, v in factor.places.items()},
                        }
                        for factor in term.factors
                    ],
                }
                for term in self.terms
            ],
        }


def plain(number: Number) -> int | float | str:
    """The number as JSON can hold it; a fraction as text."""
    return number if isinstance(number, (int, float)) else str(number)
