"""Modules: finding, naming, saving, moving and showing state."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor


class Net(nn.Module):
    """Own parameters, buffers and children, in mixed order."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, (3, 2))
        self.scale = nn.Parameter(np.full((4, 1, 1), 2.0, dtype=np.float32))
        self.register_buffer("offset", np.array([0.5], dtype=np.float32))
        self.register_buffer("scratch", np.zeros(7), persistent=False)
        self.rest = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.last = nn.ModuleList([nn.ConvTranspose2d(4, 2, 3, bias=False)])

    def forward(self, x):
        x = self.rest(self.first(x) * self.scale + self.offset)
        return self.last[0](x)


NAMES = [
    "first.weight",
    "first.bias",
    "scale",
    "offset",
    "rest.0.weight",
    "rest.0.bias",
    "rest.0.running_mean",
    "rest.0.running_var",
    "rest.0.num_batches_tracked",
    "last.0.weight",
]
BUFFERS = ["offset", "scratch", *NAMES[6:9]]


# ---------------------------------------------------------------------------- finding state


def test_names_are_in_order_of_definition():
    net = Net()
    assert list(net.state_dict()) == NAMES
    parameters = [name for name in NAMES if name not in BUFFERS]
    assert [name for name, _ in net.named_parameters()] == parameters
    assert [name for name, _ in net.named_buffers()] == BUFFERS
    assert [p.shape for p in net.parameters()] == [
        (4, 3, 3, 2),
        (4,),
        (4, 1, 1),
        (4,),
        (4,),
        (4, 2, 3, 3),
    ]
    assert [b.shape for b in net.buffers()] == [(1,), (7,), (4,), (4,), ()]
    assert net.num_parameters() == 72 + 4 + 4 + 4 + 4 + 72
    net.first.requires_grad_(False)
    assert net.num_parameters(trainable_only=True) == 4 + 4 + 4 + 72
    assert net.num_parameters() == 160


def test_modules_are_found_once_parents_first():
    net = Net()
    assert [name for name, _ in net.named_children()] == ["first", "rest", "last"]
    assert list(net.children()) == [net.first, net.rest, net.last]
    assert [name for name, _ in net.named_modules()] == [
        "",
        "first",
        "rest",
        "rest.0",
        "rest.1",
        "rest.2",
        "last",
        "last.0",
    ]
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen.index("ReLU") < seen.index("Sequential") < seen.index("Net")
    assert len(seen) == 8


def test_what_is_shared_counts_once_and_is_saved_at_every_place():
    shared = nn.Conv2d(2, 2, 1)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    net.tied = shared.weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    assert net.num_parameters() == 6
    assert len(net) == 3
    assert len(list(net.modules())) == 3
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias", "tied"]
    net.double()
    assert net[0].weight is net[2].weight is net.tied
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 4))
    np.testing.assert_array_equal(net(x).numpy(), shared(F.relu(shared(x))).numpy())


def test_attributes_that_are_missing_say_so():
    net = Net()
    with pytest.raises(
        AttributeError, match=r"Net has no attribute 'frist': did you mean 'first'\?"
    ):
        net.frist  # noqa: B018
    with pytest.raises(AttributeError, match=r"Conv2d has no attribute 'wieght': .*'weight'"):
        net.first.wieght  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute 'zzzzz'$"):
        net.zzzzz  # noqa: B018
    assert getattr(net, "zzzzz", 3) == 3
    assert not hasattr(net, "weight")


def test_assigning_state_too_early_or_in_a_list_says_what_to_do():
    class TooEarly(nn.Module):
        def __init__(self, value):
            self.value = value
            super().__init__()

    for value in (nn.Parameter([1.0]), nn.ReLU()):
        with pytest.raises(AttributeError, match=r"TooEarly.value .* super\(\).__init__\(\) first"):
            TooEarly(value)
    TooEarly(3)

    class BufferTooEarly(nn.Module):
        def __init__(self):
            self.register_buffer("mean", np.zeros(3))

    with pytest.raises(AttributeError, match=r"buffer 'mean' .* super\(\).__init__\(\) first"):
        BufferTooEarly()
    net = Net()
    for value in ([nn.ReLU()], (nn.Parameter([1.0]),), {"a": nn.ReLU()}):
        with pytest.raises(TypeError, match=r"Net.layers is a .*nn.ModuleList"):
            net.layers = value
    net.sizes = [1, 2, 3]


