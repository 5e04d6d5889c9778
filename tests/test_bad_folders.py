"""Folders of pictures that are no such thing, with every kind of name, and where runs cannot go."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from minisegnet.cli import errors
from minisegnet.data import Folder
from minisegnet.train import Trainer
from minisegnet.train.saving import saved_history
from tests.refusals import SHAPES, TINY, a_folder, a_run, command, put, refuse
from tests.test_bad_images import COLOUR


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(folder: str, *more: object) -> tuple[object, ...]:
    return ("train", "--data", folder, *TINY, "--out", "new", *more)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "(found: nothing)"),
        (lambda p: p.write_text("x"), "is a file"),
        (loop, "does not exist"),
        (lambda p: [(p / k).mkdir(parents=True) for k in ("images", "masks")], "no image files"),
        (lambda p: (p / "photos").mkdir(parents=True), "found: photos/"),
        (lambda p: put(p / "images" / "a.png", COLOUR), "found: images/"),
        (lambda p: put(p / "a.png", COLOUR), "found: a.png"),
        (lambda p: a_folder(p, ("only",)), "holds 1 pair of image and mask"),
        (lambda p: a_folder(p, a_mask=None), "1 file has no partner"),
        (lambda p: a_folder(p, a_image=None, b_image=None), "2 files have no partner"),
        (lambda p: [a_folder(p), put(p / "images" / "a.bmp", COLOUR)], "both go by the name 'a'"),
        (lambda p: [a_folder(p), (p / "labels").mkdir()], "two folders for masks"),
        (lambda p: [a_folder(p, a_image=None), loop(p / "images" / "a.png")], "no partner"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="links")
def test_what_is_no_data_set(capsys, make, words):
    make(Path("data"))
    line = refuse(capsys, *train("data"), words=("data", words))
    assert "; " in line or ": " in line[7:]


def test_scoring_on_what_is_no_data_set(capsys, tmp_path):
    a_run(tmp_path / "run")
    Path("empty").mkdir()
    for data, words in (("nowhere", "does not exist"), ("empty", "found: nothing"), ("", "--data")):
        refuse(capsys, "evaluate", "run", "--data", data, "--json", words=(words,))
    refuse(capsys, "predict", "run", "empty", "--out", "out", words=("empty holds no pictures",))
    refuse(capsys, "evaluate", "z" * 300, words=("zzz/config.json: File name too long",))


@pytest.mark.skipif(os.name != "posix", reason="permissions")
@pytest.mark.parametrize("what", ["data", "data/images", "data/masks", "data/masks/a.png"])
def test_unreadable(capsys, what):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    a_folder(Path("data"))
    mode = stat.S_IMODE(os.stat(what).st_mode)
    os.chmod(what, 0)
    try:
        code, out, err = command(capsys, *train("data"))
    finally:
        os.chmod(what, mode)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "ermission" in err
    assert not Path("new").exists()


@pytest.mark.parametrize("call", ["scandir", "listdir"])
def test_a_folder_that_the_system_refuses_to_list(capsys, monkeypatch, call):
    """As above, for root too: the system's refusal becomes one line that names the folder."""
    a_folder(Path("data"))
    honest = getattr(os, call)

    def refusing(path="."):
        if str(path).endswith("images"):
            raise PermissionError(13, "Permission denied", str(path))
        return honest(path)

    refused = False
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refusing)
        code, out, err = command(capsys, *train("data"))
        refused = code == 2
    if not refused:
        pytest.skip(f"this Python lists folders without os.{call}")
    assert out == ""
    assert "images: Permission denied: check the path and your permissions" in err
    assert not Path("new").exists()


NAMES = {
    "letters": ("ä ö", "日本語", "пример", "e\u0301", "🙂", "👩‍👩‍👧", "1e5", "٣"),
    "spaces": (" lead", "two  spaces", "trail ", "tab\there", "a\nb", "c\r\nd", "e\x0bf", "g\x1bh"),
    "shell": ("$(x)", "`y`", "; z", "-rf *", "it's", 'say "hi"', "back\\slash", "per%cent"),
    "markup": ("<b>", "&amp;", "{x}", "[y]", "%s", "\\n", "01", "1"),
}


@pytest.mark.skipif(os.name != "posix", reason="such names")
@pytest.mark.parametrize("kind", NAMES)
def test_names_of_every_kind(capsys, kind):
    folder = f"data of {NAMES[kind][0]}"
    a_folder(Path(folder), NAMES[kind])
    assert command(capsys, *train(folder))[::2] == (0, "")
    config = json.loads(Path("new/config.json").read_text())
    split = config["found"]["split"]
    assert len(split["train"]) + len(split["val"]) == 8
    assert command(capsys, "resume", "new", "--epochs", "2", "--quiet")[::2] == (0, "")
    code, _, err = command(capsys, "predict", "new", f"{folder}/images", "--out", "out")
    assert (code, err) == (0, "")
    assert len(list(Path("out").iterdir())) == 16


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_that_are_no_text(capsys):
    odd = os.fsdecode(b"\xff\xfe")
    a_folder(Path(odd), (odd, "b", "c", os.fsdecode(b"caf\xe9")))
    assert command(capsys, *train(odd))[::2] == (0, "")
    assert command(capsys, "resume", "new", "--epochs", "2", "--quiet")[::2] == (0, "")
    config = json.loads(Path("new/config.json").read_text())
    assert os.fsencode(config["data"]) == os.fsencode(str(Path.cwd())) + b"/\xff\xfe"
    assert odd in [*config["found"]["split"]["train"], *config["found"]["split"]["val"]]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_what_is_no_picture_in_a_good_folder_is_passed_over(capsys):
    root = a_folder(Path("data"))
    (root / "images" / "up").symlink_to("..")
    loop(root / "images" / "loop.png")
    os.mkfifo(root / "images" / "pipe.png")
    (root / "images" / "folder.png").mkdir()
    put(root / "images" / "notes.txt", "hello")
    put(root / "images" / ".hidden.png", COLOUR)
    put(root / "masks" / "Thumbs.db", b"\0")
    assert command(capsys, *train("data"))[::2] == (0, "")
    config = json.loads(Path("new/config.json").read_text())
    assert sorted(name for part in config["found"]["split"].values() for name in part) == [
        "a",
        "b",
        "c",
        "d",
    ]


