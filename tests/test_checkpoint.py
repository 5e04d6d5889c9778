"""Saving and loading: exact round trips, and no way to lose or to misread a file."""

from __future__ import annotations

import errno
import json
import os
import pickle
import stat
import zipfile
from collections import OrderedDict, namedtuple
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from minisegnet.autograd import Tensor
from minisegnet.checkpoint import WriteError, load, save

DTYPES = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 float32 float64 complex64"


def assert_same(actual, expected):
    """Equal in type, structure, order of keys, dtype, shape and every bit of the values."""
    if isinstance(expected, np.ndarray):
        assert type(actual) is np.ndarray
        assert actual.dtype == expected.dtype and actual.shape == expected.shape
        assert actual.tobytes() == expected.tobytes()
        return
    assert type(actual) is type(expected)
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        assert [type(key) for key in actual] == [type(key) for key in expected]
        for key in expected:
            assert_same(actual[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same(one, other)
    else:
        assert repr(actual) == repr(expected)


def arrays():
    dtypes = st.sampled_from(DTYPES.split()).map(np.dtype)
    shapes = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    return dtypes.flatmap(lambda dtype: npst.arrays(dtype, shapes))


KEYS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        ["a", "b", "a.b", "a.0", "$tensor", "$", "__metadata__", "b~2", "ключ", "0", "\ud800"]
    ),
    st.integers(-3, 3),
)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=8)
)
STATES = st.recursive(
    st.one_of(PLAIN, arrays()),
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.lists(children, max_size=3).map(tuple),
        st.dictionaries(KEYS, children, max_size=5),
    ),
    max_leaves=15,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "last.safetensors"


# ------------------------------------------------------------------ round trips


@given(STATES)
@settings(max_examples=200, deadline=None)
def test_any_state_comes_back_as_it_was(tmp_path_factory, state):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    save(state, path)
    assert_same(load(path), state)


def test_state_of_a_training_run(path):
    rng = np.random.default_rng(7)
    state = {
        "epoch": 12,
        "best": {"mean_iou": 0.91234567890123456, "val_loss": float("nan")},
        "model": {
            "encoder.0.weight": rng.normal(size=(4, 3, 3, 2)).astype(np.float32),
            "norm.num_batches_tracked": np.array(17, np.int64),
        },
        "optimizer": {"betas": (0.9, 0.999), "state": {0: {"m": rng.normal(size=(2, 5))}, 1: {}}},
        "generator": np.random.default_rng(3).bit_generator.state,  # has integers of 128 bits
        "history": [{"epoch": 1, "train_loss": 0.7}, {"epoch": 2, "train_loss": float("inf")}],
        "finished": False,
        "note": None,
    }
    save(state, path)
    loaded = load(path)
    assert_same(loaded, state)
    generator = np.random.default_rng(0)
    generator.bit_generator.state = loaded["generator"]
    assert generator.random() == np.random.default_rng(3).random()


@pytest.mark.parametrize("dtype", DTYPES.split())
@pytest.mark.parametrize("order", ["<", ">"])
def test_arrays_in_any_memory_layout(path, dtype, order):
    values = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(np.dtype(dtype).newbyteorder(order))
    views = {
        "transposed": values.transpose(2, 0, 1),
        "reversed": values[:, ::-1, ::2],
        "fortran": np.asfortranarray(values[0]),
        "broadcast": np.broadcast_to(values[0, 0], (3, 4)),
        "scalar": values[1, 2, 3:].reshape(()),
        "empty": values[:, :0],
    }
    save(views, path)
    for name, loaded in load(path).items():
        assert loaded.dtype == np.dtype(dtype)
        assert loaded.shape == views[name].shape
        np.testing.assert_array_equal(loaded, views[name], err_msg=name)


def test_loaded_arrays_are_writable_and_independent_of_the_file(path):
    save({"w": np.array([[1, 2, 3], [4, 5, 6]])}, path)
    before = path.read_bytes()
    loaded = load(path)
    loaded["w"] += 10
    assert path.read_bytes() == before
    np.testing.assert_array_equal(load(path)["w"], [[1, 2, 3], [4, 5, 6]])
    save({"w": np.zeros(1)}, path)
    np.testing.assert_array_equal(loaded["w"], [[11, 12, 13], [14, 15, 16]])


def test_tensors_scalars_and_other_containers(path):
    Moments = namedtuple("Moments", "first second")
    save(
        {
            "tensor": Tensor(np.array([[1, 2, 3]], np.float32), requires_grad=True),
            "scalar": np.float32(0.1),
            "flag": np.bool_(True),
            "ordered": OrderedDict(b=1, a=2),
            "named": Moments(1, 2.5),
        },
        path,
    )
    assert_same(
        load(path),
        {
            "tensor": np.array([[1, 2, 3]], np.float32),
            "scalar": float(np.float32(0.1)),
            "flag": True,
            "ordered": {"b": 1, "a": 2},
            "named": (1, 2.5),
        },
    )


