"""Running a network on whole images of any size, and scoring it over a data set.

A network takes only some sizes: a U-Net halves its maps ``depth`` times. An image of another size
is mirrored outwards at its edges until it fits, and the logits are cropped back, so that every
pixel of the image gets its prediction. A network with unpadded ("valid") convolutions gives logits
smaller than its input; mirroring enough on every side makes them cover the image. That is the
overlap-tile strategy of the U-Net paper [1]_ with a single tile.

.. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image
   segmentation", MICCAI 2015, figure 2.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor, no_grad
from minisegnet.backend import Array, array_module, is_array, to_device
from minisegnet.metrics import ConfusionMatrix
from minisegnet.train.scores import BoundaryScores, RandScores

__all__ = ["DivergedError", "Evaluation", "centre_crop", "evaluate", "input_size", "predict_logits"]

Loss = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Any, Any]
Refine = Callable[[Array, Array], Array]


class DivergedError(ArithmeticError):
    """The numbers of a network are no longer finite.

    Attributes
    ----------
    what : str
        What happened, without what to do about it, which the message says after it.
    """

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(f"{what}. {advice}" if advice else what)
        self.what = what


@dataclass(frozen=True)
class Evaluation:
    """What a network scores on a data set.

    Attributes
    ----------
    loss : float
        The mean over the images; nan where no loss was asked for.
    matrix : ConfusionMatrix
        The counts over all pixels that are not void.
    images : int
    boundary : BoundaryScores or None
        Where the edges are; None unless asked for, for it takes a while.
    rand : RandScores or None
        Whether the pieces of class 1 are split or merged; None unless asked for, and unless there
        are two classes.
    """

    loss: float
    matrix: ConfusionMatrix
    images: int
    boundary: BoundaryScores | None = None
    rand: RandScores | None = None


def device_of_model(model: nn.Module) -> str:
    """The device of a model's parameters."""
    first = next(iter(model.parameters()), None)
    return "cpu" if first is None else first.device


