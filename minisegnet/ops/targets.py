"""What a target may hold: class indices within the classes, shares from 0 to 1.

Each check takes one reduction, for whose answer the host waits when the target is on a GPU, unless
checks are deferred (:mod:`minisegnet.replay`). Wrong labels would otherwise go unnoticed there: an
index out of range raises nothing.
"""

from __future__ import annotations

import numpy as np

from minisegnet.backend import Array, array_module, to_numpy
from minisegnet.replay import refuse


def class_targets(
    target: Array, num_classes: int, ignore_index: int | None, op: str
) -> tuple[Array, Array]:
    """The class of each pixel, 0 where it is ignored, and which pixels are not.

    Raises
    ------
    ValueError
        If a pixel that is not ignored has a class outside ``0 ... num_classes - 1``.

    Examples
    --------
    >>> classes, valid = class_targets(np.array([[2, 255, 0]]), 3, 255, "cross_entropy")
    >>> classes.tolist(), valid.tolist()
    ([[2, 0, 0]], [[True, False, True]])
    """
    labels = target.astype(np.int64, copy=False)
    everywhere = array_module(labels).ones_like(labels, dtype=np.bool_)
    valid = everywhere if ignore_index is None else labels != ignore_index
    classes = labels * valid
    wrong = (classes < 0) | (classes >= num_classes)
    allowed = f"with {num_classes} classes they go from 0 to {num_classes - 1}"
    advice = "turn masks of 0/255 into class indices (mask // 255, or a table), and leave a void "

    def explained() -> ValueError:
        found = np.unique(to_numpy(classes[wrong]))
        listed = ", ".join(str(value) for value in found[:5]) + (", ..." if len(found) > 5 else "")
        return ValueError(
            f"{op}: the labels hold {listed}, but {allowed}: {advice}label out with "
            f"ignore_index={found[-1]}"
        )

    unexplained = f"{op}: the labels hold others, but {allowed}: {advice}label out"
    refuse(wrong, ValueError(unexplained), explained)
    return classes, valid


def check_target_shape(shape: tuple[int, ...], target: tuple[int, ...], axis: int, op: str) -> None:
    """Refuse class indices whose shape is not that of the logits without their class axis.

    Raises
    ------
    ValueError
        With what to do about it.
    """
    wanted = shape[:axis] + shape[axis + 1 :]
    if target == wanted:
        return
    advice = f"make it {wanted}"
    if target == shape:
        advice = f"turn a one-hot target into indices with argmax(dim={axis}), or into floats"
    elif target == (*shape[:axis], 1, *shape[axis + 1 :]):
        advice = "drop its channel dimension: target[:, 0]"
    raise ValueError(
        f"{op}: target has shape {target}, but the classes of logits {shape} are given by integers "
        f"of shape {wanted}: {advice}"
    )


def check_unit(values: Array, name: str, advice: str) -> None:
    """Refuse values outside 0 to 1.

    Raises
    ------
    ValueError
        Naming one of them.
    """
    wrong = (values < 0) | (values > 1)

    def explained() -> ValueError:
        found = to_numpy(values[wrong]).reshape(-1)[0]
        return ValueError(f"{name} holds {found:g}, which is not between 0 and 1: {advice}")

    refuse(wrong, ValueError(f"{name} holds values not between 0 and 1: {advice}"), explained)
