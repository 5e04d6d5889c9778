"""What the scores accept: tensors, arrays of any library, nested lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, is_array


def as_array(value: Any) -> Array:
    """The array of a tensor, an array as it is, a list as a NumPy array.

    Examples
    --------
    >>> as_array([[1, 0, 2]])
    array([[1, 0, 2]])
    """
    if isinstance(value, Tensor):
        return value.data
    return value if is_array(value) else np.asarray(value)
