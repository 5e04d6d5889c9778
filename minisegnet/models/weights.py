"""Published weights of encoders: a PyTorch state_dict in a safetensors file, fitted by its names.

Encoders here have torchvision's names and shapes, so most tensors find their place by themselves.
What differs is dealt with here: prefixes that training scripts leave behind, VGG's fully connected
layers, which are convolutions in FCN and DeconvNet, and VGG-16 without batch normalisation in an
encoder that has it. Everything is checked before the first number is copied.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minisegnet import nn
from minisegnet.backend import Array
from minisegnet.tensor_file import read_tensors

OP = "load_torch_weights"

# Where a network, or a script that saved one, may keep its encoder.
_PREFIX = re.compile(r"^(?:(?:module|_orig_mod|model|backbone|encoder)\.)+")
# torchvision's fully connected layers of VGG, and the convolutions that take their weights.
_VGG_CONVOLUTIONS = {"classifier.0": "fc6", "classifier.3": "fc7"}
_PARTS = ("weight", "bias")
_COUNTER = "num_batches_tracked"
_STEM = "conv1.weight"
_MOST_NAMES = 8

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LoadedWeights:
    """What became of a file's tensors, and of the network's; ``str()`` says it in a few lines.

    Attributes
    ----------
    file, network : str
        Their names.
    loaded : tuple of str
        The network's tensors that have their values from the file.
    left : tuple of str
        Those that keep the values which they started with.
    unused : tuple of str
        The file's tensors that found no place.
    wrong_shape : mapping of str to (shape in the file, shape in the network)
        Tensors that found a place of another shape, by the network's name; these are among
        ``left``.
    numbers : (int, int)
        How many numbers were loaded, and how many the network has.
    """

    file: str
    network: str
    loaded: tuple[str, ...]
    left: tuple[str, ...]
    unused: tuple[str, ...]
    wrong_shape: Mapping[str, tuple[Shape, Shape]]
    numbers: tuple[int, int]

    def __str__(self) -> str:
        lines = [
            f"{self.file}: {len(self.loaded)} of the {len(self.loaded) + len(self.left)} tensors "
            f"of {self.network} loaded, {self.numbers[0]:,} of {self.numbers[1]:,} numbers"
        ]
        if self.left:
            lines.append(f"left at their start: {_some(self.left)}")
        if self.unused:
            lines.append(f"not used: {_some(self.unused)}")
        if self.wrong_shape:
            lines.append(f"wrong shape: {_shapes(self.wrong_shape)}")
            lines += _stem_advice(self.wrong_shape)
        return "\n".join(lines)


def load_torch_weights(model: nn.Module, path: str | os.PathLike[str]) -> LoadedWeights:
    """Fill a network's encoder with published weights of VGG-16 or ResNet.

    Parameters
    ----------
    model : Module
        A network with an encoder of :mod:`minisegnet.models`.
    path : str or path
        A safetensors file with the tensors of a PyTorch ``state_dict``, of any floating type: those
        of torchvision's ``vgg16``, ``vgg16_bn``, ``resnet50`` or ``resnet101``, or of a whole
        network with such an encoder. Prefixes such as ``module.`` or ``backbone.`` do not matter.

    Returns
    -------
    LoadedWeights
        What was loaded and what was not; print it.

    Raises
    ------
    ValueError
        If the file cannot be read or is no safetensors file (a pickle, as ``.pth`` files are, is
        never unpickled); if nothing in it fits, or it is of an encoder of another depth or kind; if
        it holds numbers that are not finite. The network is then as it was.

    Notes
    -----
    A layer is filled as a whole or not at all. VGG's first two fully connected layers become
    ``fc6`` and ``fc7`` where there are such: a matrix (4096, 25088) holds a 7x7 kernel of 512 maps
    for each output, row after row. Weights of VGG-16 without batch normalisation fit an encoder
    that has it: its normalisations stay at their start, and there they change next to nothing in
    evaluation.

    Examples
    --------
    >>> import tempfile, safetensors.numpy
    >>> from minisegnet.models import FCN8s
    >>> published = FCN8s(num_classes=5, base=2).features.state_dict()
    >>> tensors = {f"module.features.{name}": array for name, array in published.items()}
    >>> tensors["module.classifier.6.bias"] = np.ones(1000)
    >>> file = Path(tempfile.mkdtemp()) / "vgg16.safetensors"
    >>> safetensors.numpy.save_file(tensors, file)
    >>> print(load_torch_weights(FCN8s(num_classes=5, base=2), file))
    vgg16.safetensors: 26 of the 36 tensors of FCN8s loaded, 14,550 of 132,317 numbers
    left at their start: fc6.weight, fc6.bias, fc7.weight, fc7.bias, score.0.weight, ... and 2 more
    not used: module.classifier.6.bias
    """
    tensors, _ = read_tensors(path, OP)
    targets = {n: array for n, array in model.named_state() if not n.endswith(_COUNTER)}
    file, network = Path(path).name, type(model).__name__
    _refuse_another_resnet(tensors, targets, file, network)
    places = _places(tensors, targets, file, network)
    fitting = {to: _as_kernel(tensors[name], targets[to].shape) for name, to in places.items()}
    wrong = {
        to: (tuple(array.shape), tuple(targets[to].shape))
        for to, array in fitting.items()
        if array.shape != targets[to].shape
    }
    spoilt = {_layer(to) for to in wrong}
    chosen = {to: array for to, array in fitting.items() if _layer(to) not in spoilt}
    if not chosen:
        raise ValueError(_why_nothing(file, network, tensors, targets, wrong))
    _refuse_not_finite(chosen, file)
    model.load_state_dict(chosen, strict=False)
    return LoadedWeights(
        file,
        network,
        loaded=tuple(to for to in targets if to in chosen),
        left=tuple(to for to in targets if to not in chosen),
        unused=tuple(
            name
            for name in tensors
            if places.get(name) not in chosen and not name.endswith(_COUNTER)
        ),
        wrong_shape=wrong,
        numbers=(
            sum(array.size for array in chosen.values()),
            sum(array.size for array in targets.values()),
        ),
    )


def _places(
    tensors: Mapping[str, Array], targets: Mapping[str, Array], file: str, network: str
) -> dict[str, str]:
    """For each of the file's tensors that belongs into the network, where it belongs."""
    renamed = _vgg_names(tensors, targets, file, network)
    by_core: dict[str, str] = {}
    for to in sorted(targets, key=lambda name: _core(name) == name):  # an encoder's comes first
        by_core.setdefault(_core(to), to)
    places: dict[str, str] = {}
    for name in sorted(tensors, key=lambda name: name not in targets):  # its own name comes first
        core = renamed.get(_core(name), _core(name))
        place = name if name in targets and core == _core(name) else by_core.get(core)
        if place is not None and place not in places.values():
            places[name] = place
    return places


