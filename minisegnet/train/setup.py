"""From the options of a run to its data and its device."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minisegnet.backend import cuda_is_available, library_for
from minisegnet.data import (
    DataLoader,
    Dataset,
    Folder,
    Shapes,
    mean_std,
    transforms,
)
from minisegnet.data.dataset import ImageArray, MaskArray
from minisegnet.data.images import pack_colours
from minisegnet.data.layouts import find_layout
from minisegnet.train.inference import Batch
from minisegnet.train.network import crop_size
from minisegnet.train.objective import NO_VOID, class_weights
from minisegnet.train.options import LARGEST_SEED, OptionError

SHAPES = "shapes"
_VALIDATION_SEED = LARGEST_SEED + 1  # so that no training set is drawn from this seed

Facts = dict[str, Any]


# ---------------------------------------------------------------------------- data


class Remembered:
    """A dataset whose pictures are kept once they were drawn, as long as there is room.

    Parameters
    ----------
    dataset : Dataset
    room : int
        Bytes to fill.
    """

    def __init__(self, dataset: Dataset, room: int = 2**30) -> None:
        self.num_classes, self.ignore_index = dataset.num_classes, dataset.ignore_index
        self.class_names, self.channels = dataset.class_names, dataset.channels
        self.palette = dataset.palette
        self._dataset, self._room = dataset, room
        self._kept: dict[int, tuple[ImageArray, MaskArray]] = {}

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[ImageArray, MaskArray]:
        if index in self._kept:
            return self._kept[index]
        pair = self._dataset[index]
        needed = sum(array.nbytes for array in pair)
        if needed <= self._room:
            self._room -= needed
            self._kept[index] = pair
        return pair


class WholeImages:
    """Batches of whole pictures in the dataset's order, those of one size together.

    Neighbours of equal size share a batch, so a batch may be smaller than ``batch_size``.
    """

    def __init__(self, dataset: Dataset, batch_size: int, normalize: transforms.Normalize) -> None:
        self.dataset, self.batch_size, self.normalize = dataset, batch_size, normalize

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(0)  # a normalisation draws nothing
        waiting: list[tuple[ImageArray, MaskArray]] = []
        for index in range(len(self.dataset)):
            pair = self.normalize(*self.dataset[index], rng)
            if waiting and (
                len(waiting) == self.batch_size or waiting[0][1].shape != pair[1].shape
            ):
                yield _stacked(waiting)
                waiting = []
            waiting.append(pair)
        if waiting:
            yield _stacked(waiting)


def _stacked(pairs: list[tuple[ImageArray, MaskArray]]) -> Batch:
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])


def is_shapes(options: Mapping[str, Any]) -> bool:
    """Whether a run is on procedural shapes (a folder of that name is ``./shapes``)."""
    return bool(options["data"] == SHAPES)


def open_data(options: Mapping[str, Any], found: Facts | None, split: str) -> Dataset:
    """The training ("train") or the validation ("val") part of a run's data.

    Parameters
    ----------
    options : mapping
        ``classes`` and ``size`` may be None as long as ``found`` is.
    found : dict or None
        What was recorded of the data when the run began; None when it begins.
    """
    if is_shapes(options):
        seed = options["seed"] + (_VALIDATION_SEED if split == "val" else 0)
        count = options["val_size" if split == "val" else "train_size"]
        return Remembered(Shapes(count, options["size"], options["classes"], seed))
    if found is None:
        return Folder(
            options["data"],
            split,
            options["size"],
            options["classes"],
            options["ignore_index"],
            val_fraction=options["val_fraction"],
            seed=options["seed"],
        )
    return recorded_folder(options, found, split, names=found["split"][split])


def recorded_folder(
    options: Mapping[str, Any], found: Facts, split: str | None, names: list[str] | None = None
) -> Folder:
    """A folder read the way the run's own data were: scale, channels and classes."""
    return Folder(
        options["data"],
        split,
        options["size"] if found["resize"] else None,
        ignore_index=found["void_value"],
        channels=found["channels"],
        values=found["values"],
        class_names=found["class_names"],
        names=names,
    )


