"""Writing a file: the old content or the new one, whatever happens, and no litter."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from minisegnet import checkpoint
from minisegnet.checkpoint import WriteError, atomic_write, load, save


def test_atomic_write_of_text_and_bytes(tmp_path):
    with atomic_write(tmp_path / "history.csv", newline="") as file:
        file.write("эпоха,loss\r\n")
        assert [entry.name for entry in tmp_path.iterdir()] == [".history.csv.tmp"]
    assert (tmp_path / "history.csv").read_bytes() == "эпоха,loss\r\n".encode()
    with atomic_write(str(tmp_path / "curves.png"), "wb") as file:
        file.write(b"\x89PNG\n")
    assert (tmp_path / "curves.png").read_bytes() == b"\x89PNG\n"
    with pytest.raises(ValueError, match="'a'"), atomic_write(tmp_path / "x", "a"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["curves.png", "history.csv"]


@pytest.mark.skipif(os.name != "posix", reason="umask")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_a_normal_file(tmp_path, mask):
    path = tmp_path / "last.safetensors"
    before = os.umask(mask)
    try:
        save({"a": 1}, path)
        save({"a": 2}, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_links_are_followed_but_not_the_temporary_name(tmp_path):
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "a.safetensors", tmp_path / "a.safetensors"
    link.symlink_to(real)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "disk" / ".a.safetensors.tmp").symlink_to(victim)
    save({"a": 1}, link)
    assert link.is_symlink() and load(real) == {"a": 1}
    assert victim.read_text() == "precious"
    assert os.listdir(tmp_path / "disk") == ["a.safetensors"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError, ZeroDivisionError])
def test_any_error_keeps_the_old_file_and_leaves_no_other(tmp_path, error):
    path = tmp_path / "config.json"
    path.write_text("old")

    def interrupted():
        with atomic_write(path) as file:
            file.write("new and incomplete")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["config.json"]


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk(tmp_path, monkeypatch, call):
    path = tmp_path / "last.safetensors"
    save({"epoch": 1}, path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full_disk)
        with pytest.raises(OSError, match="No space left on device: free some space") as caught:
            save({"epoch": 2, "w": np.zeros(1000)}, path)
    assert isinstance(caught.value, WriteError)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)
    assert str(path) in str(caught.value) and "[Errno" not in str(caught.value)
    assert load(path) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["last.safetensors"]


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on file sizes")
def test_a_write_that_the_system_stops_halfway(tmp_path):
    """A limit on the file size stops a real write() in the middle, as a full disk does."""
    path = tmp_path / "last.safetensors"
    save({"epoch": 1}, path)
    code = f"""
        import resource, signal, numpy as np
        from minisegnet.checkpoint import save
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            save({{"w": np.zeros(10_000)}}, {str(path)!r})
        except OSError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert str(path) in done.stdout and "File too large" in done.stdout, done.stderr
    assert load(path) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["last.safetensors"]


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(WriteError, match=r"create the folder .*runs' first"):
        save({}, tmp_path / "runs" / "a.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match="not an ordinary file"):
        save({}, tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_errors_of_the_block_are_not_reworded(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"image\.png"),
        atomic_write(tmp_path / "a") as file,
    ):
        file.write(Path("image.png").read_text())
    assert os.listdir(tmp_path) == []


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    path = tmp_path / "a.txt"

    def overtaken():
        with atomic_write(path) as slow:
            slow.write("first half of the slow one, ")
            with atomic_write(path) as fast:
                fast.write("complete")
            slow.write("second half")

    with pytest.raises(WriteError, match="another program"):
        overtaken()
    assert path.read_text() == "complete"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_kill_in_the_middle_of_a_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "last.safetensors"
    save({"epoch": 1, "w": np.arange(7)}, path)
    code = f"""
        import sys, time
        from minisegnet.checkpoint import atomic_write
        with atomic_write({str(path)!r}, "wb") as file:
            file.write(b"half of a checkpoint")
            file.flush()
            print("writing", flush=True)
            time.sleep(60)
    """
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "writing\n"
        process.kill()
        process.wait(60)
        process.stdout.close()
        state = load(path)
        assert state["epoch"] == 1
        np.testing.assert_array_equal(state["w"], np.arange(7))
        assert sorted(os.listdir(tmp_path)) == [".last.safetensors.tmp", "last.safetensors"]
    save({"epoch": 2}, path)
    assert load(path) == {"epoch": 2}
    assert os.listdir(tmp_path) == ["last.safetensors"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_kill_at_random_moments_of_endless_saving(tmp_path):
    path = tmp_path / "last.safetensors"
    code = f"""
        import numpy as np
        from minisegnet.checkpoint import save
        for epoch in range(10**9):
            save({{"epoch": epoch, "w": np.full(300_000, epoch)}}, {str(path)!r})
            if epoch == 0:
                print("started", flush=True)
    """
    for delay in (0.011, 0.037, 0.0, 0.052):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "started\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(delay)
        process.kill()
        process.wait(60)
        process.stdout.close()
        state = load(path)
        assert state["w"].shape == (300_000,) and (state["w"] == state["epoch"]).all()
        assert set(os.listdir(tmp_path)) <= {".last.safetensors.tmp", "last.safetensors"}


def test_content_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        checkpoint.os,
        "fsync",
        lambda fd: (
            order.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else os.fstat(fd).st_size),
            fsync(fd),
        ),
    )
    monkeypatch.setattr(
        checkpoint.os, "replace", lambda *names: (order.append("rename"), replace(*names))
    )
    with atomic_write(tmp_path / "a.bin", "wb") as file:
        file.write(b"seven b")
    assert order[:2] == [7, "rename"]
    if os.name == "posix":
        assert order[2:] == ["folder"]
