"""What a dataset holds: pixels of each class, weights for rare ones, mean and spread of colour."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minisegnet.data.dataset import Dataset, ImageArray


@dataclasses.dataclass(frozen=True)
class ClassCounts:
    """Pixels of a dataset.

    Attributes
    ----------
    pixels : array (num_classes,), int64
        Pixels of each class.
    image_pixels : array (num_classes,), int64
        All labelled pixels of those images in which the class occurs.
    void : int
        Pixels with the void label.
    """

    pixels: npt.NDArray[np.int64]
    image_pixels: npt.NDArray[np.int64]
    void: int


def one_hot(
    mask: npt.NDArray[np.integer[Any]], num_classes: int, ignore_index: int | None = None
) -> ImageArray:
    """One map for each class: 1 where the pixel is of the class, else 0.

    Parameters
    ----------
    mask : array (N, H, W) or (H, W), integer
        Labels 0 .. num_classes - 1, and `ignore_index`.
    num_classes : int
        The number of maps, C.
    ignore_index : int, optional
        The label of void pixels, which are 0 in every map.

    Returns
    -------
    array (N, C, H, W) or (C, H, W), float32
        The classes go before rows and columns, where a network's logits have them.

    Raises
    ------
    TypeError
        Labels that are not integers.
    ValueError
        Another number of dimensions, or a label out of range.

    Examples
    --------
    >>> one_hot(np.array([[2, 0, 255]]), num_classes=3, ignore_index=255).tolist()
    [[[0.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]]]
    """
    labels = np.asarray(mask)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: the mask is {labels.dtype}: labels are integers; convert it")
    if labels.ndim not in (2, 3):
        raise ValueError(f"one_hot: the mask has shape {labels.shape}: pass (N, H, W) or (H, W)")
    _check_labels("one_hot", labels, num_classes, ignore_index)
    classes = np.arange(num_classes).reshape(-1, 1, 1)
    maps = labels[..., None, :, :] == classes
    if ignore_index is not None:
        maps &= labels[..., None, :, :] != ignore_index
    return maps.astype(np.float32)


def class_counts(dataset: Dataset) -> ClassCounts:
    """Count the pixels of each class in one pass over a dataset.

    Parameters
    ----------
    dataset : Dataset
        Every mask of it is looked at.

    Returns
    -------
    ClassCounts

    Raises
    ------
    ValueError
        A label out of range.

    Examples
    --------
    >>> from minisegnet.data import Shapes
    >>> counts = class_counts(Shapes(3, size=(20, 30), num_classes=4))
    >>> int(counts.pixels.sum()), counts.void
    (1800, 0)
    """
    classes = dataset.num_classes
    pixels, image_pixels = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    void = 0
    for index in range(len(dataset)):
        mask = dataset[index][1]
        _check_labels(f"class_counts: item {index}", mask, classes, dataset.ignore_index)
        labelled = mask.ravel()
        if dataset.ignore_index is not None:
            labelled = labelled[labelled != dataset.ignore_index]
        counts = np.bincount(labelled, minlength=classes)
        pixels += counts
        image_pixels += np.where(counts > 0, labelled.size, 0)
        void += mask.size - labelled.size
    return ClassCounts(pixels, image_pixels, void)


def median_frequency_weights(counts: ClassCounts | Dataset) -> npt.NDArray[np.float32]:
    """Weights that make rare classes count as much as common ones in a loss.

        weight(c) = median of all frequencies / frequency(c)
        frequency(c) = pixels of c / pixels of the images in which c occurs

    A class above the median gets less than 1, a rare one more. Void pixels are not counted; a class
    that never occurs gets 0 and does not enter the median.

    Parameters
    ----------
    counts : ClassCounts or Dataset
        What `class_counts` gave, or a dataset to count.

    Returns
    -------
    array (num_classes,), float32

    Raises
    ------
    ValueError
        No pixel has any class.

    Notes
    -----
    Eigen and Fergus, "Predicting depth, surface normals and semantic labels with a
    common multi-scale convolutional architecture", ICCV 2015, section 6.3.2; used for CamVid by
    SegNet (Badrinarayanan, Kendall and Cipolla, 2017).

    Examples
    --------
    >>> counts = ClassCounts(np.array([60, 30, 5]), np.array([100, 100, 50]), void=0)
    >>> median_frequency_weights(counts)
    array([0.5, 1. , 3. ], dtype=float32)
    """
    if not isinstance(counts, ClassCounts):
        counts = class_counts(counts)
    present = counts.pixels > 0
    if not present.any():
        raise ValueError(
            "median_frequency_weights: no pixel has any class: there are no frequencies"
        )
    frequency = counts.pixels[present] / counts.image_pixels[present]
    weights = np.zeros(len(present), dtype=np.float32)
    weights[present] = np.median(frequency) / frequency
    return weights


def mean_std(dataset: Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels of a dataset, for `Normalize`.

    Parameters
    ----------
    dataset : Dataset
        Every image of it is looked at; large images weigh more than small ones.

    Returns
    -------
    mean, std : tuples of float
        One for each channel, in the units of the images (0..1); summed in double precision, the
        standard deviation that of the whole population (divided by N).

    Raises
    ------
    ValueError
        The dataset is empty.

    Examples
    --------
    >>> from minisegnet.data import Shapes
    >>> mean, std = mean_std(Shapes(4, size=32, channels=1))
    >>> len(mean), 0 < std[0] < 0.5
    (1, True)
    """
    if len(dataset) == 0:
        raise ValueError("mean_std: the dataset is empty: there is nothing to measure")
    total, squares, count = 0.0, 0.0, 0
    for index in range(len(dataset)):
        planes = dataset[index][0].reshape(dataset.channels, -1)
        total = total + planes.sum(axis=1, dtype=np.float64)
        squares = squares + np.einsum("cp,cp->c", planes, planes, dtype=np.float64)
        count += planes.shape[1]
    mean = [float(value) / count for value in np.asarray(total)]
    spread = zip(np.asarray(squares), mean, strict=True)
    std = [math.sqrt(max(0.0, float(square) / count - middle**2)) for square, middle in spread]
    return tuple(mean), tuple(std)


def _check_labels(
    name: str, labels: npt.NDArray[Any], num_classes: int, ignore_index: int | None
) -> None:
    wrong = (labels < 0) | (labels >= num_classes)
    if ignore_index is not None:
        wrong &= labels != ignore_index
    if bool(wrong.any()):
        found = ", ".join(str(value) for value in np.unique(labels[wrong])[:5])
        raise ValueError(
            f"{name}: labels {found} are outside 0..{num_classes - 1} and void is {ignore_index}: "
            "raise num_classes, or name the void label with ignore_index"
        )
