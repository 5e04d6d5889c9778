"""Wrong calls: each is answered by an error that names the op, has the numbers, and advises."""

from __future__ import annotations

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import functional as F
from minisegnet import losses, nn, optim
from minisegnet.metrics import ConfusionMatrix


def t(*shape: int, dtype: str = "float32") -> ms.Tensor:
    return ms.tensor(np.arange(np.prod(shape), dtype=dtype).reshape(shape) % 7)


def strict(*shape: int) -> ms.Tensor:
    return ms.tensor(np.ones(shape, dtype=np.float32), device="strict")


def labels(*values: int) -> ms.Tensor:
    return ms.tensor(np.array(values).reshape(1, 1, -1))


WRONG = {
    # name: (call, error, what the message must hold)
    "conv2d channels": (
        lambda: F.conv2d(t(1, 3, 5, 6), t(4, 2, 3, 3)),
        ValueError,
        ["conv2d", "3 channels", "(4, 2, 3, 3)", "make the weight"],
    ),
    "conv2d groups": (
        lambda: F.conv2d(t(1, 3, 5, 6), t(4, 1, 3, 3), groups=2),
        ValueError,
        ["conv2d", "3 input channels", "2 groups"],
    ),
    "conv2d groups of outputs": (
        lambda: F.conv2d(t(1, 4, 5, 6), t(5, 2, 3, 3), groups=2),
        ValueError,
        ["conv2d", "(5, 2, 3, 3)", "2 groups"],
    ),
    "conv2d groups zero": (
        lambda: F.conv2d(t(1, 4, 5, 6), t(4, 4, 3, 3), groups=0),
        ValueError,
        ["conv2d", "groups is 0"],
    ),
    "conv2d kernel too large": (
        lambda: F.conv2d(t(1, 1, 3, 9), t(1, 1, 3, 3), dilation=2, padding=(0, 1)),
        ValueError,
        ["conv2d", "spans 5 rows", "has 3 (3 + 0 + 0)", "more padding"],
    ),
    "conv2d single image": (
        lambda: F.conv2d(t(3, 5, 6), t(4, 3, 3, 3)),
        ValueError,
        ["conv2d", "(3, 5, 6)", "x[None]"],
    ),
    "sigmoid list": (
        lambda: F.sigmoid([1.0, 2.0]),
        TypeError,
        ["sigmoid", "input is a list", "minisegnet.tensor"],
    ),
    "conv2d list": (
        lambda: F.conv2d([[1.0, 2.0]], t(1, 1, 1, 1)),
        TypeError,
        ["conv2d", "input is a list", "minisegnet.tensor"],
    ),
    "conv2d weight": (
        lambda: F.conv2d(t(1, 3, 5, 6), t(4, 3, 3)),
        ValueError,
        ["conv2d", "weight", "(4, 3, 3)"],
    ),
    "conv2d bias": (
        lambda: F.conv2d(t(1, 3, 5, 6), t(4, 3, 3, 3), t(3)),
        ValueError,
        ["conv2d", "bias has shape (3,)", "4 output channels"],
    ),
    "conv2d stride": (
        lambda: F.conv2d(t(1, 3, 5, 6), t(4, 3, 3, 3), stride=0),
        ValueError,
        ["conv2d", "stride is 0", "at least 1"],
    ),
    "conv2d stride of three": (
        lambda: F.conv2d(t(1, 3, 5, 6), t(4, 3, 3, 3), stride=(1, 2, 3)),
        TypeError,
        ["conv2d", "stride is (1, 2, 3)", "pair"],
    ),
    "conv2d fractional padding": (
        lambda: F.conv2d(t(1, 3, 5, 6), t(4, 3, 3, 3), padding=0.5),
        TypeError,
        ["conv2d", "padding is 0.5", "integer"],
    ),
    "conv2d negative padding": (
        lambda: F.conv2d(t(1, 3, 5, 6), t(4, 3, 3, 3), padding=-1),
        ValueError,
        ["conv2d", "padding is -1", "at least 0"],
    ),
    "conv2d same with stride": (
        lambda: F.conv2d(t(1, 3, 5, 6), t(4, 3, 3, 3), padding="same", stride=2),
        ValueError,
        ["conv2d", "'same'", "stride (2, 2)"],
    ),
    "conv2d padding name": (
        lambda: F.conv2d(t(1, 3, 5, 6), t(4, 3, 3, 3), padding="full"),
        ValueError,
        ["conv2d", "'full'", "'same' or 'valid'"],
    ),
    "conv2d dtypes": (
        lambda: F.conv2d(t(1, 3, 5, 6, dtype="float64"), t(4, 3, 3, 3)),
        TypeError,
        ["conv2d", "float64", "float32", "convert"],
    ),
    "conv2d devices": (
        lambda: F.conv2d(strict(1, 3, 5, 6), t(4, 3, 3, 3)),
        TypeError,
        ["'strict'", "'cpu'", ".to("],
    ),
    "conv_transpose2d channels": (
        lambda: F.conv_transpose2d(t(1, 3, 5, 6), t(4, 3, 2, 2)),
        ValueError,
        ["conv_transpose2d", "3 channels", "takes 4", "(C_in, C_out/groups, kH, kW)"],
    ),
    "conv_transpose2d output_padding": (
        lambda: F.conv_transpose2d(t(1, 3, 5, 6), t(3, 4, 2, 2), stride=2, output_padding=2),
        ValueError,
        ["conv_transpose2d", "output_padding 2", "stride (2)"],
    ),
    "conv_transpose2d nothing left": (
        lambda: F.conv_transpose2d(t(1, 3, 2, 6), t(3, 4, 2, 2), padding=2),
        ValueError,
        ["conv_transpose2d", "(2 - 1)*1 - 2*2 + 1*(2 - 1) + 0 + 1 = -1", "less padding"],
    ),
    "insert_zeros layout": (
        lambda: F.insert_zeros(t(5, 6), 2),
        ValueError,
        ["insert_zeros", "(5, 6)", "x[None, None]"],
    ),
    "flip dims": (lambda: F.flip(t(2, 3), 2), IndexError, ["flip", "dim 2", "(2, 3)"]),
    "pad odd": (lambda: F.pad(t(2, 3), (1, 2, 3)), ValueError, ["pad", "3 amounts", "(2, 3)"]),
    "pad reflects too much": (
        lambda: F.pad(t(1, 1, 4, 3), (3, 0), mode="reflect"),
        ValueError,
        ["pad", "reflect 3", "at most 2"],
    ),
    "pad crops all": (
        lambda: F.pad(t(1, 1, 4, 3), (-2, -1)),
        ValueError,
        ["pad", "-2 + 3 + -1 = 0", "crop less"],
    ),
    "pad mode": (
        lambda: F.pad(t(1, 1, 4, 3), (1, 1), mode="mirror"),
        ValueError,
        ["pad", "'mirror'"],
    ),
    "max_pool2d window": (
        lambda: F.max_pool2d(t(1, 1, 2, 5), 3),
        ValueError,
        ["max_pool2d", "3", "2"],
    ),
    "max_pool2d padding": (
        lambda: F.max_pool2d(t(1, 1, 6, 5), 2, padding=2),
        ValueError,
        ["max_pool2d", "padding", "2"],
    ),
    "max_pool2d layout": (
        lambda: F.max_pool2d(t(6, 5), 2),
        ValueError,
        ["max_pool2d", "(6, 5)", "x[None, None]"],
    ),
    "max_unpool2d index": (
        lambda: F.max_unpool2d(t(1, 1, 1, 2), ms.tensor([[[[3, 8]]]]), 2),
        (IndexError, ValueError),
        ["max_unpool2d", "8"],
    ),
    "max_unpool2d shapes": (
        lambda: F.max_unpool2d(t(1, 1, 2, 2), ms.tensor([[[[3, 7]]]]), 2),
        ValueError,
        ["max_unpool2d", "(1, 1, 2, 2)", "(1, 1, 1, 2)"],
    ),
    "max_unpool2d output_size": (
        lambda: F.max_unpool2d(t(1, 1, 1, 2), ms.tensor([[[[0, 3]]]]), 2, output_size=(2, 9)),
        ValueError,
        ["max_unpool2d", "9"],
    ),
    "pixel_shuffle channels": (
        lambda: F.pixel_shuffle(t(1, 6, 2, 3), 2),
        ValueError,
        ["pixel_shuffle", "6", "4"],
    ),
    "interpolate both": (
        lambda: F.interpolate(t(1, 1, 2, 3), size=(4, 6), scale_factor=2),
        ValueError,
        ["interpolate", "size", "scale_factor"],
    ),
    "interpolate mode": (
        lambda: F.interpolate(t(1, 1, 2, 3), size=(4, 6), mode="bilnear"),
        ValueError,
        ["interpolate", "'bilnear'", "did you mean 'bilinear'"],
    ),
    "interpolate align_corners": (
        lambda: F.interpolate(t(1, 1, 2, 3), size=(4, 6), mode="nearest", align_corners=True),
        ValueError,
        ["interpolate", "align_corners", "nearest"],
    ),
    "cat sizes": (
        lambda: F.cat([t(1, 2, 57, 57), t(1, 2, 56, 56)], 1),
        ValueError,
        ["cat", "57x57", "56x56"],
    ),
    "cat dims": (
        lambda: F.cat([t(1, 2), t(1, 2)], 2),
        IndexError,
        ["cat", "2"],
    ),
    "cross_entropy label": (
        lambda: F.cross_entropy(t(1, 3, 1, 2), labels(1, 3)),
        (ValueError, IndexError),
        ["cross_entropy", "3"],
    ),
    "cross_entropy 255": (
        lambda: F.cross_entropy(t(1, 2, 1, 2), labels(0, 255)),
        (ValueError, IndexError),
        ["cross_entropy", "255", "ignore_index"],
    ),
    "cross_entropy negative label": (
        lambda: F.cross_entropy(t(1, 3, 1, 2), labels(1, -1)),
        (ValueError, IndexError),
        ["cross_entropy", "-1"],
    ),
    "cross_entropy shape": (
        lambda: F.cross_entropy(t(1, 3, 4, 2), labels(1, 2)),
        ValueError,
        ["cross_entropy", "(1, 3, 4, 2)", "(1, 1, 2)"],
    ),
    "cross_entropy weight": (
        lambda: F.cross_entropy(t(1, 3, 1, 2), labels(1, 2), weight=t(2)),
        ValueError,
        ["cross_entropy", "weight", "(2,)", "3"],
    ),
    "cross_entropy reduction": (
        lambda: F.cross_entropy(t(1, 3, 1, 2), labels(1, 2), reduction="avg"),
        ValueError,
        ["cross_entropy", "'avg'"],
    ),
    "binary_cross_entropy range": (
        lambda: F.binary_cross_entropy(t(1, 3), t(1, 3)),
        ValueError,
        ["binary_cross_entropy", "2"],
    ),
    "dice labels": (
        lambda: losses.dice(t(1, 3, 1, 2), labels(1, 7)),
        (ValueError, IndexError),
        ["dice", "7"],
    ),
    "batch_norm channels": (
        lambda: F.batch_norm(t(2, 3, 4, 4), np.zeros(2, "f"), np.ones(2, "f"), training=True),
        ValueError,
        ["batch_norm", "3", "2"],
    ),
    "group_norm groups": (
        lambda: F.group_norm(t(2, 3, 4, 4), 2),
        ValueError,
        ["group_norm", "3", "2"],
    ),
    "linear features": (
        lambda: F.linear(t(2, 3), t(5, 4)),
        ValueError,
        ["linear", "3", "4"],
    ),
    "dropout p": (lambda: F.dropout(t(2, 3), 1.5), ValueError, ["dropout", "1.5"]),
    "one_hot range": (
        lambda: F.one_hot(ms.tensor([0, 3]), 3),
        (ValueError, IndexError),
        ["one_hot", "3"],
    ),
    "matmul shapes": (lambda: t(2, 3) @ t(4, 5), ValueError, ["matmul", "(2, 3)", "(4, 5)"]),
    "broadcast": (lambda: t(2, 3) + t(2, 4), ValueError, ["add", "(2, 3)", "(2, 4)"]),
    "reshape": (lambda: t(2, 3).reshape(4), ValueError, ["reshape", "(2, 3)"]),
    "permute": (lambda: t(2, 3).permute(0, 0), ValueError, ["permute", "(0, 0)"]),
    "sum dim": (lambda: t(2, 3).sum(dim=2), IndexError, ["sum", "2"]),
    "index": (lambda: t(2, 3)[5], IndexError, ["getitem", "5", "(2, 3)"]),
    "Conv2d groups": (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, ["3", "2"]),
    "Conv2d padding": (lambda: nn.Conv2d(3, 4, 3, padding="sane"), ValueError, ["'sane'"]),
    "SGD rate": (lambda: optim.SGD([nn.Parameter(t(2))], lr=-1), ValueError, ["-1"]),
    "Adam nothing": (lambda: optim.Adam([]), ValueError, ["Adam"]),
    "ConfusionMatrix label": (
        lambda: ConfusionMatrix(3).update(np.array([[0, 1]]), np.array([[0, 9]])),
        ValueError,
        ["9"],
    ),
    "ConfusionMatrix shapes": (
        lambda: ConfusionMatrix(3).update(np.array([[0, 1]]), np.array([[0, 1, 2]])),
        ValueError,
        ["(1, 2)", "(1, 3)"],
    ),
    "device": (lambda: t(2).to("gpu"), ValueError, ["unknown device 'gpu'"]),
    "load_state_dict": (
        lambda: nn.Conv2d(1, 2, 3).load_state_dict({"weight": np.zeros((2, 1, 5, 5), "f")}),
        (ValueError, KeyError, RuntimeError),
        ["weight", "(2, 1, 5, 5)", "(2, 1, 3, 3)", "bias"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_call(name: str):
    call, error, parts = WRONG[name]
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    missing = [part for part in parts if part not in message]
    assert not missing, f"{message!r} lacks {missing}"


def test_there_are_enough_of_them():
    assert len(WRONG) >= 40