def as_array(values: Any, device: str) -> Array:
    """The array of a tensor, an array or a nested list, on ``device``."""
    array = values.data if isinstance(values, Tensor) else values
    return to_device(array if is_array(array) else np.asarray(array), device)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without recording; the mode from before comes back at the end."""
    before = model.training
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        model.train(before)


def centre_crop(maps: Array, size: tuple[int, int]) -> Array:
    """The central part of maps (..., H, W): what a network without padding can see of a mask.

    Raises
    ------
    ValueError
        If the maps are smaller than ``size``.

    Examples
    --------
    >>> centre_crop(np.arange(15).reshape(3, 5), (1, 3)).tolist()
    [[6, 7, 8]]
    """
    rows, columns = maps.shape[-2:]
    if rows < size[0] or columns < size[1]:
        raise ValueError(
            f"centre_crop: cannot cut {size[0]}x{size[1]} out of {rows}x{columns}: the network's "
            "logits are larger than the mask; give masks of the logits' size"
        )
    top, left = (rows - size[0]) // 2, (columns - size[1]) // 2
    return maps[..., top : top + size[0], left : left + size[1]]


def input_size(model: Any, size: tuple[int, int]) -> tuple[int, int]:
    """The smallest input that the network accepts and whose logits cover ``size``.

    A network that does not say which sizes it takes is given the image as it is.

    Examples
    --------
    >>> from minisegnet.models import UNet
    >>> input_size(UNet(1, 2, base=2, depth=3), (30, 41))
    (32, 48)
    >>> input_size(UNet(1, 2, base=2, depth=4, padding="valid"), (388, 388))
    (572, 572)
    """
    if not hasattr(model, "next_size"):
        return size
    return _side(model, size[0]), _side(model, size[1])


def _side(model: Any, wanted: int) -> int:
    side = model.next_size(wanted)
    while model.output_size((side, side))[0] < wanted:
        side = model.next_size(side + 1)
    return int(side)


def _mirrored(model: Any, images: Array) -> Array:
    """The images mirrored outwards until they fit; their logits begin at the image's corner.

    Logits lie centrally over the input, so a network that trims its borders needs the padding on
    all sides, while one that keeps the size needs it only at the bottom and on the right.
    """
    size = (int(images.shape[2]), int(images.shape[3]))
    rows, columns = input_size(model, size)
    if (rows, columns) == size:
        return images
    out = model.output_size((rows, columns))
    top, left = (rows - out[0]) // 2, (columns - out[1]) // 2
    pad = ((0, 0), (0, 0), (top, rows - size[0] - top), (left, columns - size[1] - left))
    return array_module(images).pad(images, pad, mode="reflect")


def predict_logits(model: nn.Module, images: Any) -> Array:
    """Logits for every pixel of whole images of any size.

    Runs in evaluation mode, without gradients, on the model's device.

    Parameters
    ----------
    model : Module
        From images (N, C, H, W) to logits (N, K, H, W).
    images : array or Tensor (N, C, H, W)

    Returns
    -------
    array (N, K, H, W)
        On the model's device.

    Raises
    ------
    ValueError
        If the model cannot be applied; the message says why.

    Examples
    --------
    >>> from minisegnet.models import UNet
    >>> predict_logits(UNet(1, 3, base=2, depth=2), np.zeros((1, 1, 7, 10), np.float32)).shape
    (1, 3, 7, 10)
    """
    batch = as_array(images, device_of_model(model))
    if batch.ndim != 4:
        raise ValueError(
            f"predict_logits: images of shape {tuple(batch.shape)} must be (N, C, H, W); a single "
            "image becomes a batch of one with image[None]"
        )
    rows, columns = batch.shape[2:]
    with evaluating(model):
        logits = model(Tensor(_mirrored(model, batch))).data
    if logits.shape[2] < rows or logits.shape[3] < columns:
        raise ValueError(
            f"predict_logits: the network gives logits of {logits.shape[2]}x{logits.shape[3]} for "
            f"images of {rows}x{columns}: derive it from models.SegmentationModel and define "
            "accepts() and output_size(), so that the images can be padded to suit"
        )
    return logits[:, :, :rows, :columns]


def largest(logits: Array, size: tuple[int, int]) -> Array:
    """The class of the largest logit at every pixel, after bringing the maps to ``size``.

    One map at a time, so that a large picture does not need all of its enlarged maps at once.

    Parameters
    ----------
    logits : array (N, K, H, W)
    size : (int, int)
        Rows and columns of the result.

    Returns
    -------
    array (N, rows, columns), integer

    Examples
    --------
    >>> logits = np.array([[[[4.0, 0.0]], [[0.0, 1.0]]]], np.float32)
    >>> largest(logits, (1, 6)).tolist()
    [[[0, 0, 0, 0, 1, 1]]]
    """
    if logits.shape[2:] == size:
        return logits.argmax(axis=1)
    xp = array_module(logits)
    best: Array = None
    winner = xp.zeros((logits.shape[0], *size), dtype=np.int64)
    for k in range(logits.shape[1]):
        with no_grad():
            enlarged = F.interpolate(Tensor(logits[:, k : k + 1]), size=size, mode="bilinear")
        scores = enlarged.data[:, 0]
        if best is not None:
            winner = xp.where(scores > best, k, winner)
            scores = xp.maximum(scores, best)
        best = scores
    return winner


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    num_classes: int,
    loss: Loss | None = None,
    ignore_index: int | None = None,
    class_names: Sequence[str] | None = None,
    shapes: bool = False,
    refine: Refine | None = None,
) -> Evaluation:
    """Score a network on whole images, in one confusion matrix over all of them.

    Parameters
    ----------
    model : Module
    batches : iterable of (images (N, C, H, W), masks (N, H, W))
        A DataLoader or a list. Sizes may differ from batch to batch.
    num_classes : int
    loss : callable, optional
        From logits and target to one value; averaged over the images.
    ignore_index : int, optional
        The label of void pixels, which are not counted.
    class_names : sequence of str, optional
        For tables of the result.
    shapes : bool
        Also score boundaries and, of two classes, the pieces of the second.
    refine : callable, optional
        From logits and images to the logits that are scored.

    Raises
    ------
    DivergedError
        If the logits are not finite.
    ValueError
        If images, masks and network do not fit each other.

    Examples
    --------
    >>> from minisegnet.models import UNet
    >>> images, masks = np.zeros((2, 1, 6, 9), np.float32), np.zeros((2, 6, 9), np.int64)
    >>> scores = evaluate(UNet(1, 3, base=2, depth=2), [(images, masks)], num_classes=3)
    >>> scores.images, int(scores.matrix.matrix.sum())
    (2, 108)
    """
    device = device_of_model(model)
    matrix = ConfusionMatrix(num_classes, ignore_index, class_names)
    boundary = BoundaryScores(num_classes, ignore_index) if shapes else None
    rand = RandScores(piece=1) if shapes and num_classes == 2 else None
    total, count = 0.0, 0
    for images, masks in batches:
        logits, target = predict_logits(model, images), as_array(masks, device)
        if not bool(array_module(logits).isfinite(logits).all()):
            raise DivergedError("the network's logits are not finite")
        if refine is not None:
            logits = refine(logits, as_array(images, device))
        matrix.update(logits, target)
        if boundary is not None:
            boundary.update(logits.argmax(axis=1), target)
        if rand is not None:
            rand.update(logits.argmax(axis=1), target)
        count += len(images)
        if loss is not None:
            with no_grad():
                total += loss(Tensor(logits), Tensor(target)).item() * len(images)
    mean = total / count if count and loss is not None else float("nan")
    return Evaluation(mean, matrix, count, boundary, rand)
