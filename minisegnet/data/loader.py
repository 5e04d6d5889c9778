"""Batches from a dataset, the same ones whenever the seed and the epoch are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

import numpy as np

from minisegnet.data.dataset import Dataset, ImageArray, MaskArray
from minisegnet.data.streams import stream
from minisegnet.data.transforms import Transform

# SeedSequence takes [a, b] and [a, b, 0] for the same: a tag in front keeps the streams apart.
_ORDER_TAG, _ITEM_TAG = 0x0BDE, 0x17E3


class LoaderState(TypedDict):
    """What `DataLoader.state_dict` gives: enough for the next epoch to be the one that it was."""

    seed: int
    epoch: int


class DataLoader:
    """Go through a dataset in batches.

    The order of an epoch comes from a generator seeded by (seed, epoch), the augmentation of an
    item from one seeded by (seed, epoch, item). Nothing else is remembered, so a run that is
    resumed at epoch k sees the very batches that it would have seen.

    Parameters
    ----------
    dataset : Dataset
        Has a length, and gives pairs: image (C, H, W) and mask (H, W).
    batch_size : int
        Items in a batch; the last one may have fewer.
    shuffle : bool
        Another order every epoch; otherwise that of the dataset.
    seed : int
        Of the order and of the augmentation, 0 or more.
    transform : callable, optional
        ``(image, mask, rng) -> (image, mask)``, such as `Compose`.
    drop_last : bool
        Leave out a last batch that is not full.

    Attributes
    ----------
    epoch : int
        The epoch that the next iteration goes through. It advances when an iteration reaches its
        end, and may be set.

    Raises
    ------
    ValueError
        The dataset is empty, the batch size below 1, the seed below 0; while iterating, when the
        items of a batch differ in size.

    Examples
    --------
    >>> from minisegnet.data import Shapes
    >>> loader = DataLoader(Shapes(5, size=(32, 48)), batch_size=2, shuffle=True, seed=7)
    >>> len(loader), loader.epoch
    (3, 0)
    >>> [(images.shape, masks.shape) for images, masks in loader][-1]
    ((1, 3, 32, 48), (1, 32, 48))
    >>> loader.epoch
    1
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        seed: int = 0,
        transform: Transform | None = None,
        drop_last: bool = False,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
            raise TypeError(f"DataLoader: batch_size is {batch_size!r}: give a whole number")
        if batch_size < 1:
            raise ValueError(f"DataLoader: batch_size is {batch_size}: it must be 1 or more")
        if seed < 0:
            raise ValueError(f"DataLoader: seed is {seed}: it must be 0 or more")
        if len(dataset) == 0:
            raise ValueError("DataLoader: the dataset is empty: there is nothing to go through")
        if drop_last and len(dataset) < batch_size:
            raise ValueError(
                f"DataLoader: {len(dataset)} items fill no batch of {batch_size}, and drop_last "
                "drops the rest: take a smaller batch_size or drop_last=False"
            )
        self.dataset, self.batch_size, self.shuffle = dataset, int(batch_size), shuffle
        self.seed, self.transform, self.drop_last = int(seed), transform, drop_last
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration goes through."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if epoch < 0:
            raise ValueError(f"DataLoader: epoch is {epoch}: it must be 0 or more")
        self._epoch = int(epoch)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[tuple[ImageArray, MaskArray]]:
        """Batches of one epoch: images (N, C, H, W) float32 and masks (N, H, W) int64."""
        epoch = self.epoch
        order = np.arange(len(self.dataset))
        if self.shuffle:
            order = stream(_ORDER_TAG, self.seed, epoch).permutation(order)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self._batch(order[start : start + self.batch_size].tolist(), epoch)
        self.epoch = epoch + 1

    def _batch(self, indices: list[int], epoch: int) -> tuple[ImageArray, MaskArray]:
        pairs = [self._item(index, epoch) for index in indices]
        first = pairs[0][0].shape
        for index, (image, mask) in zip(indices, pairs, strict=True):
            if image.shape[1:] != mask.shape:
                raise ValueError(
                    f"DataLoader: item {index} has an image {image.shape} and a mask {mask.shape}: "
                    "they must be (C, H, W) and (H, W) of one height and width"
                )
            if image.shape != first:
                raise ValueError(
                    f"DataLoader: a batch holds items of one size, but item {indices[0]} is "
                    f"{first} and item {index} is {image.shape} (channels, rows, columns): crop "
                    "them to one size (RandomCrop), or take batch_size 1"
                )
        images = np.stack([image for image, _ in pairs]).astype(np.float32, copy=False)
        return images, np.stack([mask for _, mask in pairs]).astype(np.int64, copy=False)

    def _item(self, index: int, epoch: int) -> tuple[ImageArray, MaskArray]:
        image, mask = self.dataset[index]
        if self.transform is None:
            return image, mask
        rng = stream(_ITEM_TAG, self.seed, epoch, index)
        return self.transform(image, mask, rng)

    def state_dict(self) -> LoaderState:
        """The seed and the epoch: what a checkpoint must hold for the next epoch to be the same."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state: LoaderState) -> None:
        """Take up where `state_dict` was taken.

        Raises
        ------
        ValueError
            The state lacks a key, or holds one that is not known.
        """
        if set(state) != {"seed", "epoch"}:
            raise ValueError(
                f"DataLoader: a state holds 'seed' and 'epoch' but this has {sorted(state)}: pass "
                "what state_dict() gave"
            )
        self.seed, self.epoch = int(state["seed"]), int(state["epoch"])
