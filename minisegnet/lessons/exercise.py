"""What a lesson asks: exercises with their classic mistakes, and predictions.

A lesson is a module ``lesson_NN`` of this package that holds a :class:`Lesson` named ``LESSON``.
"""

from __future__ import annotations

import inspect
import textwrap
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from minisegnet.autograd import Tensor

#: What one case gives to a function: its arguments by name, in the order of its parameters.
Arguments: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Mistake:
    """A classic wrong answer, and the sentence that names it.

    Attributes
    ----------
    sentence : str
        What went wrong and what to do, to the reader: "You overwrote where windows overlap: add."
    answer : callable or value
        The wrong answer: a function where the exercise asks for one; else a value, or a function
        of no arguments that computes it.
    """

    sentence: str
    answer: Any


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What all exercises have.

    Attributes
    ----------
    name : str
        ``"04/scatter"``: the lesson's number and a word.
    question : str
        What is asked, in one sentence.
    hints : tuple of str
        From vague to concrete.
    mistakes : tuple of Mistake
        The bank of classic mistakes.
    explanation : str
        Why the right answer is right: shown with it, and with the solution.
    tolerance : float
        How far a number may be off, as a fraction of the largest expected number (or of 1).
    """

    name: str
    question: str
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    explanation: str = ""
    tolerance: float = 1e-5

    #: Whether the reader gives a function, which is then called.
    asks_for_a_function = False

    def cases(self) -> tuple[Arguments, ...]:
        """The arguments of every case, the same ones each time."""
        return ({},)

    def right_answer(self) -> Any:
        """The definition, in the form in which a reader would give it."""
        raise NotImplementedError

    def outcome(self, answer: Any, arguments: Arguments) -> Any:
        """What an answer comes to in one case."""
        raise NotImplementedError

    def solution(self) -> str:
        """The right answer as the reader may see it: source text, or a value."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FunctionExercise(Exercise):
    """The reader writes a function; it must agree with the definition on every case.

    Attributes
    ----------
    definition : callable
        The right answer, written as its reader would write it: :func:`solution` shows its source.
    data : callable
        From a seeded ``numpy.random.Generator`` to the cases: mappings of argument names to
        values, in the order of the function's parameters. Several, of several shapes, all options
        varied together, nothing square or symmetric.
    engine : callable, optional
        The same by the engine; a test holds the definition to it.
    apply : callable, optional
        ``apply(answer, **arguments)`` where an answer is not simply called with the arguments
        (a class, for example). It must raise what the answer raises.

    Examples
    --------
    >>> exercise = FunctionExercise(
    ...     name="00/cells",
    ...     question="How many cells has a map?",
    ...     definition=lambda rows, columns: rows * columns,
    ...     data=lambda rng: [{"rows": 2, "columns": 3}, {"rows": 4, "columns": 7}],
    ...     mistakes=(Mistake("You added.", lambda rows, columns: rows + columns),),
    ...     hints=("Think of a table.", "Rows times columns."),
    ... )
    >>> [exercise.outcome(exercise.definition, case) for case in exercise.cases()]
    [6, 28]
    """

    definition: Callable[..., Any]
    data: Callable[[np.random.Generator], Iterable[Arguments]]
    engine: Callable[..., Any] | None = None
    apply: Callable[..., Any] | None = None

    asks_for_a_function = True

    def cases(self) -> tuple[Arguments, ...]:
        seed = zlib.crc32(self.name.encode())
        return tuple(self.data(np.random.default_rng(seed)))

    def right_answer(self) -> Any:
        return self.definition

    def outcome(self, answer: Any, arguments: Arguments) -> Any:
        # Copies: a function that changes its arguments must not change those of the next one.
        given = {name: _copied(value) for name, value in arguments.items()}
        if self.apply is not None:
            return self.apply(answer, **given)
        return answer(*given.values())

    def solution(self) -> str:
        return textwrap.dedent(inspect.getsource(self.definition)).rstrip()


