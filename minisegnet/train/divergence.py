"""Where a network's numbers got out of hand, for the message of a training that diverged."""

from __future__ import annotations

from typing import Any

from minisegnet import nn
from minisegnet.anomaly import AnomalyError, detect_anomaly
from minisegnet.autograd import Tensor, no_grad
from minisegnet.backend import Array, array_module
from minisegnet.nn.places import described
from minisegnet.train.inference import as_array, device_of_model


def layer_to_blame(model: nn.Module, images: Any) -> str:
    """The layer where a batch first stops being finite; if nowhere, the one of the largest weight.

    Parameters
    ----------
    model : Module
        With the weights that it had when the training was stopped.
    images : array (N, C, H, W)
        A batch that it was trained on.

    Examples
    --------
    >>> import numpy as np
    >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 1, bias=False))
    >>> model[1].weight.data[:] = np.nan
    >>> layer_to_blame(model, np.ones((1, 1, 4, 6), np.float32))
    'the first number that is not finite is in 1 (Conv2d 2, 1, kernel_size=(1, 1), ...)'
    """
    try:
        with detect_anomaly(), no_grad():
            model(Tensor(as_array(images, device_of_model(model))))
    except AnomalyError as error:
        place = error.layer or f"the operation {error.op}"
        return f"the first number that is not finite is in {place}"
    largest, path = max(((_size(p.data), n) for n, p in model.named_parameters()), default=(0, ""))
    owner, _, name = path.rpartition(".")
    module = dict(model.named_modules()).get(owner, model)
    return f"the largest weight, {largest:.3g}, is in the {name} of {described(owner, module)}"


def _size(values: Array) -> float:
    return float(array_module(values).abs(values).max()) if values.size else 0.0