def test_a_parameter_cannot_turn_into_something_else():
    net = Net()
    with pytest.raises(TypeError, match=r"Net.scale is a parameter .* Tensor.*nn.Parameter"):
        net.scale = net.scale * 2
    net.scale = nn.Parameter(np.zeros((4, 1, 1)))
    assert [name for name, _ in net.named_parameters()][2] == "scale"
    net.scale = None
    assert "scale" not in net.state_dict()
    with pytest.raises(AttributeError, match="already has an attribute 'first'"):
        net.register_buffer("first", np.zeros(3))
    with pytest.raises(AttributeError, match="already has an attribute 'forward'"):
        net.register_buffer("forward", np.zeros(3))
    with pytest.raises(TypeError, match="buffer 'words' is a str"):
        net.register_buffer("words", "abc")
    net.register_buffer("offset", None)
    assert net.offset is None
    assert "offset" not in net.state_dict()


def test_parameters_are_leaves_of_floats():
    assert nn.Parameter([[1.0, 2.0]]).dtype == np.float32
    assert nn.Parameter(np.zeros(3)).dtype == np.float64
    assert nn.Parameter(np.zeros(3)).requires_grad
    assert not nn.Parameter(np.zeros(3), requires_grad=False).requires_grad
    with pytest.raises(TypeError, match="int64"):
        nn.Parameter(np.zeros(3, dtype=np.int64))


def test_forward_has_to_be_defined():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no forward"):
        Empty()(1)


def test_a_subclass_without_init_works():
    class Double(nn.Module):
        def forward(self, x, factor=2):
            return x * factor

    assert Double()(3) == 6
    assert nn.Sequential(Double(), Double())(3) == 12
    assert Double()(3, factor=5) == 15


def test_repr_is_nested_like_that_of_pytorch():
    assert repr(Net()) == (
        "Net(\n"
        "  (first): Conv2d(3, 4, kernel_size=(3, 2), stride=(1, 1))\n"
        "  (rest): Sequential(\n"
        "    (0): BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "    (1): ReLU()\n"
        "    (2): Dropout(p=0.5)\n"
        "  )\n"
        "  (last): ModuleList(\n"
        "    (0): ConvTranspose2d(4, 2, kernel_size=(3, 3), stride=(1, 1), bias=False)\n"
        "  )\n"
        ")"
    )
    assert repr(nn.Sequential()) == "Sequential()"


def test_repr_shows_options_that_are_not_the_default():
    layer = nn.Conv2d(
        4, 6, 3, 2, padding=(1, 0), dilation=2, groups=2, bias=False, padding_mode="reflect"
    )
    assert repr(layer) == (
        "Conv2d(4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 0), padding_mode='reflect', "
        "dilation=(2, 2), groups=2, bias=False)"
    )
    assert "padding='same'" in repr(nn.Conv2d(4, 6, 3, padding="same"))


# ---------------------------------------------------------------------------- modes and gradients


def test_train_and_eval_reach_everything():
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.train() is net
    assert all(m.training for m in net.modules())
    net.train(False)
    assert not any(m.training for m in net.modules())


def test_zero_grad_and_freezing(backend):
    net = Net().to(backend.device)
    x = backend.tensor(np.random.default_rng(0).standard_normal((2, 3, 5, 6)).astype(np.float32))
    assert net.requires_grad_(False) is net
    assert not net(x).requires_grad
    net.requires_grad_()
    net(x).sum().backward()
    assert all(p.grad is not None and p.grad.dtype == np.float32 for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_a_copy_is_independent():
    net = Net()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(nn.Sequential(net.first)))):
        first = twin.first if isinstance(twin, Net) else twin[0]
        np.testing.assert_array_equal(first.weight.numpy(), net.first.weight.numpy())
        first.weight.data += 1
        assert not np.array_equal(first.weight.numpy(), net.first.weight.numpy())


# ---------------------------------------------------------------------------- moving