@dataclass(frozen=True, kw_only=True)
class ValueExercise(Exercise):
    """The reader gives a number, an array, or a word.

    Attributes
    ----------
    definition : callable or value
        The right value, or a function of no arguments that computes it with the engine.
    options : tuple of str
        The words to choose from, if it is a choice.

    Examples
    --------
    >>> size = ValueExercise(
    ...     name="00/size",
    ...     question="How many windows of 3 fit into 7 cells at stride 2?",
    ...     definition=lambda: (7 - 3) // 2 + 1,
    ...     mistakes=(Mistake("You forgot the first window.", lambda: (7 - 3) // 2),),
    ...     hints=("Count the steps.", "The first window needs no step."),
    ... )
    >>> size.outcome(size.right_answer(), {})
    3
    """

    definition: Any
    options: tuple[str, ...] = ()

    def right_answer(self) -> Any:
        return self.outcome(self.definition, {})

    def outcome(self, answer: Any, arguments: Arguments) -> Any:
        return answer() if callable(answer) else answer

    def solution(self) -> str:
        value = self.right_answer()
        return repr(value) if isinstance(value, str) else str(value)

    @classmethod
    def choice(
        cls,
        name: str,
        question: str,
        right: str,
        wrong: Mapping[str, str],
        hints: tuple[str, ...],
        explanation: str,
    ) -> ValueExercise:
        """A question with a few answers to choose from; each wrong one is a named mistake.

        Parameters
        ----------
        name, question, hints, explanation
            As for every exercise.
        right : str
            The word for the right answer.
        wrong : mapping of str to str
            For each word that is wrong, the sentence that says why.

        Examples
        --------
        >>> flip = ValueExercise.choice(
        ...     "00/skip", "How does FCN join its skips?", right="sum",
        ...     wrong={"concatenate": "That is U-Net."},
        ...     hints=("Compare the channels.",), explanation="Scores are added.",
        ... )
        >>> flip.options
        ('concatenate', 'sum')
        """
        return cls(
            name=name,
            question=question,
            definition=right,
            options=tuple(sorted([right, *wrong])),
            mistakes=tuple(Mistake(sentence, word) for word, sentence in wrong.items()),
            hints=hints,
            explanation=explanation,
        )


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Something to guess before it is shown.

    Attributes
    ----------
    name : str
        ``"04/checkerboard"``: the lesson's number and a word.
    question : str
        What to guess, in one sentence.
    outcome : callable
        Computes, with the engine, what turns out: a number, an array, or a word.
    because : str
        Why it turns out so.
    traps : tuple of Mistake
        Guesses that many make, with the sentence that says what is behind them.
    options : tuple of str
        The words to choose from, if it is a choice.
    tolerance : float
        How far a guessed number may be off, as a fraction of the outcome (or of 1).
    """

    name: str
    question: str
    outcome: Callable[[], Any]
    because: str
    traps: tuple[Mistake, ...] = ()
    options: tuple[str, ...] = ()
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Lesson:
    """A lesson's exercises and predictions, in the order in which its notebook asks them.

    Raises
    ------
    ValueError
        If a name does not begin with the lesson's number, or occurs twice.
    """

    number: int
    title: str
    exercises: tuple[Exercise, ...]
    predictions: tuple[Prediction, ...] = field(default=())

    def __post_init__(self) -> None:
        names = [exercise.name for exercise in self.exercises]
        names += [prediction.name for prediction in self.predictions]
        for name in names:
            if not name.startswith(f"{self.number:02d}/"):
                raise ValueError(f"lesson {self.number}: {name!r} must be '{self.number:02d}/...'")
            if names.count(name) > 1:
                raise ValueError(f"lesson {self.number}: the name {name!r} is used twice")


def distinct(rng: np.random.Generator, shape: tuple[int, ...], signed: bool = False) -> np.ndarray:
    """Integers that all differ, none of them zero: no flip and no swapped axis goes unseen.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
    signed : bool
        Whether there are negative ones too.

    Returns
    -------
    ndarray of int64
        From 1 to 9, or as far as it takes to have enough of them.

    Examples
    --------
    >>> distinct(np.random.default_rng(0), (2, 3)).tolist()
    [[5, 6, 3], [7, 4, 9]]
    """
    count = int(np.prod(shape))
    largest = max(9, count)
    values = rng.permutation(np.arange(1, largest + 1))[:count]
    if signed:
        values = values * rng.choice([-1, 1], count)
    return values.reshape(shape)


def _copied(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_copied(part) for part in value)
    if isinstance(value, Tensor):
        return Tensor(value.data.copy(), requires_grad=value.requires_grad)
    return value.copy() if isinstance(value, np.ndarray) else value
