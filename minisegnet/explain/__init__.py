"""Show your work: every multiply-add of an operation in the open, to be checked on paper.

Each function takes what its namesake in ``minisegnet.functional`` takes (or plain matrices: one map
and one kernel), and returns a :class:`Walkthrough`: the steps with their arrays, the result, and
the ledger of every cell.

>>> from minisegnet import explain
>>> walk = explain.conv_transpose2d([[1, 2], [3, 4]], [[0, 2, 1], [3, 1, 0], [1, 0, 5]], stride=2)
>>> print(walk.at(2, 2))
1*5 + 0*0 + 2*1 + 0*0 + 0*1 + 0*3 + 3*1 + 0*2 + 4*0 = 10
>>> print(walk.at(2, 2).short)
1*5 + 2*1 + 3*1 + 4*0 = 10

``print(walk)`` shows the steps in a terminal; a notebook shows them by itself, and lights the
window of the cell that the mouse is on. ``walk.plot(2, 2)`` is a figure, ``walk.animate("a.gif")``
a film. :func:`explorer_page` is a page to play with one, which ``minisegnet explore`` opens in the
browser. :func:`sizes` finds the transposed convolutions that turn one size into another, and
:func:`show_work` writes down what a whole network does.
"""

from __future__ import annotations

from minisegnet.explain.classes import softmax
from minisegnet.explain.confusion import confusion_matrix
from minisegnet.explain.convolution import conv2d
from minisegnet.explain.cross_entropy import cross_entropy
from minisegnet.explain.explorer import explorer_page
from minisegnet.explain.ledger import Cell, Factor, Ledger, Origin, Term
from minisegnet.explain.numbers import parse_matrix
from minisegnet.explain.operations import OPERATIONS, Argument, Operation, operation, parsed_cell
from minisegnet.explain.panels import Mark, Panel, Step
from minisegnet.explain.pooling import max_pool2d, max_unpool2d
from minisegnet.explain.recorder import Entry
from minisegnet.explain.resizing import bed_of_nails, interpolate
from minisegnet.explain.scores import dice, iou
from minisegnet.explain.size_solver import Sizes, Solution, overlap_counts, overlap_ratio, sizes
from minisegnet.explain.transposed import conv_transpose2d
from minisegnet.explain.walkthrough import Walkthrough
from minisegnet.explain.work import Work, show_work

__all__ = [
    "OPERATIONS",
    "Argument",
    "Cell",
    "Entry",
    "Factor",
    "Ledger",
    "Mark",
    "Operation",
    "Origin",
    "Panel",
    "Sizes",
    "Solution",
    "Step",
    "Term",
    "Walkthrough",
    "Work",
    "bed_of_nails",
    "confusion_matrix",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dice",
    "explorer_page",
    "interpolate",
    "iou",
    "max_pool2d",
    "max_unpool2d",
    "operation",
    "overlap_counts",
    "overlap_ratio",
    "parse_matrix",
    "parsed_cell",
    "show_work",
    "sizes",
    "softmax",
]