def test_to_moves_parameters_gradients_and_buffers(backend):
    net = Net()
    before = net.state_dict()
    parameters = list(net.parameters())
    parameters[0].grad = np.ones((4, 3, 3, 2), dtype=np.float32)
    assert net.to(backend.device, "float64") is net
    assert next(net.parameters()) is parameters[0]
    assert {p.device for p in parameters} == {backend.device}
    assert {p.dtype for p in parameters} == {np.dtype(np.float64)}
    assert parameters[0].grad.dtype == np.float64
    assert backend.numpy(parameters[0].grad).sum() == 72
    assert net.rest[0].num_batches_tracked.dtype == np.int64
    state = net.state_dict()
    for name, value in before.items():
        assert type(state[name]) is type(backend.asarray(value))
        np.testing.assert_array_equal(backend.numpy(state[name]), value)
    x = backend.tensor(np.random.default_rng(0).standard_normal((2, 3, 5, 6)))
    assert net(x).dtype == np.float64
    assert net.float().to("cpu").scale.dtype == np.float32
    assert net.scale.device == "cpu"


def test_to_takes_a_dtype_alone_and_checks_first():
    net = Net()
    assert net.to("float64").scale.dtype == np.float64
    assert net.to(np.float32).scale.dtype == np.float32
    assert net.double().offset.dtype == np.float64
    with pytest.raises(ValueError, match="int64 is not a floating dtype"):
        net.to("int64")
    with pytest.raises(ValueError, match="tpu"):
        net.to("tpu", np.float32)
    assert net.scale.dtype == np.float64


# ---------------------------------------------------------------------------- saving and loading


def test_a_state_is_a_snapshot(backend):
    net = Net().to(backend.device)
    state = net.state_dict()
    old = {name: backend.numpy(value).copy() for name, value in state.items()}
    for parameter in net.parameters():
        parameter.data += 1
    net(backend.tensor(np.ones((1, 3, 5, 6), dtype=np.float32)))
    for name, value in state.items():
        np.testing.assert_array_equal(backend.numpy(value), old[name])


def test_loading_copies_into_the_arrays_there_are(backend):
    source = Net().double()
    random = np.random.default_rng(3)
    for _, value in (*source.named_parameters(), *source.named_buffers()):
        array = value.data if isinstance(value, Tensor) else value
        array[...] = random.integers(1, 9, array.shape)
    target = Net().to(backend.device)
    arrays = [p.data for p in target.parameters()] + list(target.buffers())
    assert target.load_state_dict(source.state_dict()) == ([], [])
    now = [p.data for p in target.parameters()] + list(target.buffers())
    assert all(a is b for a, b in zip(arrays, now, strict=True))
    for name, value in target.state_dict().items():
        assert value.dtype == (np.int64 if name.endswith("tracked") else np.float32)
        np.testing.assert_array_equal(backend.numpy(value), source.state_dict()[name])
    # Tensors, device arrays and scalars do as well.
    state = {k: backend.tensor(backend.numpy(v)) for k, v in target.state_dict().items()}
    state["rest.0.num_batches_tracked"] = np.int64(5)
    host = Net()
    host.load_state_dict(state)
    assert int(host.rest[0].num_batches_tracked) == 5
    np.testing.assert_array_equal(host.scale.numpy(), source.scale.numpy())


def test_loading_what_does_not_fit_changes_nothing():
    net = Net()
    before = net.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    state["first.weight"] = state["first.weight"].transpose(0, 1, 3, 2)
    state["rest.0.bias"] = np.zeros(5)
    state["frist.bias"] = state.pop("first.bias")
    with pytest.raises(ValueError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert message.startswith("load_state_dict: the state does not fit Net: ")
    assert "first.weight is (4, 3, 2, 3) in the state and (4, 3, 3, 2) here" in message
    assert "rest.0.bias is (5,) in the state and (4,) here" in message
    assert "missing: first.bias" in message
    assert "unexpected: frist.bias" in message
    assert "\n" not in message
    with pytest.raises(ValueError, match=r"shapes differ: first.weight"):
        net.load_state_dict(state, strict=False)
    del state["first.weight"], state["rest.0.bias"]
    with pytest.raises(ValueError, match=r"missing: first.weight, first.bias, rest.0.bias"):
        net.load_state_dict(state)
    bad = {**before, "scale": "words"}
    with pytest.raises(TypeError, match="'scale' is a str"):
        net.load_state_dict(bad)
    with pytest.raises(TypeError, match="'scale' is of dtype complex128"):
        net.load_state_dict({**before, "scale": np.zeros((4, 1, 1), dtype=complex)})
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["first.weight", "first.bias", "rest.0.bias"]
    assert result.unexpected_keys == ["frist.bias"]
    np.testing.assert_array_equal(net.scale.numpy(), before["scale"] + 1)
    np.testing.assert_array_equal(net.first.weight.numpy(), before["first.weight"])


def test_long_lists_of_names_are_cut():
    net = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(30)))
    with pytest.raises(ValueError, match=r"missing: 0.weight, .*19.weight and 10 more\. "):
        net.load_state_dict({})


