"""Modules that hold other modules in a row."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from minisegnet.nn.module import Module


class _Row(Module):
    """Children in order, named by their number or by a given name."""

    def _row(self) -> dict[str, Module]:
        # Not children(): the same module may stand at several places.
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def _set(self, name: str, module: Any) -> None:
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__}: entry {name} is {module!r}, not a module: use the layer "
                "of that name (nn.ReLU() for functional.relu) or write a Module around it"
            )
        setattr(self, name, module)

    def _name(self, index: int) -> str:
        names = list(self._row())
        try:
            return names[operator.index(index)]
        except IndexError:
            raise IndexError(
                f"{type(self).__name__}: index {index} is out of range for {len(names)} modules"
            ) from None

    def __len__(self) -> int:
        return len(self._row())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._row().values())

    def __setitem__(self, index: int, module: Module) -> None:
        self._set(self._name(index), module)

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns the container."""
        self._set(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end; returns the container."""
        for module in modules:
            self.append(module)
        return self


class Sequential(_Row):
    """Modules applied one after the other.

    Parameters
    ----------
    *modules : Module
        In the order of their application; or one mapping of names to modules.

    Examples
    --------
    >>> import numpy as np
    >>> from minisegnet import nn
    >>> block = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())
    >>> block(np.ones((2, 3, 4, 7), dtype=np.float32)).shape
    (2, 5, 4, 7)
    >>> block
    Sequential(
      (0): Conv2d(3, 5, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (1): ReLU()
    )
    >>> list(block.state_dict())
    ['0.weight', '0.bias']
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self._set(str(name), module)
        else:
            self.extend(modules)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sequential(dict(list(self._row().items())[index]))
        return self._row()[self._name(index)]

    def forward(self, x: Any) -> Any:
        """The last module's answer, each given the answer of the one before."""
        for module in self:
            x = module(x)
        return x


class ModuleList(_Row):
    """A list of modules whose parameters are found; it computes nothing by itself.

    Parameters
    ----------
    modules : iterable of Module, optional

    Examples
    --------
    >>> from minisegnet import nn
    >>> levels = nn.ModuleList(nn.Linear(n, n + 1, bias=False) for n in (2, 3))
    >>> [(name, p.shape) for name, p in levels.named_parameters()]
    [('0.weight', (3, 2)), ('1.weight', (4, 3))]
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return ModuleList(list(self)[index])
        return self._row()[self._name(index)]

    def insert(self, index: int, module: Module) -> None:
        """Add a module before the one at ``index``; those behind it are renumbered."""
        modules = list(self)
        modules.insert(index, module)
        for number, each in enumerate(modules):
            self._set(str(number), each)
