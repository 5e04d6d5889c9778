"""What all losses share: reading logits and targets, counting regions, taking the mean."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from minisegnet import functional as F
from minisegnet.arithmetic import Rule
from minisegnet.autograd import Tensor, op
from minisegnet.backend import Array, array_module
from minisegnet.checks import did_you_mean
from minisegnet.kernels.rows import column_sums
from minisegnet.ops.objective import REDUCTIONS
from minisegnet.ops.targets import check_target_shape, check_unit, class_targets

#: Regions smaller than this many pixels are empty; the square of it is still a float32.
NOTHING = 1e-15


def as_array(x: Any) -> Array:
    """The array behind a tensor."""
    return x.data if isinstance(x, Tensor) else x


def as_tensor(logits: Any) -> Tensor:
    """The logits as a floating tensor."""
    x = logits if isinstance(logits, Tensor) else Tensor(logits)
    return x if x.dtype.kind == "f" else x.float()


def is_binary(logits: Any, target: Any) -> bool:
    """Whether there is one map of logits, with or without a channel dimension."""
    a, b = tuple(logits.shape), tuple(target.shape)
    if len(a) == len(b):
        return len(a) <= 3 or a[1] == 1
    return len(a) == len(b) + 1 and a[1] == 1


def binary_mask(
    name: str, logits: Any, target: Any, ignore_index: int
) -> tuple[Tensor, Array, Array]:
    """Logits in the shape of the target; the truth, 0 where void; 1 where the target counts."""
    a, b = tuple(logits.shape), tuple(target.shape)
    if a not in (b, (*b[:1], 1, *b[1:])):
        raise ValueError(
            f"{name}: logits have shape {a} and the target {b}: for a mask (N, H, W) the logits "
            "must be (N, 1, H, W) or (N, H, W)"
        )
    scores = as_tensor(logits).reshape(b)
    labels = as_array(target)
    if labels.dtype.kind == "f":
        valid = labels != ignore_index
        labels = labels * valid
        check_unit(labels, f"{name}: the target", "divide masks of 0/255 by 255")
    else:
        labels, valid = class_targets(labels, 2, ignore_index, name)
    return scores, labels.astype(scores.dtype), valid.astype(scores.dtype)


def class_map(name: str, logits: Any, target: Any, ignore_index: int) -> tuple[Array, Array]:
    """The class of each pixel, 0 where it is void, and 1 where it counts."""
    shape = tuple(logits.shape)
    labels = as_array(target)
    check_target_shape(shape, tuple(labels.shape), 1, name)
    if labels.dtype.kind == "f":
        raise TypeError(f"{name}: the target is {labels.dtype}: class indices must be integers")
    classes, valid = class_targets(labels, shape[1], ignore_index, name)
    return classes, valid.astype(as_tensor(logits).dtype)


def check_images(name: str, target: Any) -> None:
    """Refuse a mask without a batch dimension, where images must be told apart."""
    if len(target.shape) < 3:
        raise ValueError(
            f"{name}: the target has shape {tuple(target.shape)}: it must be (N, H, W); a single "
            "image becomes a batch of one with logits[None] and target[None]"
        )


class Shares(NamedTuple):
    """Which share of each pixel each class has.

    Attributes
    ----------
    predicted : Tensor (N, H, W, C)
        The probabilities: the softmax of the logits, or, with C = 1, the sigmoid.
    true : array (N, H, W, C)
        1 at the true class, else 0; nothing but 0 where the target is void.
    counted : array (N, H, W, 1)
        1, and 0 where the target is void.
    """

    predicted: Tensor
    true: Array
    counted: Array


def shares_of_classes(name: str, logits: Any, target: Any, ignore_index: int) -> Shares:
    """The predicted and the true share that each class has in each pixel."""
    if is_binary(logits, target):
        scores, truth, valid = binary_mask(name, logits, target, ignore_index)
        predicted = F.sigmoid(scores).reshape(*scores.shape, 1)
        return Shares(predicted, (truth * valid)[..., None], valid[..., None])
    classes, valid = class_map(name, logits, target, ignore_index)
    channels_last = (0, *range(2, len(logits.shape)), 1)
    predicted = F.softmax(logits, 1).permute(channels_last)
    places = array_module(classes).arange(logits.shape[1])
    counted = valid[..., None]
    truth = (classes[..., None] == places).astype(predicted.dtype) * counted
    return Shares(predicted, truth, counted)


class Regions(NamedTuple):
    """How many pixels, or fractions of pixels, of each class are predicted, true, and both."""

    both: Tensor
    predicted: Tensor
    true: Tensor


def regions(shares: Shares, squared: bool = False) -> Regions:
    """The sizes of the regions over the whole batch, one for each class."""
    number = shares.true.shape[-1]
    predicted = shares.predicted.reshape(-1, number)
    truth, counted = shares.true.reshape(-1, number), shares.counted.reshape(-1, 1)
    share = predicted * predicted if squared else predicted
    return Regions(
        sum_of_each_class(predicted * truth),
        sum_of_each_class(share * counted),
        sum_of_each_class(truth * truth if squared else truth),
    )


@op
def sum_of_each_class(table: Array) -> Rule:
    """The sums of the columns."""
    xp = array_module(table)
    return column_sums(table), lambda grad: (xp.broadcast_to(grad, table.shape),)


def quotient(part: Tensor, whole: Tensor, empty: float) -> Tensor:
    """``part / whole``, and ``empty`` where there is nothing to be a part of."""
    nothing = whole < NOTHING
    return F.where(nothing, empty, part / F.where(nothing, 1.0, whole))


def check_smooth(name: str, smooth: float) -> None:
    """Refuse a smoothing constant below 0."""
    if not smooth >= 0:
        raise ValueError(f"{name}: smooth is {smooth}: it must be at least 0")


def check_share(name: str, option: str, value: float) -> None:
    """Refuse an option that is not between 0 and 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: {option} is {value}: it is a share, from 0 to 1")


def check_weights(name: str, values: Array, number: int) -> None:
    """Refuse anything but one weight for each class."""
    if tuple(values.shape) != (number,):
        raise ValueError(
            f"{name}: weight has shape {tuple(values.shape)}, but there are {number} classes: give "
            f"one weight for each, ({number},)"
        )


def pixels_of_each_class(classes: Array, valid: Array, number: int) -> Array:
    """How many pixels that count each class has, in the dtype of ``valid``."""
    places = array_module(classes).arange(number)
    return column_sums((classes.reshape(-1, 1) == places) * valid.reshape(-1, 1))


def minus_log_sigmoid(x: Tensor) -> Tensor:
    """-log(sigmoid(x)): what the truth 1 costs; of -x, what the truth 0 costs."""
    return F.softplus(-x, threshold=math.inf)


def reduce_costs(name: str, costs: Tensor, valid: Array, reduction: str) -> Tensor:
    """The mean over what counts, 0 if nothing does; or the sum; or each cost.

    ``valid`` holds how much each cost counts: what the mean divides by is its sum.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"{name}: reduction is {reduction!r}: {did_you_mean(reduction, REDUCTIONS)}"
        )
    if reduction == "none":
        return costs
    total = costs.sum()
    if reduction == "sum":
        return total
    count = valid.sum()
    return total / array_module(valid).where(count == 0, 1, count)