# ------------------------------------------------------------------ the file itself


def test_state_dict_is_a_plain_safetensors_file_for_other_tools(path):
    state = {
        "z.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a.bias": np.array([True, False]),
        "счёт": np.array(5),
    }
    save(state, path)
    others = safetensors.numpy.load_file(path)
    assert set(others) == set(state)
    for name, value in state.items():
        assert others[name].dtype == value.dtype
        np.testing.assert_array_equal(others[name], value)


def test_torch_reads_a_state_dict(path):
    torch_files = pytest.importorskip("safetensors.torch", exc_type=ImportError)
    save({"conv.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T}, path)
    read = torch_files.load_file(path)
    np.testing.assert_array_equal(read["conv.weight"].numpy(), [[0, 3], [1, 4], [2, 5]])


def test_files_of_other_tools_are_read_as_a_flat_dict(path):
    state = {"conv.weight": np.arange(6.0).reshape(3, 2), "n": np.array(3, np.uint8)}
    safetensors.numpy.save_file(state, path, metadata={"format": "pt"})
    loaded = load(path)
    assert set(loaded) == set(state)
    for name in state:
        assert_same(loaded[name], state[name])


def test_nested_names_in_the_file(path):
    save({"model": {"w": np.ones(2)}, "moments": [np.zeros(1), {7: np.ones(3)}]}, path)
    assert set(safetensors.numpy.load_file(path)) == {"model.w", "moments.0", "moments.1.7"}


def test_names_that_collide_or_are_reserved(path):
    def fresh():
        fresh.count += 1
        return np.arange(fresh.count)

    fresh.count = 0
    state = {
        "a": {"b": fresh(), "": {"c": fresh()}},
        "a.b": fresh(),
        "a.b~2": fresh(),
        "a..c": fresh(),
        "__metadata__": fresh(),
        "": fresh(),
        0: fresh(),
        "0": fresh(),
        "\ud800": fresh(),  # half a surrogate pair: not to be written as UTF-8
        "\\ud800": fresh(),
        "$tensor": {"$tensor": fresh()},
    }
    save(state, path)
    assert_same(load(path), state)
    assert len(safetensors.numpy.load_file(path)) == fresh.count


def test_equal_states_give_equal_bytes(tmp_path):
    state = {"w": np.arange(3.0), "b": {"c": np.arange(4), "d": [1, "x"]}, "e": np.zeros((2, 0))}
    for name in ("one", "two"):
        save(state, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


# ------------------------------------------------------------------ what save refuses


class Layer:
    def state_dict(self):
        return {}


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ({"a": [1, {2, 3}]}, r"state\['a'\]\[1\] is of type set"),
        ({"net": Layer()}, r"state\['net'\] is of type Layer; store its \.state_dict\(\)"),
        ({"a": {1.5: 2}}, r"state\['a'\] has the key 1\.5 of type float"),
        ({"a": {None: 2}}, r"key None of type NoneType"),
        ({"names": np.array(["x"])}, r"state\['names'\] is an array of dtype <U1"),
        ([np.array([object()])], r"state\[0\] is an array of dtype object"),
        ({"b": b"raw"}, r"state\['b'\] is of type bytes"),
        ({"t": np.zeros(2, np.complex128)}, r"complex128"),
    ],
)
def test_states_that_cannot_be_stored(path, state, match):
    save({"old": 1}, path)
    with pytest.raises(TypeError, match=match):
        save(state, path)
    assert load(path) == {"old": 1}


def test_state_that_contains_itself(path):
    state = {}
    state["me"] = state
    with pytest.raises(ValueError, match="contains itself"):
        save(state, path)
    assert not path.exists()


# ------------------------------------------------------------------ what load refuses


def refuses(path, *words):
    """load must raise a ValueError that names the file and says each of ``words``."""
    with pytest.raises(ValueError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith("load: ") and str(path) in message
    for word in words:
        assert word in message, message
    assert len(message.splitlines()) == 1


def test_every_truncation_is_refused(path):
    save({"epoch": 3, "w": np.arange(5.0), "b": {"c": np.zeros((2, 3), np.uint8)}}, path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        refuses(path, "is empty" if size == 0 else "cut off")
    for extra in (b"x", bytes(100)):
        path.write_bytes(whole + extra)
        refuses(path, "damaged")
    path.write_bytes(whole)
    assert load(path)["epoch"] == 3


def test_truncation_says_how_much_is_missing(path):
    save({"w": np.arange(50.0)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-123])
    refuses(path, f"holds {len(whole) - 123} of at least {len(whole)} bytes")


def test_complete_but_wrong_header_is_damaged_and_not_cut_off(path):
    save({"w": np.arange(6, dtype=np.int32)}, path)
    path.write_bytes(path.read_bytes().replace(b'"shape":[6]', b'"shape":[5]'))
    refuses(path, "is damaged", "copy it again")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_damage_is_refused_or_harmless(tmp_path_factory, data):
    """A flipped byte in the header never shows as anything but a ValueError or a state."""
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    save({"epoch": 3, "w": np.arange(5, dtype=np.int16), "t": (1, {"$x": [None]})}, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    problem = str(path)
    try:
        load(path)
    except ValueError as error:
        problem = str(error)
    assert str(path) in problem


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_garbage_is_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "garbage.safetensors"
    path.write_bytes(content)
    refuses(path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_never_opened(path, protocol):
    path.write_bytes(pickle.dumps({"w": Bomb()}, protocol))
    refuses(path, "pickle", "safetensors.torch.save_file")


def test_zip_files_are_never_opened(path):
    with zipfile.ZipFile(path, "w") as archive:  # what torch.save writes
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    refuses(path, "zip archive", "never unpickled", "safetensors.torch.save_file")


def test_other_formats_are_named(path):
    np.save(path.with_suffix(".npy"), np.arange(3))
    refuses(path.with_suffix(".npy"), "NumPy .npy file", "numpy.load")
    np.savez(path.with_suffix(".npz"), w=np.arange(3))
    refuses(path.with_suffix(".npz"), "zip archive")
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refuses(path, "HDF5")
    path.write_text("epoch,train_loss\n1,0.5\n")
    refuses(path, "not a safetensors file")


def test_missing_files_and_folders(tmp_path):
    refuses(tmp_path / "no" / "model.safetensors", "there is no folder")
    refuses(tmp_path / "model.safetensors", "does not exist")
    save({}, tmp_path / "last.safetensors")
    refuses(tmp_path / "model.safetensors", "does not exist; its folder holds last.safetensors")
    refuses(tmp_path, "is a folder; its folder holds last.safetensors")


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs a device file")
def test_devices_are_neither_read_nor_replaced():
    refuses(Path("/dev/null"), "not an ordinary file")
    with pytest.raises(WriteError, match="not an ordinary file"):
        save({}, "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_unreadable_file(path, monkeypatch):
    save({}, path)

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(safetensors, "safe_open", refuse)
    refuses(path, "Permission denied", "permissions")


@pytest.mark.parametrize(
    "description",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '"text"',
        '{"version": 1}',
        '{"state": {}}',
        '{"version": 2, "state": {"$tensor": "w"}}',
        '{"version": 1, "state": 3}',
        '{"version": 1, "state": {"$tensor": "v"}}',
        '{"version": 1, "state": {"$tensor": ["w"]}}',
        '{"version": 1, "state": [{"$tensor": "w"}, {"$tensor": "w"}]}',
        '{"version": 1, "state": {"$tensor": "w", "x": 1}}',
        '{"version": 1, "state": [{"$tensor": "w"}, {"$what": []}]}',
        '{"version": 1, "state": [{"$tensor": "w"}, {"$tuple": 3}]}',
        '{"version": 1, "state": [{"$tensor": "w"}, {"$dict": [[1]]}]}',
        '{"version": 1, "state": [{"$tensor": "w"}, {"$dict": [[[], 2]]}]}',
        '{"version": 1, "state": [{"$tensor": "w"}, ' + "[" * 5000 + "]" * 5001 + "}",
    ],
)
def test_damaged_descriptions(path, description):
    safetensors.numpy.save_file({"w": np.ones(2)}, path, metadata={"minisegnet": description})
    refuses(path, "damaged description", "another checkpoint")


def safetensors_of(header, content):
    """A safetensors file, byte by byte."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def test_types_that_numpy_lacks(path):
    header = {"w": {"dtype": "F8_E4M3", "shape": [3], "data_offsets": [0, 3]}}
    path.write_bytes(safetensors_of(header, bytes(3)))
    refuses(path, "NumPy does not have", "float32")


def test_brain_floats_become_float32(path):
    """Its 16 bits are the first 16 of float32: 1.5 is 3FC0, -2 is C000, 3.140625 is 4049."""
    header = {
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "w": {"dtype": "BF16", "shape": [3, 1], "data_offsets": [4, 10]},
        "none": {"dtype": "BF16", "shape": [0, 2], "data_offsets": [10, 10]},
    }
    path.write_bytes(safetensors_of(header, bytes(4) + bytes.fromhex("C03F 00C0 4940")))
    found = load(path)
    assert found["w"].dtype == np.float32
    assert found["w"].tolist() == [[1.5], [-2.0], [3.140625]]
    assert (found["a"].tolist(), found["none"].shape) == ([0.0], (0, 2))


def test_arrays_and_tensors_of_any_library(backend, path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    save({"array": backend.asarray(values).T, "tensor": [backend.tensor(values)]}, path)
    assert_same(load(path), {"array": np.ascontiguousarray(values.T), "tensor": [values]})
