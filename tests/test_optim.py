"""Optimisers and clipping: against their formulas, and against PyTorch."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import optim
from minisegnet.autograd import Tensor, tensor
from minisegnet.backend import is_array
from minisegnet.checkpoint import load, save
from minisegnet.nn import Parameter
from tests import strict
from tests.conftest import Backend

SHAPES = [(3, 2), (4,), (), (2, 1, 3)]


def make_parameters(backend=None, dtype=np.float64, seed=0, shapes=SHAPES):
    random = np.random.default_rng(seed)
    arrays = [np.asarray(random.standard_normal(shape), dtype=dtype) for shape in shapes]
    return [Parameter(backend.asarray(a) if backend else a) for a in arrays]


def gradients(step, dtype=np.float64, shapes=SHAPES):
    """Random gradients; now and then a parameter has none."""
    random = np.random.default_rng(1000 + step)
    grads = [np.asarray(random.standard_normal(shape), dtype=dtype) for shape in shapes]
    if step % 3 == 1:
        grads[step % len(grads)] = None
    return grads


def run(backend, parameters, optimizer, steps, dtype=np.float64):
    for step in steps:
        for parameter, grad in zip(parameters, gradients(step, dtype), strict=True):
            parameter.grad = None if grad is None else backend.asarray(grad)
        optimizer.step()
    return [backend.numpy(p) for p in parameters]


# ---------------------------------------------------------------------------- the formulas, again


def sgd_by_hand(p, g, s, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    g = g + weight_decay * p
    if momentum:
        s["b"] = momentum * s["b"] + (1 - dampening) * g if "b" in s else g
        g = g + momentum * s["b"] if nesterov else s["b"]
    return p - lr * g


def adam_by_hand(
    p, g, s, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, decoupled=False
):
    p = p * (1 - lr * weight_decay) if decoupled else p
    g = g if decoupled else g + weight_decay * p
    s["t"] = s.get("t", 0) + 1
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    v = s["top"] if amsgrad else s["v"]
    m_hat = s["m"] / (1 - betas[0] ** s["t"])
    return p - lr * m_hat / (np.sqrt(v / (1 - betas[1] ** s["t"])) + eps)


def adamw_by_hand(p, g, s, lr, weight_decay=1e-2, **options):
    return adam_by_hand(p, g, s, lr, weight_decay=weight_decay, decoupled=True, **options)


def rmsprop_by_hand(p, g, s, lr, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False):
    g = g + weight_decay * p
    s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g * g
    s["m"] = alpha * s.get("m", 0) + (1 - alpha) * g
    v = s["v"] - s["m"] ** 2 if centered else s["v"]
    step = g / (np.sqrt(v) + eps)
    s["b"] = momentum * s.get("b", 0) + step
    return p - lr * (s["b"] if momentum else step)


def muon_by_hand(
    p,
    g,
    s,
    lr,
    weight_decay=0.1,
    momentum=0.95,
    nesterov=True,
    ns_coefficients=(3.4445, -4.7750, 2.0315),
    ns_steps=5,
    eps=1e-7,
    adjust_lr_fn=None,
    betas=(0.9, 0.999),
):
    if p.ndim < 2 or p.shape[1] == 1:
        return adam_by_hand(p, g, s, lr, betas, eps, weight_decay, decoupled=True)
    s["b"] = momentum * s.get("b", 0) + (1 - momentum) * g
    ahead = momentum * s["b"] + (1 - momentum) * g if nesterov else s["b"]
    matrix = ahead.reshape(len(p), -1)
    # Another way than products of matrices: what the polynomial does to each singular value.
    u, values, v = np.linalg.svd(matrix / max(np.linalg.norm(matrix), eps), full_matrices=False)
    for _ in range(ns_steps):
        values = sum(c * values**power for c, power in zip(ns_coefficients, (1, 3, 5), strict=True))
    rows, columns = matrix.shape
    of_shape = {"match_rms_adamw": 0.2 * max(rows, columns) ** 0.5}
    adjusted = of_shape.get(adjust_lr_fn, max(1, rows / columns) ** 0.5)
    return p * (1 - lr * weight_decay) - lr * adjusted * ((u * values) @ v).reshape(p.shape)


rates = st.floats(1e-4, 0.3)
decays = st.sampled_from([0.0, 0.01, 0.3])
sgd_options = st.fixed_dictionaries(
    {
        "lr": rates,
        "momentum": st.sampled_from([0.0, 0.5, 0.9]),
        "dampening": st.sampled_from([0.0, 0.25]),
        "weight_decay": decays,
        "nesterov": st.booleans(),
    }
).filter(lambda o: not o["nesterov"] or (o["momentum"] > 0 and o["dampening"] == 0))
adam_options = st.fixed_dictionaries(
    {
        "lr": rates,
        "betas": st.tuples(st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([0.0, 0.9, 0.999])),
        "eps": st.sampled_from([1e-8, 1e-3]),
        "weight_decay": decays,
        "amsgrad": st.booleans(),
    }
)
rmsprop_options = st.fixed_dictionaries(
    {
        "lr": rates,
        "alpha": st.sampled_from([0.5, 0.9, 0.99]),
        "eps": st.sampled_from([1e-8, 1e-3]),
        "weight_decay": decays,
        "momentum": st.sampled_from([0.0, 0.5, 0.9]),
        "centered": st.booleans(),
    }
)
muon_options = st.fixed_dictionaries(
    {
        "lr": rates,
        "momentum": st.sampled_from([0.0, 0.5, 0.95]),
        "weight_decay": decays,
        "nesterov": st.booleans(),
        "ns_steps": st.sampled_from([0, 1, 5]),
        "ns_coefficients": st.sampled_from([(3.4445, -4.7750, 2.0315), (1.5, -0.5, 0.0)]),
        "adjust_lr_fn": st.sampled_from([None, "original", "match_rms_adamw"]),
    }
)
OPTIMIZERS = {
    "SGD": (sgd_by_hand, sgd_options),
    "Adam": (adam_by_hand, adam_options),
    "AdamW": (adamw_by_hand, adam_options),
    "RMSprop": (rmsprop_by_hand, rmsprop_options),
    "Muon": (muon_by_hand, muon_options),
}
IN_TORCH = [name for name in OPTIMIZERS if name != "Muon"]
EVERYTHING = {
    "SGD": {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    "Adam": {"weight_decay": 0.01, "amsgrad": True},
    "AdamW": {"weight_decay": 0.01, "amsgrad": True},
    "RMSprop": {"momentum": 0.9, "weight_decay": 0.01, "centered": True},
    "Muon": {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_follow_the_formula(backend, name):
    by_hand, strategy = OPTIMIZERS[name]

    @given(options=strategy)
    def check(options):
        parameters = make_parameters(backend)
        expected = [backend.numpy(p).copy() for p in parameters]
        states = [{} for _ in parameters]
        for step in range(20):
            for i, grad in enumerate(gradients(step)):
                if grad is not None:
                    expected[i] = by_hand(expected[i], grad, states[i], **options)
        found = run(backend, parameters, getattr(optim, name)(parameters, **options), range(20))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)

    check()


@pytest.mark.torch
@pytest.mark.parametrize("name", IN_TORCH)
def test_twenty_steps_are_those_of_torch(name):
    torch = pytest.importorskip("torch")

    @given(options=OPTIMIZERS[name][1], second_rate=st.sampled_from([None, 0.05]))
    def check(options, second_rate):
        ours = make_parameters()
        theirs = [torch.nn.Parameter(torch.tensor(p.numpy().copy())) for p in ours]

        def groups(parameters):
            second = {} if second_rate is None else {"lr": second_rate}
            return [{"params": parameters[:3]}, {"params": parameters[3:], **second}]

        optimizer = getattr(optim, name)(groups(ours), **options)
        reference = getattr(torch.optim, name)(groups(theirs), **options)
        for step in range(20):
            for mine, other, grad in zip(ours, theirs, gradients(step), strict=True):
                mine.grad = grad
                other.grad = None if grad is None else torch.tensor(grad.copy())
            optimizer.step()
            reference.step()
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine.numpy(), other.detach(), rtol=1e-10, atol=1e-10)

    check()


@pytest.mark.torch
@given(options=muon_options, seed=st.integers(0, 2**32 - 1))
def test_twenty_steps_of_muon_are_those_of_torch_on_matrices(options, seed):
    torch = pytest.importorskip("torch")
    shapes = [(3, 2), (2, 5), (4, 4), (7, 2)]
    ours = make_parameters(seed=seed, shapes=shapes)
    theirs = [torch.nn.Parameter(torch.tensor(p.numpy().copy())) for p in ours]
    optimizer, reference = optim.Muon(ours, **options), torch.optim.Muon(theirs, **options)
    with pytest.MonkeyPatch.context() as patch:
        # PyTorch's rounds to 8 bits on the way; its formula is what is compared.
        patch.setattr(torch.Tensor, "bfloat16", lambda x: x.clone())
        for step in range(20):
            for mine, other, grad in zip(ours, theirs, gradients(step, shapes=shapes), strict=True):
                mine.grad = grad
                other.grad = None if grad is None else torch.tensor(grad.copy())
            optimizer.step()
            reference.step()
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.torch
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    ours = getattr(optim, name)(make_parameters())
    theirs = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(3, 2))])
    for option, value in ours.defaults.items():
        if (name, option) == ("Muon", "betas"):
            continue  # of the parameters that PyTorch's refuses
        assert theirs.defaults[option] == value, option


# ---------------------------------------------------------------------------- what steps must keep


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_stays_float32_and_arrays_stay_where_they_are(backend, name):
    parameters = make_parameters(backend, np.float32)
    arrays = [p.data for p in parameters]
    optimizer = getattr(optim, name)(parameters, lr=np.float64(0.1), **EVERYTHING[name])
    optimizer.param_groups[0]["lr"] = np.float64(0.05)
    before = [backend.numpy(p).copy() for p in parameters]
    grads = gradients(0, np.float32)
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = backend.asarray(grad)
    for _ in range(2):
        optimizer.step()
    for parameter, array, old, grad in zip(parameters, arrays, before, grads, strict=True):
        assert parameter.data is array
        assert not np.array_equal(backend.numpy(array), old)
        np.testing.assert_array_equal(backend.numpy(parameter.grad), grad)
        remembered = [v for v in optimizer.state[parameter].values() if is_array(v)]
        assert remembered
        assert {v.dtype for v in (*remembered, parameter.data)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_does_not_wait_for_the_device(name):
    parameters = [Parameter(strict.xp.ones((3, 2), dtype="float32"))]
    optimizer = getattr(optim, name)(parameters, **EVERYTHING[name])
    with strict.counting() as seen:
        for _ in range(2):
            parameters[0].grad = strict.xp.ones((3, 2), dtype="float32")
            optimizer.step()
    assert (seen.synchronisations, seen.uploads) == (0, 0)


def test_parameters_in_any_memory_order(backend):
    values = np.arange(24.0).reshape(2, 3, 4)
    parameter = Parameter(backend.asarray(values.copy()).transpose(2, 0, 1))
    parameter.grad = backend.asarray(np.arange(24.0).reshape(4, 3, 2)).transpose(0, 2, 1)
    optim.SGD([parameter], lr=0.5, momentum=0.9, nesterov=True, weight_decay=0.1).step()
    w, g = values.transpose(2, 0, 1), np.arange(24.0).reshape(4, 3, 2).transpose(0, 2, 1)
    np.testing.assert_allclose(backend.numpy(parameter), w - 0.5 * 1.9 * (g + 0.1 * w), rtol=1e-12)


def test_parameters_without_gradient_are_left_alone(backend):
    frozen, trained = make_parameters(backend, shapes=[(2, 3), (4,)])
    before = backend.numpy(frozen).copy()
    optimizer = optim.AdamW([frozen, trained], weight_decay=0.5)
    trained.grad = trained.data * 2
    optimizer.step()
    np.testing.assert_array_equal(backend.numpy(frozen), before)
    assert list(optimizer.state) == [trained]
    optimizer.zero_grad()
    assert trained.grad is None


def test_centered_rmsprop_is_finite_when_rounding_makes_the_variance_negative():
    parameter = Parameter(np.full(1000, 0.5, dtype=np.float32))
    optimizer = optim.RMSprop([parameter], centered=True, alpha=0.5)
    grad = np.linspace(0.1, 3, 1000, dtype=np.float32)
    for _ in range(60):
        parameter.grad = grad
        optimizer.step()
    state = optimizer.state[parameter]
    assert (state["square_avg"] < state["grad_avg"] ** 2).any(), "the case is not there"
    assert np.isfinite(parameter.data).all()


def test_groups_have_their_own_options(backend):
    a, b, c = make_parameters(backend, shapes=[(2,), (3,), (4,)])
    values = [backend.numpy(p).copy() for p in (a, b, c)]
    optimizer = optim.SGD(
        [{"params": a, "lr": 0.5}, {"params": [b], "name": "slow"}], lr=0.25, momentum=0.0
    )
    optimizer.add_param_group({"params": [c], "weight_decay": 2.0})
    for parameter in (a, b, c):
        parameter.grad = backend.module.ones_like(parameter.data)
    optimizer.step()
    np.testing.assert_allclose(backend.numpy(a), values[0] - 0.5)
    np.testing.assert_allclose(backend.numpy(b), values[1] - 0.25)
    np.testing.assert_allclose(backend.numpy(c), values[2] - 0.25 * (1 + 2 * values[2]))
    assert "group 1: 1 parameters, lr=0.25" in repr(optimizer)


# ---------------------------------------------------------------------------- saving and resuming


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_resuming_from_a_file_continues_bit_for_bit(backend, name, dtype, tmp_path):
    def start():
        parameters = make_parameters(backend, dtype)
        groups = [{"params": parameters[:1], "lr": 0.03}, {"params": parameters[1:]}]
        optimizer = getattr(optim, name)(groups, lr=0.1, **EVERYTHING[name])
        schedule = optim.PolynomialLR(optimizer, 30, power=0.9)
        return parameters, optimizer, schedule

    def train(parameters, optimizer, schedule, steps):
        for step in steps:
            run(backend, parameters, optimizer, [step], dtype)
            schedule.step()

    whole = start()
    train(*whole, range(9))
    first = start()
    train(*first, range(4))
    state = {"optimizer": first[1].state_dict(), "schedule": first[2].state_dict()}
    save(state, tmp_path / "state.safetensors")
    train(*first, range(4, 6))  # what is saved is a copy
    loaded = load(tmp_path / "state.safetensors")
    second = start()
    train(*second, [0])  # and replaces what was there
    restart = start()
    train(*restart, range(4))
    for mine, other in zip(second[0], restart[0], strict=True):
        mine.data[...] = other.data
    second[1].load_state_dict(loaded["optimizer"])
    second[2].load_state_dict(loaded["schedule"])
    train(*second, range(4, 9))
    for mine, other in zip(second[0], whole[0], strict=True):
        np.testing.assert_array_equal(backend.numpy(mine), backend.numpy(other))
    assert second[2].last_lr == whole[2].last_lr


def test_a_state_holds_only_what_files_can_hold(backend):
    parameters = make_parameters(backend)
    optimizer = optim.Adam(parameters, lr=np.float32(0.5), amsgrad=True)
    run(backend, parameters, optimizer, range(2))
    state = optimizer.state_dict()
    assert set(state["state"]) == {0, 1, 2, 3}
    # At step 1, the second parameter had no gradient.
    assert [state["state"][i]["step"] for i in range(4)] == [2, 1, 2, 2]
    assert state["param_groups"] == [
        {
            "lr": 0.5,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0.0,
            "amsgrad": True,
            "params": [0, 1, 2, 3],
        }
    ]
    json.dumps(state["param_groups"])
    for entries in state["state"].values():
        assert set(entries) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
        assert type(entries["step"]) is int
        assert is_array(entries["exp_avg"])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_share_no_memory(backend, name):
    parameters = make_parameters(backend)
    optimizer = getattr(optim, name)(parameters, lr=0.1, **EVERYTHING[name])
    run(backend, parameters, optimizer, range(2))
    state = optimizer.state_dict()
    held = [v for entries in state["state"].values() for v in entries.values() if is_array(v)]
    before = [backend.numpy(v).copy() for v in held]
    other = getattr(optim, name)(make_parameters(backend), lr=0.1, **EVERYTHING[name])
    other.load_state_dict(state)
    run(backend, parameters, optimizer, [2])
    run(backend, list(other.state), other, [2])
    for value, old in zip(held, before, strict=True):
        np.testing.assert_array_equal(backend.numpy(value), old)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_memories_follow_parameters_that_are_moved_and_converted(backend, name):
    stay = make_parameters(backend, np.float32)
    move = make_parameters(None, np.float32)
    host = Backend("numpy", "cpu")
    optimizers = [getattr(optim, name)(ps, **EVERYTHING[name]) for ps in (stay, move)]
    run(backend, stay, optimizers[0], range(2), np.float32)
    run(host, move, optimizers[1], range(2), np.float32)
    for members in (stay, move):
        for parameter in members:
            moved = parameter.detach().to(backend.device, np.float64)
            parameter.data, parameter.grad = moved.data, None
    run(backend, stay, optimizers[0], range(2, 4))
    run(backend, move, optimizers[1], range(2, 4))
    for a, b in zip(stay, move, strict=True):
        assert b.device == backend.device
        np.testing.assert_allclose(backend.numpy(a), backend.numpy(b), rtol=1e-5)
        remembered = [v for v in optimizers[1].state[b].values() if is_array(v)]
        assert {v.dtype for v in remembered} == {np.dtype(np.float64)}


def test_a_state_survives_json_like_keys_and_lists():
    parameters = make_parameters()
    optimizer = optim.Adam(parameters)
    for parameter, grad in zip(parameters, gradients(0), strict=True):
        parameter.grad = grad
    optimizer.step()
    state = optimizer.state_dict()
    state["state"] = {str(key): value for key, value in state["state"].items()}
    state["param_groups"][0]["betas"] = list(state["param_groups"][0]["betas"])
    other = optim.Adam(parameters, lr=7.0)
    other.load_state_dict(state)
    assert other.param_groups[0]["betas"] == (0.9, 0.999)
    assert other.param_groups[0]["lr"] == 1e-3
    np.testing.assert_array_equal(
        other.state[parameters[0]]["exp_avg"], optimizer.state[parameters[0]]["exp_avg"]
    )


def test_states_that_do_not_fit_change_nothing():
    parameters = make_parameters()

    def trained(kind, members, **options):
        optimizer = kind(members, **options)
        for parameter, grad in zip(members, gradients(0), strict=False):
            parameter.grad = grad
        optimizer.step()
        return optimizer

    optimizer = trained(optim.Adam, parameters, lr=0.5)
    good = optimizer.state_dict()
    reshaped, counted = copy.deepcopy(good), copy.deepcopy(good)
    reshaped["state"][1]["exp_avg_sq"] = np.zeros((2, 2))
    counted["state"][9] = {}
    wrong_option = copy.deepcopy(good)
    wrong_option["param_groups"][0]["lr"] = -1.0
    cases = [
        (trained(optim.SGD, parameters, momentum=0.9).state_dict(), "another kind of optimiser"),
        (trained(optim.Adam, parameters[:2]).state_dict(), r"groups of \[2\].*this optimiser of"),
        (reshaped, r"exp_avg_sq has shape \(2, 2\) for a parameter of shape \(4,\)"),
        (counted, "parameter 9, and there are 4"),
        (wrong_option, "lr is -1.0"),
        ({"weights": 1}, "not the state of an optimiser"),
    ]
    for state, said in cases:
        with pytest.raises(ValueError, match=said):
            optimizer.load_state_dict(state)
        assert optimizer.param_groups[0]["lr"] == 0.5
        np.testing.assert_equal(optimizer.state_dict()["state"], good["state"])


# ---------------------------------------------------------------------------- refusals


ONE = Parameter(np.ones(3, dtype=np.float32))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: optim.SGD([]), ValueError, "SGD: there are no parameters"),
        (lambda: optim.Adam(iter(())), ValueError, "Adam: there are no parameters"),
        (lambda: optim.SGD(ONE), TypeError, "single Parameter"),
        (lambda: optim.SGD([np.ones(3)]), TypeError, "parameter 0 is a ndarray"),
        (lambda: optim.SGD([("w", ONE)]), TypeError, "tuple.*model.parameters()"),
        (lambda: optim.SGD([ONE, ONE * 2]), ValueError, "parameter 1 was computed by an op"),
        (lambda: optim.SGD([ONE, ONE]), ValueError, "parameter 1.*there already"),
        (
            lambda: optim.SGD([{"params": [ONE]}, {"params": [ONE]}]),
            ValueError,
            "there already",
        ),
        (lambda: optim.SGD([{"lr": 0.1}]), TypeError, "'params'"),
        (
            lambda: optim.SGD([{"params": [ONE], "momentun": 0.1}]),
            ValueError,
            "'momentun': did you mean 'momentum'",
        ),
        (lambda: optim.SGD([ONE], lr=-0.1), ValueError, "SGD: lr is -0.1"),
        (lambda: optim.SGD([ONE], lr=math.nan), ValueError, "lr is nan"),
        (lambda: optim.SGD([{"params": [ONE], "lr": -2}]), ValueError, "lr is -2"),
        (lambda: optim.SGD([ONE], momentum=-0.1), ValueError, "momentum is -0.1"),
        (lambda: optim.SGD([ONE], weight_decay=-0.1), ValueError, "weight_decay is -0.1"),
        (lambda: optim.SGD([ONE], nesterov=True), ValueError, "nesterov needs momentum"),
        (
            lambda: optim.SGD([ONE], momentum=0.9, dampening=0.1, nesterov=True),
            ValueError,
            "dampening=0.1",
        ),
        (lambda: optim.Adam([ONE], betas=(0.9, 1.0)), ValueError, "Adam: betas are"),
        (lambda: optim.AdamW([ONE], betas=(-0.1, 0.9)), ValueError, "AdamW: betas are"),
        (lambda: optim.Adam([ONE], betas=0.9), ValueError, "betas are 0.9"),
        (lambda: optim.Adam([ONE], eps=-1e-8), ValueError, "eps is -1e-08"),
        (lambda: optim.RMSprop([ONE], alpha=1.5), ValueError, "alpha is 1.5"),
        (lambda: optim.RMSprop([ONE], momentum=-1), ValueError, "RMSprop: momentum is -1"),
        (lambda: optim.StepLR(optim.SGD([ONE]), 0), ValueError, "step_size is 0"),
        (lambda: optim.StepLR(optim.SGD([ONE]), 2.5), TypeError, "step_size is 2.5"),
        (lambda: optim.PolynomialLR(optim.SGD([ONE]), 0), ValueError, "total_iters is 0"),
        (lambda: optim.CosineAnnealingLR(optim.SGD([ONE]), -3), ValueError, "T_max is -3"),
        (lambda: optim.StepLR([ONE], 2), TypeError, "list is not an optimiser"),
        (lambda: optim.OneCycleLR(None, 0.1, 5), TypeError, "NoneType is not an optimiser"),
        (
            lambda: optim.StepLR(optim.SGD([ONE]), 2, last_epoch=3),
            ValueError,
            "no 'initial_lr'",
        ),
        (lambda: optim.OneCycleLR(optim.SGD([ONE]), 0.1), ValueError, "total_steps, or epochs"),
        (lambda: optim.OneCycleLR(optim.SGD([ONE]), 0.1, 0), ValueError, "total_steps is 0"),
        (lambda: optim.OneCycleLR(optim.SGD([ONE]), 0.1, 9, pct_start=2), ValueError, "pct_start"),
        (
            lambda: optim.OneCycleLR(optim.SGD([ONE]), 0.1, 9, anneal_strategy="sine"),
            ValueError,
            "'sine'",
        ),
        (
            lambda: optim.OneCycleLR(optim.SGD([ONE]), [0.1, 0.2], 9),
            ValueError,
            "max_lr has 2 values for 1 groups",
        ),
    ],
)
def test_refusals(make, error, said):
    with pytest.raises(error, match=said):
        make()


# ---------------------------------------------------------------------------- clipping


def with_gradients(backend, grads, dtype=np.float64):
    members = []
    for grad in grads:
        parameter = Parameter(backend.asarray(np.zeros(np.shape(grad), dtype=dtype)))
        parameter.grad = backend.asarray(np.array(grad, dtype=dtype))
        members.append(parameter)
    return members


CLIPPINGS = (optim.clip_grad_norm_, optim.clip_grad_norm_on_device_)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 0.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.3, 1e6, math.inf])
@pytest.mark.parametrize("clip", CLIPPINGS)
def test_clipping(backend, clip, p, max_norm):
    random = np.random.default_rng(8)
    grads = [random.standard_normal(shape) for shape in SHAPES]
    everything = np.concatenate([np.ravel(g) for g in grads])
    norm = np.abs(everything).max() if p == math.inf else (np.abs(everything) ** p).sum() ** (1 / p)
    members = with_gradients(backend, grads)
    arrays = [m.grad for m in members]
    total = clip([*members, Parameter([1.0])], max_norm, norm_type=p)
    if clip is optim.clip_grad_norm_:
        assert type(total) is float
    else:
        assert type(total) is type(arrays[0]) and total.shape == () and total.dtype == np.float64
    assert float(total) == pytest.approx(norm, rel=1e-12)
    scale = min(1.0, max_norm / (norm + 1e-6))
    for member, array, grad in zip(members, arrays, grads, strict=True):
        assert member.grad is array
        np.testing.assert_allclose(backend.numpy(array), grad * scale, rtol=1e-12)


@pytest.mark.torch
@given(max_norm=st.floats(0, 10), p=st.sampled_from([1.0, 2.0, 2.5, math.inf]))
def test_clipping_is_that_of_torch(max_norm, p):
    torch = pytest.importorskip("torch")
    grads = [g for g in gradients(0) if g is not None]
    mine = [Tensor(np.zeros_like(g)) for g in grads]
    theirs = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads]
    for a, b, g in zip(mine, theirs, grads, strict=True):
        a.grad, b.grad = g.copy(), torch.tensor(g.copy())
    total = optim.clip_grad_norm_(iter(mine), max_norm, norm_type=p)
    reference = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type=p)
    assert total == pytest.approx(float(reference), rel=1e-12)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(("bad", "kind"), [(math.nan, math.isnan), (math.inf, math.isinf)])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("clip", CLIPPINGS)
def test_gradients_that_are_not_finite_are_left_alone(backend, clip, p, bad, kind):
    """The large one beside them does not overflow: a warning would be an error here."""
    members = with_gradients(backend, [[3.0, bad], [4.0], [2e12]], np.float32)
    assert kind(float(clip(members, 1.0, norm_type=p)))
    np.testing.assert_array_equal(backend.numpy(members[0].grad), np.float32([3.0, bad]))
    np.testing.assert_array_equal(backend.numpy(members[1].grad), np.float32([4.0]))
    np.testing.assert_array_equal(backend.numpy(members[2].grad), np.float32([2e12]))
    with pytest.raises(ValueError, match=f"norm of the gradients is {bad}"):
        optim.clip_grad_norm_(members, 1.0, error_if_nonfinite=True)


@pytest.mark.parametrize(("clip", "waits"), list(zip(CLIPPINGS, (1, 0), strict=True)))
def test_how_often_clipping_waits_and_that_it_keeps_float32(clip, waits):
    members = [Parameter(strict.xp.ones((n,), dtype="float32")) for n in (3, 4, 5)]
    for member in members:
        member.grad = member.data * 2
    with strict.counting() as seen:
        total = clip(members, np.float64(1.0))
    assert seen.synchronisations == waits
    assert float(total) == pytest.approx(48**0.5)
    assert clip is optim.clip_grad_norm_ or total.dtype == np.float32
    assert {m.grad.dtype for m in members} == {np.dtype(np.float32)}


def test_clipping_nothing_and_refusals():
    assert optim.clip_grad_norm_([], 1.0) == 0.0
    assert optim.clip_grad_norm_([Parameter([1.0])], 1.0) == 0.0
    assert optim.clip_grad_norm_on_device_([Parameter([1.0])], 1.0) is None
    single = Parameter([3.0, 4.0])
    single.grad = np.array([3.0, 4.0], dtype=np.float32)
    for clip in CLIPPINGS:
        assert clip(single, 10.0) == 5.0
        np.testing.assert_array_equal(single.grad, np.float32([3.0, 4.0]))
        with pytest.raises(ValueError, match=f"^{clip.__name__}: max_norm is -1"):
            clip(single, -1)
        with pytest.raises(ValueError, match=f"^{clip.__name__}: norm_type is 0"):
            clip(single, 1.0, norm_type=0)


def test_training_reaches_the_least_squares_solution(backend):
    random = np.random.default_rng(5)
    a, b = random.standard_normal((20, 3)), random.standard_normal((20, 1))
    best = np.linalg.lstsq(a, b, rcond=None)[0]
    for name, options in EVERYTHING.items():
        w = tensor(np.zeros((3, 1)), device=backend.device, requires_grad=True)
        plain = {k: v for k, v in options.items() if k != "weight_decay"} | {"lr": 0.05}
        optimizer = getattr(optim, name)([w], **plain, weight_decay=0.0)
        schedule = optim.CosineAnnealingLR(optimizer, 150)
        for _ in range(150):
            optimizer.zero_grad()
            residual = backend.tensor(a) @ w - backend.tensor(b)
            (residual * residual).mean().backward()
            optimizer.step()
            schedule.step()
        np.testing.assert_allclose(backend.numpy(w), best, atol=0.02, err_msg=name)
