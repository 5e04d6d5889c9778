"""Predictions are written down before the reveal, stand after it, and come back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minisegnet import lessons
from minisegnet.autograd import tensor
from minisegnet.lessons import Mistake, Prediction, predictions


@pytest.fixture
def asked(monkeypatch):
    """Two predictions in place of those of lesson 4: a number, and a table."""
    made = {
        "04/number": Prediction(
            name="04/number",
            question="How many?",
            outcome=lambda: 12,
            because="Three times four.",
            traps=(Mistake("You added.", 7), Mistake("You took a power.", lambda: 3**4)),
            tolerance=0.1,
        ),
        "04/table": Prediction(
            name="04/table",
            question="Which table?",
            outcome=lambda: np.array([[1, 2, 3], [4, 5, 6]]),
            because="Counting.",
        ),
    }
    lesson = lessons.Lesson(4, "Test", (), tuple(made.values()))
    monkeypatch.setattr(predictions.registry, "find_prediction", lambda name: made[name])
    other = lessons.Lesson(3, "Without predictions", (), ())
    monkeypatch.setattr(
        predictions.registry, "lesson", lambda number: lesson if int(number) == 4 else other
    )
    return made


def test_nothing_is_revealed_before_a_prediction(asked, tmp_path):
    note = lessons.reveal("04/number", tmp_path)
    assert "12" not in str(note) and "Three times" not in str(note)
    assert note.tone == "not attempted"
    assert not list(tmp_path.iterdir())
    for blank in (..., None, [1, ...]):
        assert lessons.predict("04/number", blank, tmp_path).tone == "not attempted"
    assert not list(tmp_path.iterdir())


def test_a_prediction_can_change_until_it_is_revealed(asked, tmp_path):
    lessons.predict("04/number", 5, tmp_path)
    lessons.predict("04/number", 7, tmp_path)
    note = lessons.reveal("04/number", tmp_path)
    assert note.tone == "wrong"
    assert note.sentence == ("you predicted 7, and it is 12. You added. Three times four.")
    stands = lessons.predict("04/number", 12, tmp_path)
    assert stands.sentence.endswith("your first prediction stands: 7.")
    assert lessons.reveal("04/number", tmp_path).sentence == note.sentence


@pytest.mark.parametrize(
    ("value", "tone", "said"),
    [
        (12, "right", "you predicted 12, and so it is. Three times four."),
        (11.0, "right", "you predicted 11, and so it is. Three times four."),
        (10.7, "wrong", "you predicted 10.7, and it is 12. Three times four."),
        (81, "wrong", "you predicted 81, and it is 12. You took a power. Three times four."),
        ("many", "wrong", "you predicted 'many', and it is 12. Three times four."),
    ],
)
def test_how_it_turned_out(asked, tmp_path, value, tone, said):
    lessons.predict("04/number", value, tmp_path)
    note = lessons.reveal("04/number", tmp_path)
    assert (note.tone, note.sentence) == (tone, said)


@pytest.mark.parametrize(
    "table",
    [[[1, 2, 3], [4, 5, 6]], np.array([[1.0, 2, 3], [4, 5, 6]]), tensor([[1, 2, 3], [4, 5, 6]])],
)
def test_tables_are_kept_and_compared(asked, tmp_path, table):
    lessons.predict("04/table", table, tmp_path)
    note = lessons.reveal("04/table", tmp_path)
    assert note.tone == "right"
    assert dict(note.details)["outcome:"] == "[[1 2 3]\n [4 5 6]]"


def test_they_come_back_in_order_and_only_those_made(asked, tmp_path):
    empty = lessons.look_back(4, tmp_path)
    assert str(empty) == "… lesson 04: no predictions are written down here."
    lessons.predict("04/table", [[0]], tmp_path)
    assert [note.title for note in lessons.look_back(4, tmp_path)] == ["04/table"]
    lessons.predict("04/number", 12, tmp_path)
    notes = lessons.look_back("04", tmp_path)
    assert [note.title for note in notes] == ["04/number", "04/table"]
    assert [note.tone for note in notes] == ["right", "wrong"]
    assert dict(notes[0].details)["asked:"] == "How many?"
    assert str(lessons.look_back(3, tmp_path)).startswith("… lesson 03")


def test_the_file_is_small_readable_json(asked, tmp_path):
    lessons.predict("04/table", np.array([[1.5, 2.0]]), tmp_path)
    lessons.predict("04/number", np.float32(7), tmp_path)
    lessons.reveal("04/table", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [predictions.FILE]
    assert json.loads((tmp_path / predictions.FILE).read_text()) == {
        "04/number": {"value": 7.0, "revealed": False},
        "04/table": {"value": [[1.5, 2.0]], "revealed": True},
    }


@pytest.mark.parametrize(
    "text", ["{half of", "[1, 2]", '{"04/number": 7}', '{"04/number": {}}', ""]
)
def test_a_damaged_file_is_named_and_left_alone(asked, tmp_path, text):
    path = tmp_path / predictions.FILE
    path.write_text(text)
    for function in (
        lambda: lessons.predict("04/number", 5, tmp_path),
        lambda: lessons.reveal("04/number", tmp_path),
        lambda: lessons.look_back(4, tmp_path),
    ):
        with pytest.raises(ValueError, match="does not hold predictions any more") as error:
            function()
        assert str(path) in str(error.value)
    assert path.read_text() == text


def test_an_old_file_keeps_the_predictions_of_other_lessons(asked, tmp_path):
    path = tmp_path / predictions.FILE
    path.write_text('{"98/gone": {"value": "x", "revealed": true}}')
    lessons.predict("04/number", 5, tmp_path)
    assert set(json.loads(path.read_text())) == {"98/gone", "04/number"}


def test_only_numbers_and_words_are_kept(asked, tmp_path):
    with pytest.raises(TypeError, match="predict: 04/number was given a dict: give a number"):
        lessons.predict("04/number", {"a": 1}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_names_get_a_suggestion(tmp_path):
    for function in (
        lambda n: lessons.predict(n, 1, tmp_path),
        lambda n: lessons.reveal(n, tmp_path),
    ):
        with pytest.raises(ValueError, match="no prediction '04/cornr': did you mean '04/corner'"):
            function("04/cornr")


def test_the_uncovered_corner_of_lesson_4(tmp_path):
    lessons.predict("04/corner", 0, tmp_path)
    note = lessons.reveal("04/corner", tmp_path)
    assert note.sentence.startswith("you predicted 0, and it is 18. You expected a zero")
    lessons.predict("04/back", "both", tmp_path)
    assert lessons.reveal("04/back", tmp_path).sentence.startswith(
        "you predicted 'both', and it is 'the size'. The name deconvolution"
    )
