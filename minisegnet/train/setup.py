"""From the options of a run to its parts: data, network, loss, optimizer and schedule."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minisegnet import losses, models, optim
from minisegnet.autograd import Tensor
from minisegnet.backend import cuda_is_available, library_for
from minisegnet.data import (
    DataLoader,
    Dataset,
    Folder,
    Shapes,
    mean_std,
    median_frequency_weights,
    transforms,
)
from minisegnet.data.dataset import ImageArray, MaskArray
from minisegnet.data.images import pack_colours
from minisegnet.data.layouts import find_layout
from minisegnet.models import SegmentationModel
from minisegnet.train.inference import Batch, Loss
from minisegnet.train.options import LARGEST_SEED, OptionError

SHAPES = "shapes"
NO_VOID = -100
"""The void label of data that has none: no pixel has it, except where a picture was padded."""

LARGEST_CROP = 256
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
        kept = self._kept.get(index)
        if kept is None:
            kept = self._dataset[index]
            self._room -= sum(array.nbytes for array in kept)
            if self._room >= 0:
                self._kept[index] = kept
        return kept


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
    if options["loss"] == WEIGHTED:
        found["class_weights"] = median_frequency_weights(train).tolist()
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
    crop = options["crop"]
    void = NO_VOID if dataset.ignore_index is None else dataset.ignore_index
    steps: list[transforms.Transform] = [
        transforms.Pad(crop, label=void),
        transforms.RandomCrop(crop),
    ]
    if options["augment"] != "none":
        steps.append(transforms.RandomHorizontalFlip())
    if options["augment"] == "turn":
        steps += [transforms.RandomVerticalFlip(), transforms.RandomRot90()]
    if options["augment"] != "none":
        steps += [transforms.Brightness(0.2), transforms.Contrast(0.2)]
    steps.append(normalize)
    return DataLoader(
        dataset,
        min(options["batch_size"], len(dataset)),
        shuffle=True,
        seed=options["seed"],
        transform=transforms.Compose(steps),
        # A last batch of one or two pictures has batch statistics that tell nothing.
        drop_last=True,
    )


# ---------------------------------------------------------------------------- network


def model_defaults(name: str, share: int) -> dict[str, Any]:
    """The size of a toy: the paper's width by ``share``, three poolings where that is free."""
    parameters = inspect.signature(models.TABLE[name].make).parameters
    defaults: dict[str, Any] = {"base": 1, "depth": None}
    if "base" in parameters:
        defaults["base"] = max(1, int(parameters["base"].default) // share)
    if "depth" in parameters:
        defaults["depth"] = 3
    return defaults


def build_model(options: Mapping[str, Any], channels: int) -> SegmentationModel:
    """The network, its weights drawn from the one generator.

    Raises
    ------
    OptionError
        If the network does not have an option that was given.
    """
    parameters = inspect.signature(models.TABLE[options["model"]].make).parameters
    chosen = {}
    for name in ("base", "depth"):
        if options[name] is None:
            continue
        if name not in parameters:
            raise OptionError(f"--{name}: the model {options['model']} has no such option: drop it")
        chosen[name] = options[name]
    return models.build(
        options["model"], in_channels=channels, num_classes=options["classes"], **chosen
    )


def default_crop(model: SegmentationModel, side: int) -> int:
    """The largest side that the network takes of pictures whose shortest side is ``side``."""
    largest = min(side, LARGEST_CROP)
    accepted = (size for size in range(largest, 0, -1) if model.accepts(size))
    return next(accepted, model.next_size(largest))


def check_crop(model: SegmentationModel, crop: int) -> None:
    """Refuse a crop that the network does not take.

    Raises
    ------
    OptionError
        With the nearest sizes that it does take.
    """
    if not model.accepts(crop):
        near = {default_crop(model, crop), model.next_size(crop)}
        raise OptionError(
            f"--crop is {crop}: {type(model).__name__} of this depth does not halve it evenly: "
            f"give {' or '.join(map(str, sorted(near)))}"
        )


# ---------------------------------------------------------------------------- objective


BINARY = frozenset({"binary_cross_entropy", "balanced_cross_entropy"})
"""Losses of one map of logits, foreground against background."""

WEIGHTED = "weighted_cross_entropy"
"""The loss that gets the median-frequency weights of the training masks."""


def build_loss(
    name: str, classes: int, void: int | None, weights: list[float] | None = None
) -> Loss:
    """The function of ``minisegnet.losses``, with void label and class weights filled in.

    Of two maps of logits a binary loss gets the difference, for softmax over two classes is the
    sigmoid of that difference.
    """
    function: Callable[..., Tensor] = getattr(losses, name)
    ignore = NO_VOID if void is None else void
    if name == WEIGHTED:
        return functools.partial(function, weight=weights, ignore_index=ignore)
    if name not in BINARY:
        return functools.partial(function, ignore_index=ignore)
    if classes != 2:
        raise OptionError(
            f"--loss {name} is for two classes and there are {classes}: choose another, such as "
            "cross_entropy"
        )

    def binary(logits: Tensor, target: Tensor) -> Tensor:
        return function(logits[:, 1] - logits[:, 0], target, ignore_index=ignore)

    return binary


def build_optimizer(options: Mapping[str, Any], model: SegmentationModel) -> optim.Optimizer:
    """The optimizer over all the weights."""
    lr, decay = options["lr"], options["weight_decay"]
    makers: dict[str, Callable[[], optim.Optimizer]] = {
        "adam": lambda: optim.Adam(model.parameters(), lr=lr, weight_decay=decay),
        "adamw": lambda: optim.AdamW(model.parameters(), lr=lr, weight_decay=decay),
        "sgd": lambda: optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=decay),
        "rmsprop": lambda: optim.RMSprop(model.parameters(), lr=lr, weight_decay=decay),
    }
    return makers[options["optimizer"]]()


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
