"""The base of every layer and network: it finds its parameters, names them, saves and moves them.

A module keeps its state in plain attributes. A :class:`Parameter` is trained, a child module has
state of its own, and a buffer is an array that is saved but not trained (running statistics).
Python keeps attributes in the order of their definition, and so does everything here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, DType, device_of, is_array, library_for, to_device
from minisegnet.nn.places import note_place
from minisegnet.nn.watching import announce

_MOST_NAMES_LISTED = 20


class Parameter(Tensor):
    """A tensor that a module trains.

    Parameters
    ----------
    data : array, Tensor, or nested sequence of numbers
        The values; an array is held without a copy.
    requires_grad : bool
        False freezes it: no gradient is computed and no optimiser changes it.

    Examples
    --------
    >>> Parameter([[1.0, 2.0, 3.0]])
    tensor([[1., 2., 3.]], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)


class LoadResult(NamedTuple):
    """Which names :meth:`Module.load_state_dict` did not find on one side or the other."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A layer or a network: state in attributes, computation in ``forward``.

    Define the state in ``__init__`` (after ``super().__init__()``) and the computation in
    ``forward``; call the module like a function.

    Attributes
    ----------
    training : bool
        Whether layers that behave differently in training (dropout, batch normalisation) shall do
        so; :meth:`train` and :meth:`eval` set it here and below.

    Examples
    --------
    >>> class Scale(Module):
    ...     def __init__(self, channels):
    ...         super().__init__()
    ...         self.scale = Parameter(np.ones((channels, 1, 1), dtype=np.float32))
    ...
    ...     def forward(self, x):
    ...         return x * self.scale
    >>> layer = Scale(3)
    >>> layer(np.ones((2, 3, 4, 5), dtype=np.float32)).shape
    (2, 3, 4, 5)
    >>> [(name, p.shape) for name, p in layer.named_parameters()]
    [('scale', (3, 1, 1))]
    """

    training: bool = True
    # Name of each buffer, and whether it is saved.
    _buffers: Mapping[str, bool] = MappingProxyType({})

    def __init__(self) -> None:
        self._buffers: dict[str, bool] = {}
        self.training = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; every module defines its own.

        Raises
        ------
        NotImplementedError
            If the class does not define it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no forward: define forward(self, ...) in the class"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            output = self.forward(*args, **kwargs)
        except (ValueError, TypeError, IndexError) as error:
            note_place(error, self)
            raise
        announce(self, output)
        return output

    # ------------------------------------------------------------------ attributes

    def __setattr__(self, name: str, value: Any) -> None:
        owner = type(self).__name__
        if isinstance(value, (Parameter, Module)) and "_buffers" not in vars(self):
            raise AttributeError(
                f"{owner}.{name} is set before {owner} is initialised: call super().__init__() "
                "first thing in __init__"
            )
        inside = value.values() if isinstance(value, dict) else value
        if isinstance(value, (list, tuple, dict)) and any(
            isinstance(item, (Parameter, Module)) for item in inside
        ):
            raise TypeError(
                f"{owner}.{name} is a {type(value).__name__} with modules or parameters in it, "
                "which would be neither trained nor saved: use nn.ModuleList or nn.Sequential, or "
                "one attribute for each"
            )
        is_parameter = isinstance(vars(self).get(name), Parameter)
        if is_parameter and not (value is None or isinstance(value, Parameter)):
            raise TypeError(
                f"{owner}.{name} is a parameter and cannot become a {type(value).__name__}: "
                f"assign nn.Parameter(...), or change its values in place: {owner}.{name}.data[...]"
            )
        super().__setattr__(name, value)

    # Hidden from type checkers, which find missing attributes by themselves.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            known = [n for n in dir(self) if not n.startswith("_")]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def register_buffer(self, name: str, array: Any, persistent: bool = True) -> None:
        """Keep an array that is part of the module's state but is not trained.

        Parameters
        ----------
        name : str
            The attribute to keep it under.
        array : array, Tensor, number or None
            A plain array is kept, without a copy. None reserves the name.
        persistent : bool
            Whether :meth:`state_dict` holds it.

        Raises
        ------
        AttributeError
            If the module is not initialised or has another attribute of this name.
        TypeError
            If the value is not an array.
        """
        owner = type(self).__name__
        if "_buffers" not in vars(self):
            raise AttributeError(
                f"{owner}: buffer {name!r} is registered before {owner} is initialised: call "
                "super().__init__() first thing in __init__"
            )
        if (name in vars(self) or hasattr(type(self), name)) and name not in self._buffers:
            raise AttributeError(f"{owner} already has an attribute {name!r}: choose another name")
        value = None if array is None else _as_array(array, f"{owner}: buffer {name!r}")
        vars(self)["_buffers"][name] = persistent
        setattr(self, name, value)

    # ------------------------------------------------------------------ finding state

    def _state(self, prefix: str = "") -> Iterator[tuple[str, Module, str]]:
        """Every parameter and buffer: full name, owner, attribute; shared ones at every place."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield from value._state(f"{prefix}{name}.")
            elif isinstance(value, Parameter) or (name in self._buffers and value is not None):
                yield prefix + name, self, name

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Each parameter once, with its dotted name, in order of definition."""
        seen: set[int] = set()
        for full_name, owner, name in self._state():
            value = getattr(owner, name)
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield full_name, value

    def parameters(self) -> Iterator[Parameter]:
        """Each parameter once, in order of definition; what an optimiser takes."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Each buffer once, a plain array, with its dotted name, in order of definition."""
        seen: set[int] = set()
        for full_name, owner, name in self._state():
            value = getattr(owner, name)
            if not isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield full_name, value

    def buffers(self) -> Iterator[Array]:
        """Each buffer once, in order of definition."""
        return (buffer for _, buffer in self.named_buffers())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below, each once, with their names."""
        seen: set[int] = set()
        for name, value in vars(self).items():
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules directly below, each once."""
        return (child for _, child in self.named_children())

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """All modules from this one (named "") down, each once, parents before children."""
        return self._named_modules("", set())

    def _named_modules(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, child in self.named_children():
            yield from child._named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """All modules from this one down, each once, parents before children."""
        return (module for _, module in self.named_modules())

    def num_parameters(self, trainable_only: bool = False) -> int:
        """How many numbers the parameters hold; shared ones count once."""
        return sum(p.size for p in self.parameters() if p.requires_grad or not trainable_only)

    # ------------------------------------------------------------------ saving and loading

    def named_state(self) -> Iterator[tuple[str, Array]]:
        """Every parameter's and saved buffer's own array, with its dotted name, in order."""
        for full_name, owner, name in self._state():
            if owner._buffers.get(name, True):
                yield full_name, _plain(getattr(owner, name))

    def state_dict(self) -> dict[str, Array]:
        """A copy of every parameter and saved buffer, by name, in order of definition.

        The arrays are plain ones, on the module's device. They are copies: training on does not
        change them, so this is a snapshot to come back to.
        """
        return {name: array.copy() for name, array in self.named_state()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Copy the values of a state into the parameters and buffers.

        Everything is checked before anything is copied. Values are copied into the arrays there
        are, so their dtype and device stay and an optimiser's references remain good.

        Parameters
        ----------
        state : mapping of str to array or Tensor
            What :meth:`state_dict` returned; NumPy and CuPy arrays both do.
        strict : bool
            False skips names that only one side has.

        Returns
        -------
        LoadResult
            The names that were missing and unexpected; both empty if ``strict``.

        Raises
        ------
        ValueError
            If names are missing or unexpected (unless ``strict=False``), or shapes differ.
        TypeError
            If a value is not an array of real numbers.
        """
        owner = type(self).__name__
        if not isinstance(state, Mapping):
            raise TypeError(
                f"load_state_dict: the state is of type {type(state).__name__}: give the names and "
                "arrays that state_dict() returned"
            )
        targets = dict(self.named_state())
        found = {
            name: _as_array(value, f"load_state_dict: {name!r}")
            for name, value in state.items()
            if name in targets
        }
        missing = [name for name in targets if name not in state]
        unexpected = [name for name in state if name not in targets]
        shapes = [
            f"{name} is {tuple(array.shape)} in the state and {tuple(targets[name].shape)} here"
            for name, array in found.items()
            if array.shape != targets[name].shape
        ]
        problems = [_listing("shapes differ", shapes)]
        if strict:
            problems += [_listing("missing", missing), _listing("unexpected", unexpected)]
        if any(problems):
            raise ValueError(
                f"load_state_dict: the state does not fit {owner}: "
                + "; ".join(problem for problem in problems if problem)
                + ". Build the module with the options it was saved with"
                + ("" if shapes else ", or pass strict=False to load what both have")
            )
        for name, array in found.items():
            target = targets[name]
            target[...] = to_device(array, device_of(target)).astype(target.dtype, copy=False)
        return LoadResult(missing, unexpected)

    # ------------------------------------------------------------------ changing all at once

    def train(self, mode: bool = True) -> Self:
        """Set training mode here and below; returns the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set evaluation mode here and below; returns the module."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or thaw (True) all parameters; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call a function with every module, children before parents; returns the module."""
        for module in reversed(list(self.modules())):
            function(module)
        return self

    def to(self, device: Any = None, dtype: DType = None) -> Self:
        """Move all state to a device, and its floating part into a dtype; returns the module.

        Parameters stay the same objects, so an optimiser that has them keeps them; what it
        remembers follows at its next step.

        Parameters
        ----------
        device : "cpu" or "cuda", optional
        dtype : floating NumPy dtype, optional
            May also be given alone: ``to("float64")``.

        Raises
        ------
        ValueError
            If the device is not available or the dtype is not floating.
        """
        device, dtype = _device_and_dtype(device, dtype)
        parameters = list(self.parameters())
        for parameter in parameters:
            parameter.data = _converted(parameter.data, device, dtype)
            if parameter.grad is not None:
                parameter.grad = _converted(parameter.grad, device, dtype)
        for _, owner, name in self._state():
            if name in owner._buffers:
                setattr(owner, name, _converted(getattr(owner, name), device, dtype))
        return self

    def double(self) -> Self:
        """Turn the floating state into float64; returns the module."""
        return self.to(dtype=np.float64)

    def float(self) -> Self:
        """Turn the floating state into float32; returns the module."""
        return self.to(dtype=np.float32)

    # ------------------------------------------------------------------ showing

    def extra_repr(self) -> str:
        """The options that ``repr`` shows between the brackets."""
        return ""

    def __repr__(self) -> str:
        lines = [
            f"({name}): {value!r}".replace("\n", "\n  ")
            for name, value in vars(self).items()
            if isinstance(value, Module)
        ]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [self.extra_repr(), *lines] if self.extra_repr() else lines
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def _plain(value: Any) -> Array:
    return value.data if isinstance(value, Tensor) else value


def _as_array(value: Any, what: str) -> Array:
    value = _plain(value)
    if isinstance(value, (bool, int, float, np.generic)):
        value = np.asarray(value)
    if not is_array(value):
        raise TypeError(
            f"{what} is a {type(value).__name__}: give a NumPy or CuPy array (of a PyTorch tensor, "
            "tensor.numpy())"
        )
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{what} is of dtype {value.dtype}: give real numbers")
    return value


def _listing(what: str, entries: list[str]) -> str:
    shown = ", ".join(entries[:_MOST_NAMES_LISTED])
    more = len(entries) - _MOST_NAMES_LISTED
    return f"{what}: {shown}" + (f" and {more} more" if more > 0 else "") if entries else ""


def _device_and_dtype(device: Any, dtype: DType) -> tuple[str | None, Any]:
    """Sort out ``to("cuda")``, ``to("float64")`` and ``to("cuda", "float64")``, and check them."""
    if device is not None and dtype is None:
        try:
            device, dtype = None, np.dtype(device)
        except TypeError:  # not the name of a dtype
            dtype = None
    if device is not None:
        library_for(device)
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise ValueError(
            f"to: {np.dtype(dtype)} is not a floating dtype, and weights are trained by small "
            "steps: choose 'float32' or 'float64'"
        )
    return device, dtype


def _converted(array: Array, device: str | None, dtype: DType) -> Array:
    array = array if device is None else to_device(array, device)
    if dtype is None or array.dtype.kind != "f":
        return array
    return array.astype(dtype, copy=False)
