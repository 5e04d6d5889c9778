"""Pencil-and-paper worksheets: seeded problems as a PDF, their answers, and a check of yours."""

from __future__ import annotations

from minisegnet.worksheets.answers import Verdict
from minisegnet.worksheets.pages import PAPERS
from minisegnet.worksheets.problem import Given, Mistake, Problem
from minisegnet.worksheets.sheet import LADDERS, MOST_PROBLEMS, Worksheet, make

#: The names of the topics.
TOPICS = tuple(LADDERS)

__all__ = [
    "MOST_PROBLEMS",
    "PAPERS",
    "TOPICS",
    "Given",
    "Mistake",
    "Problem",
    "Verdict",
    "Worksheet",
    "make",
]