def test_a_picture_that_goes_away_during_training(capsys, monkeypatch):
    """One line, and the epochs that were done are there to go on from."""
    a_folder(Path("data"))
    monkeypatch.setitem(Folder.__init__.__kwdefaults__, "cache_bytes", 0)
    finish = Trainer._finish_epoch

    def finish_and_remove(self, *args):
        finish(self, *args)
        for path in Path("data/images").iterdir():
            path.unlink()

    monkeypatch.setattr(Trainer, "_finish_epoch", finish_and_remove)
    code, _, err = command(capsys, *train("data", "--epochs", 2))
    assert code == 2
    assert err.startswith("error: ")
    assert "does not exist" in err
    assert err.count("\n") == 1
    assert not [path for path in Path("new").iterdir() if path.name.startswith(".")]
    assert len(saved_history("new")) == 1


# ---------------------------------------------------------------------------- where runs go


@pytest.mark.skipif(os.name != "posix", reason="links")
@pytest.mark.parametrize(
    "make, out",
    [
        (lambda: put(Path("taken"), "a file"), "taken"),
        (lambda: put(Path("taken"), "a file"), "taken/below"),
        (lambda: loop(Path("turn")), "turn"),
        (lambda: None, "y" * 300),
        (lambda: None, " "),
        (lambda: None, "nul\0"),
    ],
)
def test_where_no_run_can_be(capsys, make, out):
    make()
    refuse(capsys, "train", *SHAPES, "--out", out)


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_where_nothing_may_be_written(capsys):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    Path("locked").mkdir()
    os.chmod("locked", 0o500)
    try:
        refuse(capsys, "train", *SHAPES, "--out", "locked/new", words=("locked", "ermission"))
    finally:
        os.chmod("locked", 0o700)


def test_the_name_of_the_data_does_not_lead_out_of_runs(capsys):
    """Without --out the folder is named after the data, whatever these are called."""
    for number, name in enumerate(("..hidden", "-x", "ü b")):
        a_folder(Path(name), ("a", "b"))
        assert command(capsys, "train", f"--data={name}", *TINY)[0] == 0
        made = sorted(Path("runs").iterdir())
        assert len(made) == number + 1
        assert all(path.name.startswith("unet-") for path in made)
    assert {path.name for path in Path().iterdir()} == {*("runs", "..hidden", "-x", "ü b")}
    assert command(capsys, "train", "--data", ".", *TINY)[0] == 2


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--batch-size", "0"], "--batch-size is '0': give a whole number of at least 1"),
        (["--batch-size", "2.5"], "--batch-size is '2.5'"),
        (["--epochs", "-1"], "--epochs is '-1'"),
        (["--lr", "0"], "--lr is '0'"),
        (["--lr", "inf"], "--lr is 'inf'"),
        (["--size", "3"], "--size is '3'"),
        (["--classes", "1"], "--classes is '1'"),
        (["--seed", "2147483648"], "--seed is '2147483648'"),
        (["--model", "unett"], "did you mean 'unet'?"),
        (["--optimizer", "sdg"], "did you mean 'sgd'?"),
        (["--schedule", "cosin"], "did you mean 'cosine'?"),
        (["--augment", "mirrored"], "did you mean 'mirror'?"),
        (["--loss", "dyce"], "did you mean 'dice'?"),
        (
            ["--learning-rate", "1"],
            "no option --learning-rate in 'minisegnet train': did you mean '--lr'?",
        ),
        (["--learning_rate", "1"], "did you mean '--lr'?"),
        (["--batchsize", "1"], "did you mean '--batch-size'?"),
        (["--num-classes", "3"], "did you mean '--classes'?"),
        (["--output", "x"], "did you mean '--out'?"),
        (["--verbose"], "no option --verbose in 'minisegnet train': see minisegnet train --help"),
        (["--gpu"], "see minisegnet train --help"),
        (["--workers", "3"], "see minisegnet train --help"),
    ],
)
def test_wrong_options(capsys, arguments, words):
    refuse(capsys, "train", *arguments, words=(words,))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["explain", "sizes", "--to", "3"], "--from is missing"),
        (["explain", "sizes", "--from", "3"], "--to is missing"),
        (["predict", "run"], "IMAGE... is missing"),
        (["evaluate"], "DIR is missing"),
    ],
)
def test_what_is_missing_is_called_as_it_is_typed(capsys, arguments, words):
    line = refuse(capsys, *arguments, words=(words,))
    assert "from_" not in line
    assert "--help" in line


def test_names_of_arguments_are_given_as_they_are_typed(capsys):
    said = errors._describe(ValueError("num_classes=3: pass ignore_index=7 or batch_size=, x"))
    assert said == "--classes 3: pass --ignore-index 7 or --batch-size, x"