# ---------------------------------------------------------------------------- containers


def test_sequential_indexing():
    layers = [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.Sigmoid()]
    net = nn.Sequential(*layers)
    assert list(net) == layers
    assert len(net) == 4
    assert net[0] is layers[0]
    assert net[-1] is layers[3]
    part = net[2:]
    assert isinstance(part, nn.Sequential)
    assert list(part.state_dict()) == ["2.weight", "2.bias"]
    x = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    np.testing.assert_array_equal(net(x).numpy(), part(net[:2](x)).numpy())
    assert net.append(nn.Tanh()) is net
    net[1] = nn.Identity()
    assert [type(m).__name__ for m in net] == ["Linear", "Identity", "Linear", "Sigmoid", "Tanh"]
    with pytest.raises(IndexError, match="index 5 is out of range for 5 modules"):
        net[5]
    with pytest.raises(TypeError, match=r"Sequential: entry 0 .*nn.ReLU\(\)"):
        nn.Sequential(F.relu)
    named = nn.Sequential({"down": layers[0], "relu": layers[1]})
    assert list(named.state_dict()) == ["down.weight", "down.bias"]
    assert named.down is layers[0]
    assert list(named[:1].state_dict()) == ["down.weight", "down.bias"]


def test_module_list():
    layers = nn.ModuleList(nn.Linear(n, 1) for n in (2, 3))
    layers.append(nn.Linear(4, 1)).extend([nn.ReLU()])
    layers.insert(1, nn.Linear(9, 1))
    assert [getattr(m, "in_features", 0) for m in layers] == [2, 9, 3, 4, 0]
    assert list(layers.state_dict())[2:4] == ["1.weight", "1.bias"]
    assert [getattr(m, "in_features", 0) for m in layers[1:3]] == [9, 3]
    assert layers[-2].in_features == 4
    assert len(nn.ModuleList()) == 0
    with pytest.raises(TypeError, match="ModuleList: entry 0 is 3"):
        nn.ModuleList([3])


def test_watchers_are_told_of_every_module_after_those_inside_it():
    net = nn.Sequential(nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU()), nn.MaxPool2d(2))
    seen, others = [], []
    with nn.watch(lambda module, output: seen.append((module, output.shape))):
        with nn.watch(lambda module, output: others.append(module)):
            net[1](np.zeros((1, 3, 4, 6), dtype=np.float32))
        net(np.zeros((1, 2, 4, 6), dtype=np.float32))
    net(np.zeros((1, 2, 4, 6), dtype=np.float32))
    assert others == [net[1]]
    assert seen == [
        (net[1], (1, 3, 2, 3)),
        (net[0][0], (1, 3, 4, 6)),
        (net[0][1], (1, 3, 4, 6)),
        (net[0], (1, 3, 4, 6)),
        (net[1], (1, 3, 2, 3)),
        (net, (1, 3, 2, 3)),
    ]


def test_a_watcher_that_fails_watches_no_longer():
    def watcher(module, output):
        raise RuntimeError("enough")

    layer = nn.ReLU()
    with pytest.raises(RuntimeError, match="enough"), nn.watch(watcher):
        layer(np.zeros((2, 3), dtype=np.float32))
    assert layer(np.zeros((2, 3), dtype=np.float32)).shape == (2, 3)


def test_the_named_state_is_the_modules_own():
    norm = nn.BatchNorm2d(3)
    state = dict(norm.named_state())
    assert list(state) == list(norm.state_dict())
    assert state["running_mean"] is norm.running_mean
    assert state["weight"] is norm.weight.data
