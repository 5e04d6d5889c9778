"""Watching a network at work: who was called, and what came out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

Watcher = Callable[[Any, Any], None]


class _Watched(threading.local):
    watchers: tuple[Watcher, ...] = ()


_watched = _Watched()


@contextlib.contextmanager
def watch(watcher: Watcher) -> Iterator[None]:
    """Inside this context, call ``watcher(module, output)`` for every module that has run.

    A module comes after those inside it. Only modules of this thread are told of.

    Examples
    --------
    >>> import numpy as np
    >>> from minisegnet import nn
    >>> model = nn.Sequential(nn.MaxPool2d(2), nn.Flatten())
    >>> with watch(lambda module, output: print(type(module).__name__, output.shape)):
    ...     y = model(np.ones((1, 3, 4, 10), dtype=np.float32))
    MaxPool2d (1, 3, 2, 5)
    Flatten (1, 30)
    Sequential (1, 30)
    """
    before = _watched.watchers
    _watched.watchers = (*before, watcher)
    try:
        yield
    finally:
        _watched.watchers = before


def announce(module: Any, output: Any) -> None:
    """Tell every watcher of a module that has run."""
    for watcher in _watched.watchers:
        watcher(module, output)