def _core(name: str) -> str:
    return _PREFIX.sub("", name)


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _as_kernel(array: np.ndarray, shape: Shape) -> np.ndarray:
    """A fully connected layer's (out, in * kH * kW) as the convolution (out, in, kH, kW) it is."""
    if array.ndim == 2 and len(shape) == 4 and array.shape == (shape[0], np.prod(shape[1:])):
        return array.reshape(shape)
    return array


# ---------------------------------------------------------------------------- VGG


def _vgg_names(
    tensors: Mapping[str, Array], targets: Mapping[str, Array], file: str, network: str
) -> dict[str, str]:
    """What VGG's tensors, by their core names, are called in the network's own numbering."""
    theirs, ours = _vgg_layers(tensors), _vgg_layers(targets)
    if not (theirs[4] and ours[4]):
        return {}
    if len(theirs[4]) != len(ours[4]):
        raise ValueError(
            f"{OP}: {file} is of a VGG of {len(theirs[4])} convolutions and the encoder of "
            f"{network} has {len(ours[4])}: take the weights of VGG-16, which has 13"
        )
    if theirs[1] and not ours[1]:
        raise ValueError(
            f"{OP}: {file} is of a VGG with batch normalisation and the encoder of {network} has "
            "none, so its convolutions would see other numbers: take the weights of VGG-16 without "
            "(torchvision's vgg16)"
        )
    names: dict[str, str] = {}
    if not theirs[1]:
        for their, our in zip(theirs[4], ours[4], strict=True):
            names |= {f"features.{their}.{part}": f"features.{our}.{part}" for part in _PARTS}
    for connected, convolution in _VGG_CONVOLUTIONS.items():
        inside = convolution if f"{convolution}.weight" in targets else f"{convolution}.0"
        names |= {f"{connected}.{part}": f"{inside}.{part}" for part in _PARTS}
    return names | {f"classifier.6.{part}": "" for part in _PARTS}


