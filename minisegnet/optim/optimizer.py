"""What all optimisers share: parameter groups, their options, and the state that is saved."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module, device_of, is_array, to_device

# What a group may hold beside the optimiser's own options; schedules add "initial_lr".
_OTHER_KEYS = ("params", "name", "initial_lr")


class Optimizer:
    """Base of the optimisers: changes parameters, in place, by their gradients.

    Parameters
    ----------
    params : iterable of Parameter, or list of dicts
        A dict is a group: ``{"params": [...], "lr": 0.1, ...}``; options that it does not name are
        the optimiser's.
    defaults : dict
        The options of groups that do not name them.

    Attributes
    ----------
    param_groups : list of dict
        Each group's options and ``"params"``, a list. Schedules change ``"lr"`` here.
    state : dict
        For each parameter that had a gradient: what the optimiser remembers about it.

    Raises
    ------
    TypeError
        If ``params`` are not tensors.
    ValueError
        If there are no parameters, one appears twice or was computed by an op, or an option is
        unknown or out of range.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._spare: dict[tuple[str, Any, int], Array] = {}
        if isinstance(params, (Tensor, Mapping)):
            raise TypeError(
                f"{self._name}: params is a single {type(params).__name__}: give a list of "
                "parameters or groups, such as model.parameters()"
            )
        groups = list(params)
        if not groups:
            raise ValueError(
                f"{self._name}: there are no parameters: is the model without layers, or was the "
                "iterator model.parameters() used up already?"
            )
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # ------------------------------------------------------------------ groups

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own.

        Parameters
        ----------
        group : dict
            ``"params"`` and any of the optimiser's options.

        Raises
        ------
        TypeError, ValueError
            As for the optimiser itself.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(f"{self._name}: a group is a dict with the key 'params', not {group!r}")
        for key in group:
            if key not in self.defaults and key not in _OTHER_KEYS:
                near = difflib.get_close_matches(key, list(self.defaults), n=1)
                hint = f"did you mean {near[0]!r}?" if near else ", ".join(self.defaults)
                raise ValueError(f"{self._name}: a group has the unknown option {key!r}: {hint}")
        params = group["params"]
        members = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for number, parameter in enumerate(members):
            self._check_parameter(number, parameter, known)
            known.add(id(parameter))
        complete = {key: _plain(value) for key, value in {**self.defaults, **group}.items()}
        complete["params"] = members
        self._check_options(complete)
        self.param_groups.append(complete)

    def _check_parameter(self, number: int, parameter: Any, known: set[int]) -> None:
        if not isinstance(parameter, Tensor):
            hint = ": pass model.parameters()" if isinstance(parameter, tuple) else ""
            raise TypeError(
                f"{self._name}: parameter {number} is a {type(parameter).__name__}, "
                f"not a tensor{hint}"
            )
        if not parameter.is_leaf:
            raise ValueError(
                f"{self._name}: parameter {number} was computed by an op: only leaves can be "
                "optimised; pass what it was computed from"
            )
        if id(parameter) in known:
            raise ValueError(
                f"{self._name}: parameter {number}, of shape {parameter.shape}, is there already: "
                "it would be changed twice a step; list it once"
            )

    def _check_options(self, group: dict[str, Any]) -> None:
        """Refuse options out of range; each optimiser checks its own."""
        raise NotImplementedError

    def _require_at_least_zero(self, group: dict[str, Any], *names: str) -> None:
        for name in names:
            if not group[name] >= 0:
                raise ValueError(f"{self._name}: {name} is {group[name]}: it cannot be negative")

    # ------------------------------------------------------------------ stepping

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def step(self) -> None:
        """Change every parameter that has a gradient, in place."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, self.state.setdefault(parameter, {}), group)

    def _update(self, parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change one parameter; each optimiser has its own rule."""
        raise NotImplementedError

    def _workspace(self, like: Array, number: int = 0) -> Array:
        """Memory of an array's shape to compute in, the same at every step.

        Fresh memory costs more than the arithmetic on it: the system clears it page by page.
        """
        key = (device_of(like), like.dtype, number)
        spare = self._spare.get(key)
        if spare is None or spare.size < like.size:
            spare = self._spare[key] = array_module(like).empty(like.size, dtype=like.dtype)
        return spare[: like.size].reshape(like.shape)

    def _decayed(self, parameter: Tensor, weight_decay: float) -> Array:
        """The gradient of loss + weight_decay / 2 * sum(parameter²)."""
        if weight_decay == 0:
            return parameter.grad
        data = parameter.data
        work = array_module(data).multiply(data, weight_decay, out=self._workspace(data, 1))
        work += parameter.grad
        return work

    def _memory(self, state: dict[str, Any], name: str, like: Array) -> Array:
        """What is remembered under a name; zeros at first."""
        have = state.get(name)
        if have is None:
            have = state[name] = array_module(like).zeros_like(like)
        elif type(have) is not type(like) or have.dtype != like.dtype:
            # The parameter has been moved or converted since.
            have = state[name] = to_device(have, device_of(like)).astype(like.dtype)
        return have

    # ------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that is needed to continue.

        Returns
        -------
        dict
            ``"state"`` maps each parameter's number to what is remembered about it (arrays and
            step counts); ``"param_groups"`` is a list of dicts of options, with ``"params"`` the
            numbers. Nothing else than arrays, numbers, strings, lists, tuples and dicts.
        """
        numbers = {id(p): number for number, p in enumerate(self._parameters())}
        return {
            "state": {
                numbers[id(parameter)]: {
                    key: value.copy() if is_array(value) else value for key, value in state.items()
                }
                for parameter, state in self.state.items()
            },
            "param_groups": [
                {**group, "params": [numbers[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where another optimiser of this kind was; options are taken over, too.

        Everything is checked before anything is changed. Training on gives the same numbers, bit
        for bit, as without the interruption.

        Parameters
        ----------
        state : dict
            What :meth:`state_dict` returned, for parameters of the same shapes in the same order.

        Raises
        ------
        ValueError
            If it belongs to another kind of optimiser or to other parameters.
        """
        groups = self._checked_groups(state)
        parameters = list(self._parameters())
        loaded: dict[Tensor, dict[str, Any]] = {}
        for key, entries in state["state"].items():
            parameter = parameters[self._checked_number(key, len(parameters))]
            loaded[parameter] = {
                name: self._checked_entry(name, value, parameter) for name, value in entries.items()
            }
        for group, options in zip(self.param_groups, groups, strict=True):
            group.update(options)
        self.state = loaded

    def _parameters(self) -> Iterable[Tensor]:
        return (parameter for group in self.param_groups for parameter in group["params"])

    def _checked_groups(self, state: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The options of each group, if they fit this optimiser's."""
        if set(state) != {"state", "param_groups"}:
            raise ValueError(
                f"{self._name}.load_state_dict: not the state of an optimiser: it has "
                f"{sorted(state)} instead of 'state' and 'param_groups'"
            )
        sizes = [len(group["params"]) for group in state["param_groups"]]
        own = [len(group["params"]) for group in self.param_groups]
        if sizes != own:
            raise ValueError(
                f"{self._name}.load_state_dict: the state has groups of {sizes} parameters and "
                f"this optimiser of {own}: build it for the same model with the same groups"
            )
        checked = []
        for saved in state["param_groups"]:
            options = {key: value for key, value in saved.items() if key != "params"}
            wrong = set(self.defaults) ^ (set(options) - set(_OTHER_KEYS))
            if wrong:
                raise ValueError(
                    f"{self._name}.load_state_dict: the state is of another kind of optimiser: "
                    f"only one of the two has {', '.join(sorted(wrong))}"
                )
            checked.append({key: _plain(value) for key, value in options.items()})
            self._check_options(checked[-1])
        return checked

    def _checked_number(self, key: Any, count: int) -> int:
        number = int(key)
        if not 0 <= number < count:
            raise ValueError(
                f"{self._name}.load_state_dict: the state tells of parameter {number}, and there "
                f"are {count}: build the optimiser for the same model"
            )
        return number

    def _checked_entry(self, name: str, value: Any, parameter: Tensor) -> Any:
        if not is_array(value):
            return value
        if tuple(value.shape) != parameter.shape:
            raise ValueError(
                f"{self._name}.load_state_dict: {name} has shape {tuple(value.shape)} for a "
                f"parameter of shape {parameter.shape}: build the optimiser for the same model"
            )
        here = to_device(value, parameter.device)
        return here.astype(parameter.dtype, copy=True)

    def __repr__(self) -> str:
        lines = [
            f"group {number}: {len(group['params'])} parameters, "
            + ", ".join(f"{key}={value}" for key, value in group.items() if key != "params")
            for number, group in enumerate(self.param_groups)
        ]
        return f"{self._name}(\n  " + "\n  ".join(lines) + "\n)"


def _plain(value: Any) -> Any:
    """Python numbers for NumPy's, which a checkpoint cannot keep as they are."""
    if isinstance(value, (tuple, list)):
        return tuple(_plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value
