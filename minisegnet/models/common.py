"""What every segmentation network here has: channels, classes, and the sizes it accepts."""

from __future__ import annotations

import os
from typing import Any

from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.checks import require_ndim
from minisegnet.models.weights import LoadedWeights, load_torch_weights


class SegmentationModel(nn.Module):
    """A network from images (N, in_channels, H, W) to logits (N, num_classes, H, W).

    Attributes
    ----------
    in_channels, num_classes : int
    size_multiple : int
        H and W must be multiples of it, or the poolings on the way down drop a row or a column
        that the way up cannot bring back.
    auxiliary_weight : float
        How much the loss of each auxiliary map of logits counts in training; 0 where there is none.
    """

    auxiliary_weight: float = 0.0

    def __init__(self, in_channels: int, num_classes: int, size_multiple: int = 1) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.size_multiple = size_multiple

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits, and after them those of auxiliary heads, of the same size, if there are.

        Auxiliary heads only help in training, which adds ``auxiliary_weight`` times the loss of
        each to the loss of the logits.
        """
        return (self(x),)

    def load_torch_weights(self, path: str | os.PathLike[str]) -> LoadedWeights:
        """Fill the encoder with published weights; see :func:`load_torch_weights`.

        Parameters
        ----------
        path : str or path
            A safetensors file of a PyTorch ``state_dict``.

        Raises
        ------
        ValueError
            If the file cannot be read, or nothing in it fits; the network is then as it was.
        """
        return load_torch_weights(self, path)

    def accepts(self, size: int) -> bool:
        """Whether a side of this many cells fits the network."""
        return size > 0 and size % self.size_multiple == 0

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of the logits for an input of ``size`` (rows, columns).

        Raises
        ------
        ValueError
            If the network does not accept the size.
        """
        if not all(self.accepts(side) for side in size):
            raise ValueError(self.size_advice(size))
        return size

    def next_size(self, size: int) -> int:
        """The smallest accepted side that is at least ``size``.

        Raises
        ------
        ValueError
            If there is none within reach.
        """
        reach = range(size, size + 4 * self.size_multiple + 1024)
        found = next((side for side in reach if self.accepts(side)), None)
        if found is None:
            raise ValueError(f"{type(self).__name__} accepts no side near {size}")
        return found

    def check_input(self, x: Any) -> None:
        """Refuse an input that the network cannot take, and say what to do.

        Raises
        ------
        ValueError
            If the shape does not fit.
        """
        name = type(self).__name__
        require_ndim(x, 4, "(N, C, H, W)", "input", name)
        if x.shape[1] != self.in_channels:
            raise ValueError(
                f"{name}: input {tuple(x.shape)} has {x.shape[1]} channels but the network was "
                f"made for {self.in_channels}: convert the images, or build it with "
                f"in_channels={x.shape[1]}"
            )
        if not all(self.accepts(side) for side in x.shape[2:]):
            raise ValueError(self.size_advice(x.shape[2:]))

    def size_advice(self, size: tuple[int, ...]) -> str:
        """A sentence that says why a size does not fit and what to pad it to."""
        wanted = tuple(self.next_size(side) for side in size)
        before = ", ".join(f"{side} -> {to}" for side, to in zip(size, wanted, strict=True))
        return (
            f"{type(self).__name__}: input of {size[0]}x{size[1]} does not halve evenly: its "
            f"poolings need sides in steps of {self.size_multiple}. Pad it to "
            f"{wanted[0]}x{wanted[1]} ({before}), for example with functional.pad(x, "
            f"(0, {wanted[1] - size[1]}, 0, {wanted[0] - size[0]})), and crop the logits back"
        )
