"""Random programs of tensors: whatever is computed from whatever, values and gradients are right.

Each example is a program of a few dozen lines: leaves with and without a gradient, arithmetic with
broadcasting, indexing, views of views, joins, reductions, convolutions, poolings, values that are
used many times, parts under ``no_grad``. Every value is compared as soon as it is computed, every
gradient at the end: with PyTorch's, or, where smooth functions alone are used, with differences of
the program itself.

``python -m tests.fuzz`` tries as many as one likes.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import minisegnet as ms
from minisegnet import functional as F
from minisegnet.autograd import Tensor

LARGEST = 1e4
MOST_VALUES = 600


def our_library() -> Any:
    """The operations of a program, as minisegnet has them."""
    names = (
        *("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "interpolate", "pad", "where"),
        *("softmax", "log_softmax", "sigmoid", "tanh", "softplus", "relu", "leaky_relu", "gelu"),
        *("cat", "stack", "maximum", "minimum", "clip"),
    )
    return types.SimpleNamespace(
        **{name: getattr(F, name) for name in names},
        amax=lambda x, dim, keepdim: x.max(dim, keepdim),
        amin=lambda x, dim, keepdim: x.min(dim, keepdim),
        constant=lambda array: array,
        no_grad=ms.no_grad,
    )


def their_library() -> Any:
    """The same operations as PyTorch has them."""
    torch = pytest.importorskip("torch")
    G = torch.nn.functional
    names = (
        *("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "interpolate", "pad"),
        *("softmax", "log_softmax", "sigmoid", "tanh", "softplus", "relu", "leaky_relu", "gelu"),
    )
    return types.SimpleNamespace(
        **{name: getattr(G, name) for name in names},
        **{name: getattr(torch, name) for name in ("cat", "stack", "maximum", "minimum", "where")},
        clip=torch.clamp,
        amax=lambda x, dim, keepdim: torch.amax(x, dim, keepdim),
        amin=lambda x, dim, keepdim: torch.amin(x, dim, keepdim),
        constant=torch.from_numpy,
        no_grad=torch.no_grad,
        leaf=lambda array, wants: torch.tensor(array, requires_grad=wants),
    )


@dataclass
class Step:
    """One line: what it computes from which earlier values; no function for a leaf."""

    function: Callable[..., Any] | None
    arguments: tuple[int, ...]
    frozen: bool = False


SMOOTH: dict[str, Callable[..., Any]] = {
    "tanh": lambda lib, x: lib.tanh(x),
    "sigmoid": lambda lib, x: lib.sigmoid(x),
    "softplus": lambda lib, x: lib.softplus(x),
    "gelu": lambda lib, x: lib.gelu(x),
    "exp": lambda lib, x: lib.tanh(x).exp(),
    "log": lambda lib, x: (x * x + 1.0).log(),
    "sqrt": lambda lib, x: (x * x + 0.5).sqrt(),
    "negative": lambda lib, x: -x,
    "square": lambda lib, x: x**2,
    "power": lambda lib, x: (x * x + 1.0) ** -1.5,
    "scale": lambda lib, x: 2.0 - x * 0.3,
    "inverse": lambda lib, x: 1.0 / (x * x + 1.0),
}
KINKED: dict[str, Callable[..., Any]] = {
    "relu": lambda lib, x: lib.relu(x),
    "leaky_relu": lambda lib, x: lib.leaky_relu(x, 0.1),
    "abs": lambda lib, x: abs(x),
    "clip": lambda lib, x: lib.clip(x, -0.5, 0.7),
}
PAIRS: dict[str, Callable[..., Any]] = {
    "add": lambda lib, a, b: a + b,
    "subtract": lambda lib, a, b: a - b,
    "multiply": lambda lib, a, b: a * b,
    "divide": lambda lib, a, b: a / (b * b + 0.7),
}
KINKED_PAIRS: dict[str, Callable[..., Any]] = {
    "maximum": lambda lib, a, b: lib.maximum(a, b),
    "minimum": lambda lib, a, b: lib.minimum(a, b),
}


def regrid(x: Any, shape: tuple[int, ...], stride: int) -> Any:
    """The values of ``x``, repeated and left out, in another shape: a gather."""
    size = int(np.prod(x.shape, dtype=int))
    return x.reshape((size,))[(np.arange(int(np.prod(shape))) * stride) % size].reshape(shape)


class Programs(RuleBasedStateMachine):
    """Grows a program line by line; :meth:`teardown` goes back through it."""

    kinked = False
    cases = 0

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.ours: list[Tensor] = []
        self.theirs: list[Any] = []
        self.library: Any = None

    # ------------------------------------------------------------------ building

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        type(self).cases += 1
        for _ in range(2):
            self.leaf(data, wants=True)

    @precondition(lambda self: sum(step.function is None for step in self.steps) < 5)
    @rule(data=st.data(), wants=st.booleans())
    def another_leaf(self, data: st.DataObject, wants: bool) -> None:
        self.leaf(data, wants)

    def leaf(self, data: st.DataObject, wants: bool) -> None:
        shape = tuple(data.draw(st.lists(st.integers(1, 4), max_size=4)))
        array = np.random.default_rng(data.draw(st.integers(0, 999))).normal(size=shape)
        self.steps.append(Step(None, ()))
        self.ours.append(ms.tensor(array, dtype="float64", requires_grad=wants))
        if self.library is not None:
            self.theirs.append(self.library.leaf(array, wants))

    def pick(self, data: st.DataObject) -> int:
        """An earlier value, late ones rather than early ones."""
        return len(self.ours) - 1 - data.draw(st.integers(0, len(self.ours) - 1))

    def add(self, function: Callable[..., Any], *arguments: int, frozen: bool = False) -> None:
        """Write a line, run it, and compare what came out."""
        with np.errstate(all="ignore"):
            ours = self.run(OURS, function, [self.ours[i] for i in arguments], frozen)
        array = ours.numpy()
        if array.size > MOST_VALUES or not array.size or abs(array).max() > LARGEST:
            return
        assert ours.dtype == np.float64
        assert ours.requires_grad == (
            not frozen and any(self.ours[i].requires_grad for i in arguments)
        )
        if self.library is not None:
            theirs = self.run(self.library, function, [self.theirs[i] for i in arguments], frozen)
            np.testing.assert_allclose(array, theirs.detach().numpy(), rtol=1e-9, atol=1e-9)
            self.theirs.append(theirs)
        self.ours.append(ours)
        self.steps.append(Step(function, arguments, frozen))

    @staticmethod
    def run(library: Any, function: Callable[..., Any], inputs: list[Any], frozen: bool) -> Any:
        if not frozen:
            return function(library, *inputs)
        with library.no_grad():
            return function(library, *inputs)

    # ------------------------------------------------------------------ lines

    @rule(data=st.data(), frozen=st.integers(0, 9))
    def unary(self, data: st.DataObject, frozen: int) -> None:
        table = {**SMOOTH, **(KINKED if self.kinked else {})}
        name = data.draw(st.sampled_from(sorted(table)))
        self.add(table[name], self.pick(data), frozen=frozen == 9)

    @rule(data=st.data(), stride=st.integers(1, 5), swap=st.booleans())
    def broadcast(self, data: st.DataObject, stride: int, swap: bool) -> None:
        table = {**PAIRS, **(KINKED_PAIRS if self.kinked else {})}
        function = table[data.draw(st.sampled_from(sorted(table)))]
        a, b = self.pick(data), self.pick(data)
        shape = self.ours[a].shape
        kept = shape[data.draw(st.integers(0, len(shape))) :]
        kept = tuple(1 if data.draw(st.booleans()) else n for n in kept)

        def line(lib: Any, x: Any, y: Any) -> Any:
            y = regrid(y, kept, stride)
            return function(lib, y, x) if swap else function(lib, x, y)

        self.add(line, a, b)

    @rule(data=st.data())
    def twice(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(PAIRS)))
        one = self.pick(data)
        self.add(PAIRS[name], one, one)

    @rule(data=st.data(), keepdim=st.booleans())
    def reduce(self, data: st.DataObject, keepdim: bool) -> None:
        one = self.pick(data)
        ndim = self.ours[one].ndim
        dims = tuple(sorted(data.draw(st.sets(st.integers(0, max(0, ndim - 1)), min_size=1))))
        if not ndim:
            return
        dims = tuple(d - ndim if data.draw(st.booleans()) else d for d in dims)
        kind = data.draw(st.sampled_from(["sum", "mean", *(["amax", "amin"] * self.kinked)]))
        if kind in ("amax", "amin"):
            self.add(lambda lib, x: getattr(lib, kind)(x, dims, keepdim), one)
        else:
            self.add(lambda lib, x: getattr(x, kind)(dims, keepdim), one)

    @rule(data=st.data())
    def view(self, data: st.DataObject) -> None:
        one = self.pick(data)
        shape = self.ours[one].shape
        order = tuple(data.draw(st.permutations(range(len(shape)))))
        kind = data.draw(st.sampled_from(["permute", "flatten", "split", "turn and flatten"]))
        if kind == "permute":
            self.add(lambda lib, x: x.permute(order), one)
        elif kind == "flatten":
            self.add(lambda lib, x: x.reshape((-1,)), one)
        elif kind == "turn and flatten":
            self.add(lambda lib, x: x.permute(order).reshape((-1,)), one)
        else:
            size = self.ours[one].size
            rows = data.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
            self.add(lambda lib, x: x.reshape((rows, -1)), one)

    @rule(data=st.data())
    def index(self, data: st.DataObject) -> None:
        one = self.pick(data)
        shape = self.ours[one].shape
        with_array = data.draw(st.booleans())
        parts: list[Any] = []
        for n in shape[: data.draw(st.integers(0, len(shape)))]:
            if with_array and not any(isinstance(part, np.ndarray) for part in parts):
                some = st.lists(st.integers(-n, n - 1), min_size=1, max_size=5)
                parts.append(np.array(data.draw(some)))
            elif not with_array and data.draw(st.booleans()):
                parts.append(data.draw(st.integers(-n, n - 1)))
            else:
                start = data.draw(st.integers(0, n - 1))
                stop = data.draw(st.integers(start + 1, n))
                parts.append(slice(start, stop, data.draw(st.integers(1, 2))))
        if not with_array:
            where = data.draw(st.integers(0, len(parts)))
            parts.insert(where, data.draw(st.sampled_from([None, slice(None)][:1])))
        if data.draw(st.booleans()):
            parts.append(Ellipsis)
        chosen = tuple(parts)
        self.add(lambda lib, x: x[chosen], one)

    @rule(data=st.data())
    def mask(self, data: st.DataObject) -> None:
        one = self.pick(data)
        shape = self.ours[one].shape
        kept = np.asarray(np.random.default_rng(data.draw(st.integers(0, 99))).random(shape) < 0.6)
        kept.reshape(-1)[0] = True
        self.add(lambda lib, x: x[lib.constant(kept)], one)

    @rule(data=st.data(), stride=st.integers(1, 3))
    def choose(self, data: st.DataObject, stride: int) -> None:
        a, b = self.pick(data), self.pick(data)
        shape = self.ours[a].shape
        mask = np.asarray(np.random.default_rng(data.draw(st.integers(0, 99))).random(shape) < 0.5)
        self.add(lambda lib, x, y: lib.where(lib.constant(mask), x, regrid(y, shape, stride)), a, b)

    @rule(data=st.data(), kind=st.sampled_from(["cat", "stack"]), more=st.integers(1, 3))
    def join(self, data: st.DataObject, kind: str, more: int) -> None:
        a, b = self.pick(data), self.pick(data)
        shape = self.ours[a].shape
        if not shape:
            return
        dim = data.draw(st.integers(-len(shape), len(shape) - 1))
        other = list(shape)
        if kind == "cat":
            other[dim] = more
        self.add(
            lambda lib, x, y: getattr(lib, kind)([x, regrid(y, tuple(other), 2), x], dim), a, b
        )

    @rule(data=st.data(), sizes=st.tuples(*[st.integers(1, 4)] * 3), batch=st.integers(0, 2))
    def matrices(self, data: st.DataObject, sizes: tuple[int, int, int], batch: int) -> None:
        n, k, m = sizes
        lead = (batch,) if batch else ()
        a, b = self.pick(data), self.pick(data)
        self.add(lambda lib, x, y: regrid(x, (*lead, n, k), 1) @ regrid(y, (k, m), 3) * 0.5, a, b)

    @rule(data=st.data(), log=st.booleans())
    def soft(self, data: st.DataObject, log: bool) -> None:
        one = self.pick(data)
        if not self.ours[one].ndim:
            return
        dim = data.draw(st.integers(-self.ours[one].ndim, self.ours[one].ndim - 1))
        name = "log_softmax" if log else "softmax"
        self.add(lambda lib, x: getattr(lib, name)(x, dim=dim), one)

    @rule(data=st.data(), transposed=st.booleans(), groups=st.integers(1, 2), bias=st.booleans())
    def convolve(self, data: st.DataObject, transposed: bool, groups: int, bias: bool) -> None:
        a, b, c = self.pick(data), self.pick(data), self.pick(data)
        two = st.tuples(st.integers(1, 3), st.integers(1, 3))
        kernel, stride, dilation = data.draw(two), data.draw(two), data.draw(two)
        padding = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
        reach = [dilation[i] * (kernel[i] - 1) + 1 for i in (0, 1)]
        least = [max(1, reach[i] - (0 if transposed else 2 * padding[i])) for i in (0, 1)]
        rows, columns = (n + data.draw(st.integers(0, 3)) for n in least)
        per_group = data.draw(st.integers(1, 2))
        shape = (data.draw(st.integers(1, 2)), per_group * groups, rows, columns)
        options: dict[str, Any] = {"stride": stride, "padding": padding, "groups": groups}
        out = groups * data.draw(st.integers(1, 2))
        weights = (out, per_group, *kernel)
        if transposed:
            weights = (per_group * groups, out // groups, *kernel)
            options["output_padding"] = tuple(
                data.draw(st.integers(0, max(stride[i], dilation[i]) - 1)) for i in (0, 1)
            )
            sizes = [
                (shape[2 + i] - 1) * stride[i]
                - 2 * padding[i]
                + reach[i]
                + options["output_padding"][i]
                for i in (0, 1)
            ]
            if min(sizes) < 1:
                return
        name = "conv_transpose2d" if transposed else "conv2d"

        def line(lib: Any, x: Any, w: Any, z: Any = None) -> Any:
            added = None if z is None else regrid(z, (out,), 1)
            x, w = regrid(x, shape, 1), regrid(w, weights, 3) * 0.4
            return getattr(lib, name)(x, w, added, dilation=dilation, **options)

        self.add(line, *((a, b, c) if bias else (a, b)))

    @rule(data=st.data(), kind=st.sampled_from(["max", "avg", "resize", "pad"]))
    def maps(self, data: st.DataObject, kind: str) -> None:
        one = self.pick(data)
        shape = tuple(data.draw(st.integers(1, n)) for n in (2, 2)) + tuple(
            data.draw(st.integers(4, 6)) for _ in range(2)
        )
        kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
        if kind == "max" and self.kinked:
            self.add(
                lambda lib, x: lib.max_pool2d(regrid(x, shape, 1), kernel, stride, padding), one
            )
        elif kind == "avg":
            counts = data.draw(st.booleans())
            self.add(
                lambda lib, x: lib.avg_pool2d(
                    regrid(x, shape, 1), kernel, stride, padding, count_include_pad=counts
                ),
                one,
            )
        elif kind == "resize":
            size = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
            corners = data.draw(st.sampled_from([False, True]))
            self.add(
                lambda lib, x: lib.interpolate(
                    regrid(x, shape, 1), size=size, mode="bilinear", align_corners=corners
                ),
                one,
            )
        elif kind == "pad":
            amounts = [data.draw(st.integers(-1, 2)) for _ in range(4)]
            mode = data.draw(st.sampled_from(["constant", "reflect", "replicate"]))
            amounts = amounts if mode == "constant" else [abs(n) for n in amounts]
            self.add(lambda lib, x: lib.pad(regrid(x, shape, 1), amounts, mode=mode), one)

    # ------------------------------------------------------------------ the way back

    def teardown(self) -> None:
        """Compare the gradient of a sum over all values with the reference."""
        if not any(x.requires_grad for x in self.ours):
            return
        chosen = [i for i, x in enumerate(self.ours) if x.requires_grad][-4:]
        rng = np.random.default_rng(len(self.ours))
        upstream = {i: rng.normal(size=self.ours[i].shape) for i in chosen}
        total = _total(self.ours, upstream, lambda array: array)
        total.backward()
        leaves = [i for i, s in enumerate(self.steps) if s.function is None]
        if self.library is not None:
            _total(self.theirs, upstream, self.library.constant).backward()
            self.compare_with_torch(leaves)
        else:
            self.compare_with_differences(leaves, upstream, rng)

    def compare_with_torch(self, leaves: list[int]) -> None:
        for i in leaves:
            ours, theirs = self.ours[i].grad, self.theirs[i].grad
            assert (ours is None) == (theirs is None)
            if ours is not None:
                largest = 1 + float(abs(theirs).max())
                np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-8, atol=1e-9 * largest)

    def compare_with_differences(
        self, leaves: list[int], upstream: dict[int, np.ndarray], rng: np.random.Generator
    ) -> None:
        wanted = [i for i in leaves if self.ours[i].requires_grad]
        for _ in range(2):
            ways = {i: rng.normal(size=self.ours[i].shape) for i in wanted}
            grads = ((self.ours[i].grad, ways[i]) for i in wanted)
            slope = sum(float((g * way).sum()) for g, way in grads if g is not None)
            differences = [self.slope(ways, upstream, eps) for eps in (3e-5, 1e-5)]
            # Where two steps disagree, the differences themselves cannot be trusted so far.
            doubt = abs(differences[0] - differences[1])
            assert abs(slope - differences[1]) <= 1e-5 * (1 + abs(slope)) + 10 * doubt

    def slope(
        self, ways: dict[int, np.ndarray], upstream: dict[int, np.ndarray], eps: float
    ) -> float:
        """How fast the total changes along a direction of all leaves at once."""
        values = []
        for sign in (1, -1):
            moved: list[Tensor] = []
            with ms.no_grad(), np.errstate(all="ignore"):
                for i, step in enumerate(self.steps):
                    if step.function is None:
                        x = self.ours[i].data
                        x = x + sign * eps * ways[i] if i in ways else x
                        moved.append(ms.tensor(x, dtype="float64"))
                    elif step.frozen:
                        moved.append(self.ours[i])
                    else:
                        moved.append(step.function(OURS, *(moved[j] for j in step.arguments)))
                values.append(_total(moved, upstream, lambda array: array).item())
        return (values[0] - values[1]) / (2 * eps)


def _total(values: list[Any], upstream: dict[int, np.ndarray], constant: Any) -> Any:
    total: Any = 0.0
    for i, weights in upstream.items():
        total = total + (values[i] * constant(np.asarray(weights))).sum()
    return total


OURS = our_library()
PHASES = (Phase.generate, Phase.shrink)


class AgainstDifferences(Programs):
    """Smooth programs, compared with differences of themselves."""


class AgainstTorch(Programs):
    """All programs, compared with PyTorch."""

    kinked = True

    def __init__(self) -> None:
        super().__init__()
        self.library = their_library()


def options(cases: int, seeded: bool = True, phases: tuple[Phase, ...] = PHASES) -> settings:
    return settings(
        max_examples=cases,
        stateful_step_count=18,
        phases=phases,
        deadline=None,
        derandomize=seeded,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def test_programs_against_differences():
    run_state_machine_as_test(AgainstDifferences, settings=options(60))


@pytest.mark.torch
def test_programs_against_pytorch():
    pytest.importorskip("torch")
    run_state_machine_as_test(AgainstTorch, settings=options(50))


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("tanh", lambda grad, value: grad * (1 - value)),
        ("softplus", lambda grad, value: grad),
    ],
)
def test_a_wrong_gradient_is_found(monkeypatch, name, wrong):
    """The fuzzer is a test too: a rule that is a little off must not survive it."""
    honest = getattr(F, name)

    def crooked(x, *args, **kwargs):
        out = honest(x, *args, **kwargs)
        if out._node is not None:
            value = out.data
            out._node.backward = lambda grad: (wrong(grad, value),)
        return out

    monkeypatch.setattr(OURS, name, crooked)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            AgainstDifferences, settings=options(150, phases=(Phase.generate,))
        )