def other_data(options: Mapping[str, Any], found: Facts, path: str) -> Dataset:
    """Data to score a run on: its own validation part, or another folder.

    Of another folder, its own validation part, or all of it if it has none.

    Raises
    ------
    ValueError
        If the folder cannot be read with the classes of the run.
    """
    if path == SHAPES and not is_shapes(options):
        raise OptionError(
            "--data shapes: this run was trained on a folder, and procedural shapes have other "
            "classes: give a folder with masks of the run's classes"
        )
    if path == SHAPES or os.path.realpath(path) == os.path.realpath(options["data"]):
        return open_data(options, found, "val")
    split = "val" if "val" in find_layout(Path(path)).parts else None
    return recorded_folder({**options, "data": path}, found, split)


def facts_of(options: dict[str, Any], train: Dataset, val: Dataset) -> Facts:
    """What a run records of its data, so that it can go on and predict without guessing."""
    mean, std = mean_std(train)
    found: Facts = {
        "channels": train.channels,
        "class_names": list(train.class_names),
        "palette": [f"#{code:06x}" for code in pack_colours(train.palette).tolist()],
        "mean": list(mean),
        # A channel of one value throughout has no spread to divide by.
        "std": [spread if spread > 1e-6 else 1.0 for spread in std],
        "resize": options["size"] is not None and not is_shapes(options),
        "values": list(range(train.num_classes)),
        "void_value": None,
    }
    if (weights := class_weights(options, train)) is not None:
        found["class_weights"] = weights
    if isinstance(train, Folder) and isinstance(val, Folder):
        found["values"] = [int(value) for value in train.values]
        found["void_value"] = train.void_value
        found["split"] = {"train": list(train.names), "val": list(val.names)}
    return found


def smallest_side(dataset: Dataset) -> int:
    """The shortest side of any picture."""
    return min(min(dataset[index][1].shape) for index in range(len(dataset)))


def train_loader(
    options: Mapping[str, Any], dataset: Dataset, normalize: transforms.Normalize
) -> DataLoader:
    """Shuffled batches of random crops, varied as ``--augment`` says."""
    void = NO_VOID if dataset.ignore_index is None else dataset.ignore_index
    return DataLoader(
        dataset,
        min(options["batch_size"], len(dataset)),
        shuffle=True,
        seed=options["seed"],
        transform=transforms.Compose([*_varied(options, void, normalize), normalize]),
        # A last batch of one or two pictures has batch statistics that tell nothing.
        drop_last=True,
    )


def _varied(
    options: Mapping[str, Any], void: int, normalize: transforms.Normalize
) -> list[transforms.Transform]:
    """Random crops, and what ``--augment`` does to them."""
    level, crop = options["augment"], crop_size(options["crop"])
    steps: list[transforms.Transform]
    if level == "scale":
        low, high = options["scales"]
        steps = [transforms.RandomScaledCrop(crop, low, high, void, normalize.mean)]
    else:
        steps = [transforms.Pad(crop, label=void), transforms.RandomCrop(crop)]
    if level == "none":
        return steps
    steps.append(transforms.RandomHorizontalFlip())
    if level == "turn":
        steps += [transforms.RandomVerticalFlip(), transforms.RandomRot90()]
    steps += [transforms.Brightness(0.2), transforms.Contrast(0.2)]
    if level == "scale":
        steps.append(transforms.Saturation(0.3))
    return steps


# ---------------------------------------------------------------------------- device


def check_capture(options: Mapping[str, Any]) -> None:
    """Refuse to record a step where nothing can be recorded.

    Raises
    ------
    OptionError
        With what to do instead.
    """
    if options["capture"] and options["device"] == "cpu":
        raise OptionError(
            "--capture records the training step as a CUDA graph, and this run is on the CPU: "
            "leave it out, or train on a GPU with --device cuda"
        )


def choose_device(name: str) -> str:
    """The device of ``--device``: "auto" is the GPU if there is one.

    Raises
    ------
    OptionError
        If there is no GPU and one was asked for.
    """
    if name == "auto":
        return "cuda" if cuda_is_available() else "cpu"
    try:
        library_for(name)
    except ValueError as error:
        raise OptionError(f"--device {name}: {error}") from None
    return name
