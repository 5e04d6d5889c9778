"""Broken off at any moment, by force, by Ctrl-C or by a full disk, a training loses nothing.

``python -m tests.kills`` kills many more.
"""

from __future__ import annotations

import os
import random
import runpy
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from minisegnet import checkpoint
from minisegnet.cli import main
from tests import kills

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs kill -9 and Ctrl-C as signals")
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a run that nobody touches holds, and its seconds."""
    return kills.undisturbed(tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("writing", ["model.safetensors", "last.safetensors", ""])
def test_killed_and_taken_up_it_is_the_run_that_nobody_touched(tmp_path, whole, writing):
    expected, seconds = whole
    folder = tmp_path / "run"
    process = kills.start("train", *kills.OPTIONS, "--out", str(folder), slow=bool(writing))
    if writing:  # the first epoch's files, not those of the beginning
        begun = (folder / "last.safetensors", folder / "history.csv")
        while not all(path.exists() for path in begun) and process.poll() is None:
            time.sleep(0.005)
    after = 60 if writing else random.Random(5).uniform(0.3, 0.8) * seconds
    broken = kills.break_off(process, after, folder, writing)
    assert broken.code == -signal.SIGKILL
    assert broken.moment != "too late"
    kills.check_folder(folder, kills.last_reported(broken.out))
    kills.finish(*kills.take_up(folder))
    kills.same(expected, kills.result(folder))


def test_the_check_notices_what_a_kill_must_not_leave(tmp_path, whole):
    """The checker is a test too: half a file, a lost epoch, a second leftover."""
    folder = tmp_path / "run"
    kills.finish("train", *kills.OPTIONS, "--out", str(folder))
    assert kills.check_folder(folder, 4) == 4
    with pytest.raises(AssertionError, match="5 epochs were reported and 4 saved"):
        kills.check_folder(folder, 5)
    (folder / ".a.tmp").touch()
    (folder / ".b.tmp").touch()
    with pytest.raises(AssertionError):
        kills.check_folder(folder, 4)
    (folder / ".a.tmp").unlink()
    (folder / ".b.tmp").unlink()
    text = (folder / "history.csv").read_text()
    (folder / "history.csv").write_text(text.replace("\n2,0.", "\n2,1.", 1))
    with pytest.raises(AssertionError):
        kills.same(whole[0], kills.result(folder))
    (folder / "history.csv").write_text(text[:-30])
    with pytest.raises(AssertionError):
        kills.check_folder(folder, 4)
    (folder / "history.csv").write_text(text)
    whole_file = (folder / "last.safetensors").read_bytes()
    (folder / "last.safetensors").write_bytes(whole_file[:-9])
    with pytest.raises(ValueError, match="cut off"):
        kills.check_folder(folder, 4)


# ---------------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize(
    "victim",
    [
        *("numpy", "minisegnet.kernels.correlate", "minisegnet.checkpoint"),
        *("click", "minisegnet.train.loop"),
    ],
)
@pytest.mark.parametrize("way", ["module", "script"])
def test_ctrl_c_while_the_program_is_being_read(victim, way):
    """Half a second goes by before the first line of the command line itself."""
    if way == "script" and victim != "minisegnet.kernels.correlate":
        pytest.skip("one is enough")
    begin = {
        "module": 'sys.argv = ["-m", "models"]\n'
        'runpy.run_module("minisegnet", run_name="__main__", alter_sys=True)',
        "script": 'sys.argv = ["/usr/local/bin/minisegnet", "models"]\n'
        "from minisegnet.cli import main\nsys.exit(main())",
    }[way]
    program = f"""
import runpy, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {victim!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
{begin}
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_a_library_that_is_interrupted_says_so_as_always():
    program = """
import sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "minisegnet.functional":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
try:
    import minisegnet
except KeyboardInterrupt:
    print("caught")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("caught\n", "")


def test_ctrl_c_at_once(tmp_path):
    """Pressed while a real program starts; a signal between two imports counts as well."""
    for delay in (0.05, 0.2):
        process = kills.start("train", *kills.OPTIONS, "--out", str(tmp_path / "run"))
        broken = kills.break_off(process, delay, tmp_path / "run", how=signal.SIGINT)
        assert (broken.code, broken.err) == (130, ""), broken


def test_ctrl_c_twice_is_ctrl_c(tmp_path, whole):
    folder = tmp_path / "run"
    process = kills.start("train", *kills.OPTIONS, "--out", str(folder), slow=True)
    while not (folder / "model.safetensors").exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    broken = kills.break_off(process, 0.12, folder, how=signal.SIGINT)
    assert (broken.code, broken.err) == (130, ""), broken
    kills.check_folder(folder, kills.last_reported(broken.out))
    kills.finish(*kills.take_up(folder))
    kills.same(whole[0], kills.result(folder))


# ---------------------------------------------------------------------------- a full disk


def test_a_disk_that_fills_up_leaves_the_last_good_checkpoint(tmp_path, whole, capsys):
    """Files may grow to 20 kB and no further: the system itself stops the write in the middle."""
    folder = tmp_path / "run"
    program = textwrap.dedent(
        """
        import resource, signal, sys
        from minisegnet import checkpoint
        from minisegnet.cli import main
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        save, calls = checkpoint.save, []
        def limited(state, path):
            calls.append(path)
            if len(calls) == 6:  # the weights of the third epoch, or its checkpoint
                resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
            save(state, path)
        checkpoint.save = limited
        sys.exit(main())
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "train", *kills.OPTIONS, "--out", str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: cannot write ")
    assert "File too large" in done.stderr
    assert "the file that was there is untouched" in done.stderr
    assert done.stderr.count("\n") == 1
    saved = kills.check_folder(folder, kills.last_reported(done.stdout))
    assert saved >= 1
    assert not list(folder.glob(".*"))
    assert main(["resume", str(folder), "--quiet"]) == 0
    kills.same(whole[0], kills.result(folder))


def test_a_full_disk_is_no_fault_of_the_user(tmp_path, monkeypatch, capsys):
    """ENOSPC from the first byte on: exit code 1, what to do, and nothing half written."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint.os, "fsync", full)
    assert main(["train", *kills.OPTIONS, "--out", "run"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: cannot write 'run/config.json': No space left on device: free")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["run"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["models"], ["train", "--help"], ["doctor", "--json"]])
def test_output_that_nobody_can_take_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "minisegnet", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_program_is_the_command_line():
    assert runpy.run_module("minisegnet", run_name="not main")["main"] is main
