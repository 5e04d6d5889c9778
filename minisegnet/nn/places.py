"""Where in a network something happened: the path of a layer, as ``named_modules`` gives it."""

from __future__ import annotations

from typing import Any

_NOTE = "_minisegnet_place"


def path_within(root: Any, module: Any) -> str | None:
    """The dotted name of a module below ``root``; "" for ``root`` itself, None if it is not there.

    Examples
    --------
    >>> from minisegnet import nn
    >>> model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU(), nn.Flatten()))
    >>> path_within(model, model[1][1])
    '1.1'
    """
    return next((name for name, each in root.named_modules() if each is module), None)


def described(path: str, module: Any) -> str:
    """A layer in words: ``decoder.2.up (ConvTranspose2d 8, 4, kernel_size=(2, 2), ...)``."""
    kind = f"{type(module).__name__} {module.extra_repr()}".strip()
    return f"{path} ({kind})" if path else kind


def note_place(error: Exception, module: Any) -> None:
    """Add to an error's message in which layer it arose; called by each module on its way out.

    The innermost module signs the error, the outermost one knows the whole path to it, so the
    place is written anew at every module on the way. An error of the outermost module's own stays
    as it is, as does one that is more than a message.
    """
    if error.args[1:] or not isinstance(next(iter(error.args), None), str):
        return
    message, innermost = vars(error).setdefault(_NOTE, (error.args[0], module))
    path = path_within(module, innermost)
    if path:
        error.args = (f"{message}: in {described(path, innermost)}",)