def _vgg_layers(tensors: Mapping[str, Array]) -> dict[int, list[int]]:
    """The numbers of VGG's convolutions (whose weights have 4 axes) and normalisations (1)."""
    found: dict[int, list[int]] = {1: [], 4: []}
    for name, array in tensors.items():
        match = re.fullmatch(r"features\.(\d+)\.weight", _core(name))
        if match and array.ndim in found:
            found[array.ndim].append(int(match[1]))
    return {ndim: sorted(numbers) for ndim, numbers in found.items()}


# ---------------------------------------------------------------------------- refusals


def _refuse_another_resnet(
    tensors: Mapping[str, Array], targets: Mapping[str, Array], file: str, network: str
) -> None:
    """A ResNet of another depth has the same names as far as it goes."""
    theirs, ours = (_resnet_blocks(names) for names in (tensors, targets))
    if all(theirs) and all(ours) and theirs != ours:
        raise ValueError(
            f"{OP}: {file} is of a ResNet with {theirs} blocks in its four stages and the encoder "
            f"of {network} has {ours}: ResNet-50 has (3, 4, 6, 3) and ResNet-101 (3, 4, 23, 3). "
            "Take the other file, or build the network with the other backbone"
        )


def _resnet_blocks(names: Iterable[str]) -> tuple[int, ...]:
    """How many blocks each of the four stages has."""
    found = {m[0] for name in names if (m := re.match(r"layer([1-4])\.\d+\.", _core(name)))}
    return tuple(sum(block[5] == str(stage) for block in found) for stage in (1, 2, 3, 4))


def _refuse_not_finite(chosen: Mapping[str, np.ndarray], file: str) -> None:
    for name, array in chosen.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(
                f"{OP}: what {file} has for {name} is not all finite real numbers: the file is "
                "damaged, or of a training that diverged; take another"
            )


def _why_nothing(
    file: str,
    network: str,
    tensors: Mapping[str, Array],
    targets: Mapping[str, Array],
    wrong: Mapping[str, tuple[Shape, Shape]],
) -> str:
    if wrong:
        return (
            f"{OP}: nothing in {file} fits {network}: {_shapes(wrong)}. Published weights are of "
            "the paper's width: build the network with its default base, for 3 channels"
        )
    return (
        f"{OP}: nothing in {file} fits {network}: the file has {_some(tensors, 3)}; the network "
        f"{_some(targets, 3)}. Give the state_dict of torchvision's vgg16, vgg16_bn, resnet50 or "
        "resnet101, whichever the encoder is"
    )


def _stem_advice(wrong: Mapping[str, tuple[Shape, Shape]]) -> list[str]:
    """What to do where one ResNet begins with a 7x7 convolution and the other with three of 3x3."""
    kernels = {tuple(s[2:] for s in pair) for to, pair in wrong.items() if _core(to) == _STEM}
    advice = {
        ((7, 7), (3, 3)): "its encoder begins with one 7x7 convolution and this one with three of "
        "3x3: build the network with stem='plain' (--model-options stem=plain)",
        ((3, 3), (7, 7)): "its encoder begins with three 3x3 convolutions and this one with one of "
        "7x7: take torchvision's resnet50 or resnet101, or build PSPNet with stem='deep'",
    }
    return [advice[each] for each in kernels if each in advice]


def _some(names: Iterable[str], most: int = _MOST_NAMES) -> str:
    listed = list(names)
    more = len(listed) - most
    shown = ", ".join(listed[:most]) or "nothing"
    return f"{shown} and {more} more" if more > 0 else shown


def _shapes(wrong: Mapping[str, tuple[Shape, Shape]]) -> str:
    return _some((f"{to} is {a} in the file and {b} here" for to, (a, b) in wrong.items()), 3)
