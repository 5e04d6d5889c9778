"""What a network does, op by op, and the hook by which it is seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minisegnet as ms
from minisegnet import functional as F
from minisegnet import nn, tape
from minisegnet.explain import show_work
from tests.geometry import pairs


def zeros(*shape: int) -> ms.Tensor:
    return ms.tensor(np.zeros(shape, np.float32))


def test_observers_see_every_op_while_they_look():
    seen: list[tape.Event] = []
    x = ms.tensor([[1.0, -2.0, 3.0]], requires_grad=True)
    with tape.observe(seen.append):
        y = F.relu(x)
        with tape.observe(lambda event: seen.append(event)):
            z = F.clip(y, min=0.5, max=2.0)
    (z * 2).sum().backward()
    assert [event.name for event in seen] == ["relu", "clip", "clip"]
    assert seen[0].inputs[0] is x and seen[0].outputs[0] is y
    assert dict(seen[1].options) == {"min": 0.5, "max": 2.0}
    assert not tape.is_observed()
    assert x.grad.tolist() == [[2.0, 0.0, 0.0]]


def test_an_observer_that_raises_does_not_stay():
    def fail(event):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError), tape.observe(fail):
        F.relu(ms.tensor([1.0]))
    assert not tape.is_observed()


def test_all_outputs_of_an_op_are_announced():
    seen: list[tape.Event] = []
    with tape.observe(seen.append):
        values, indices = F.max_pool2d(zeros(1, 1, 4, 6), 2, return_indices=True)
    assert seen[0].outputs[0] is values and seen[0].outputs[1] is indices


@pytest.fixture(scope="module")
def u_net_work():
    model = ms.models.UNet(3, 5, base=4, depth=2).eval()
    with show_work(model) as work:
        model(zeros(2, 3, 16, 24))
    return model, work


def test_a_u_net(u_net_work):
    model, work = u_net_work
    parameters = list(model.parameters())
    assert work.totals.parameters == sum(p.size for p in parameters)
    assert work.totals.parameter_bytes == 4 * work.totals.parameters
    ops = [entry.op for entry in work]
    assert ops.count("conv2d") == 11 and ops.count("conv_transpose2d") == 2
    assert ops.count("max_pool2d") == 2 and ops.count("cat") == 2
    up = next(entry for entry in work if entry.layer == "up.0")
    assert (up.op, up.weight, up.output) == ("conv_transpose2d", (16, 8, 2, 2), (2, 8, 8, 12))
    assert up.formulas[1] == "(6 - 1)*2 - 2*0 + 1*(2 - 1) + 0 + 1 = 12"
    assert up.multiply_adds == 2 * 16 * 4 * 6 * 8 * 2 * 2
    assert up.bytes == 4 * 2 * 8 * 8 * 12
    first = work[0]
    assert (first.layer, first.multiply_adds) == ("down.0.0", 2 * 4 * 16 * 24 * 3 * 3 * 3)
    cat = next(entry for entry in work if entry.op == "cat")
    assert cat.inputs == ((2, 8, 8, 12), (2, 8, 8, 12)) and len(cat.sources) == 2
    assert work[-1].receptive_field == (44, 44)


def test_the_table_and_the_graphs(u_net_work):
    _, work = u_net_work
    lines = str(work).splitlines()
    assert "rows: floor((16 + 2*1 - 1*(3 - 1) - 1) / 1) + 1 = 16" in lines[1]
    assert lines[2].strip() == "columns: floor((24 + 2*1 - 1*(3 - 1) - 1) / 1) + 1 = 24"
    assert lines[-1] == work.summary
    mermaid, dot = work.mermaid(), work.dot()
    assert 'i0(["input<br/>2x3x16x24"])' in mermaid and "    i0 --> n1" in mermaid
    assert mermaid.count(" --> ") == dot.count(" -> ") == len(work) + 2  # two skips
    assert dot.startswith("digraph work {") and dot.endswith("}")
    assert 'n1 [label="1 conv2d\\ndown.0.0\\n2x4x16x24"];' in dot
    assert "<td" in work._repr_html_()
    assert work.to_dict()["totals"]["parameters"] == work.totals.parameters


def field_by_gradient(function, size: tuple[int, int]) -> tuple[int, int]:
    """The widest bounding box of non-zero gradients over the middle cells, by going backward."""
    x = ms.tensor(np.ones((1, 1, *size)), requires_grad=True)
    out = function(x)
    middle = [range(max(n // 2 - 3, 0), min(n // 2 + 3, n)) for n in out.shape[2:]]
    widest = [0, 0]
    for cell in [(r, middle[1][0]) for r in middle[0]] + [(middle[0][0], c) for c in middle[1]]:
        x.grad = None
        out[0, 0, *cell].backward(retain_graph=True)
        where = np.nonzero(x.grad[0, 0])
        for axis in (0, 1):
            reach = int(np.ptp(where[axis])) + 1 if len(where[axis]) else 0
            widest[axis] = max(widest[axis], reach)
    return widest[0], widest[1]


@settings(max_examples=40)
@given(
    kernels=st.tuples(pairs(1, 3), pairs(1, 3)),
    strides=st.tuples(pairs(1, 3), pairs(1, 2)),
    dilation=pairs(1, 2),
    up=st.sampled_from(["none", "transpose", "bilinear", "nearest"]),
)
def test_receptive_fields_are_where_gradients_come_back_from(kernels, strides, dilation, up):
    weights = [np.ones((1, 1, *kernel)) for kernel in kernels]

    def function(x):
        x = F.conv2d(x, weights[0], stride=strides[0], dilation=dilation)
        if up == "transpose":
            x = F.conv_transpose2d(x, np.ones((1, 1, 4, 3)), stride=2, dilation=(3, 1))
        elif up != "none":
            x = F.interpolate(x, scale_factor=2, mode=up)
        return F.conv2d(x, weights[1], stride=strides[1])

    size = (29, 31)
    with show_work() as work:
        function(ms.tensor(np.ones((1, 1, *size))))
    claimed, real = work[-1].receptive_field, field_by_gradient(function, size)
    assert claimed is not None
    for axis in (0, 1):
        # A stride behind an upsampling may skip the cells that see most.
        if up == "none" or strides[1][axis] == 1:
            assert real[axis] == claimed[axis]
        else:
            assert real[axis] <= claimed[axis] <= real[axis] + strides[0][axis]


def test_functional_layers_without_a_model():
    x = ms.tensor(np.ones((1, 2, 5, 7), np.float32))
    with show_work() as work:
        y = F.conv_transpose2d(
            x, ms.tensor(np.ones((2, 3, 3, 2), np.float32)), ms.tensor(np.ones(3, np.float32)),
            stride=(1, 3), padding=(1, 0), output_padding=(0, 2), dilation=(2, 1),
        )  # fmt: skip
        y = F.flip(y, dims=3)
        z = F.linear(y.mean(dim=(2, 3)), ms.tensor(np.ones((4, 3), np.float32)))
    assert [entry.op for entry in work] == ["conv_transpose2d", "flip", "mean", "linear"]
    assert work[0].formulas == (
        "(5 - 1)*1 - 2*1 + 2*(3 - 1) + 0 + 1 = 7",
        "(7 - 1)*3 - 2*0 + 1*(2 - 1) + 2 + 1 = 22",
    )
    assert work[0].output == (1, 3, 7, 22)
    assert work[0].multiply_adds == 2 * 5 * 7 * 3 * 3 * 2
    assert work[3].multiply_adds == 4 * 3 and z.shape == (1, 4)
    assert work[3].receptive_field is None
    assert work.totals.parameters == 2 * 3 * 3 * 2 + 3 + 4 * 3
    assert work[0].sources == ("i0",)


def test_pooling_remembers_and_unpools_in_the_graph():
    with show_work() as work:
        values, indices = F.max_pool2d(zeros(1, 1, 6, 8), 2, return_indices=True)
        F.max_unpool2d(values, indices, 2)
        F.adaptive_avg_pool2d(values, (1, 2))
    assert [entry.sources for entry in work] == [("i0",), ("n1",), ("n1",)]
    assert work[0].formulas[0] == "floor((6 + 2*0 - 1*(2 - 1) - 1) / 2) + 1 = 3"
    assert [entry.receptive_field for entry in work] == [(2, 2), (2, 2), (6, 4)]


def test_nothing_is_kept_alive():
    import gc
    import weakref

    with show_work() as work:
        x = zeros(1, 1, 4, 4)
        y = F.relu(x)
        gone = weakref.ref(y)
        del y
        gc.collect()
        assert gone() is None
        F.relu(x)
    assert len(work) == 2 and work.totals.bytes == 2 * 64


def test_group_norm_keeps_the_field():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 1, 3))
    with show_work(model) as work:
        model(zeros(1, 1, 8, 9))
    assert work[-1].receptive_field == (5, 5)
