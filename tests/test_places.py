"""Errors inside a network name the layer that they arose in."""

from __future__ import annotations

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import nn
from minisegnet.autograd import tensor
from minisegnet.cli.errors import run_safely
from minisegnet.models import UNet


class Block(nn.Module):
    """Two convolutions that do not fit each other, and a way up."""

    def __init__(self, between: int = 5):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.up = nn.ConvTranspose2d(between, 4, 2, stride=2)

    def forward(self, x):
        return self.up(self.conv(x))


def network(between: int = 5):
    ms.manual_seed(5)
    decoder = nn.ModuleList([Block(), Block(), Block(between)])

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = decoder

        def forward(self, x):
            return self.decoder[2](x)

    return Network()


X = np.ones((2, 3, 6, 8), np.float32)


def test_a_shape_error_ends_with_the_path_of_its_layer():
    with pytest.raises(ValueError, match="conv_transpose2d") as caught:
        network(between=7)(tensor(X))
    message = str(caught.value)
    assert message.endswith(
        ": in decoder.2.up (ConvTranspose2d 7, 4, kernel_size=(2, 2), stride=(2, 2))"
    )
    assert message.count("decoder") == 1
    assert "\n" not in message


def test_a_type_error_too_and_the_type_stays():
    model = network()
    model.decoder[2].conv.forward = lambda x: "no tensor"
    with pytest.raises(TypeError, match=r": in decoder\.2\.up \(ConvTranspose2d 5, 4, "):
        model(tensor(X))


def test_the_layer_alone_names_no_path():
    with pytest.raises(ValueError) as caught:
        nn.ConvTranspose2d(7, 4, 2)(tensor(X))
    assert " in " not in str(caught.value).split("inputs")[-1]
    model = UNet(3, 2, base=2, depth=2)
    with pytest.raises(ValueError) as caught:
        model(tensor(X))
    assert str(caught.value).startswith("UNet")
    assert "in (" not in str(caught.value)


def test_the_middle_of_a_network_is_named_as_the_whole_sees_it():
    """Called on its own, a part of a network knows only what lies below it."""
    model = network(between=7)
    with pytest.raises(ValueError, match=r": in up \(ConvTranspose2d"):
        model.decoder[2](tensor(X))


def test_an_error_that_is_caught_and_raised_anew_is_placed_once():
    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network(between=7)

        def forward(self, x):
            try:
                return self.inner(x)
            except ValueError as error:
                raise ValueError(f"Careful: {error}") from error

    with pytest.raises(ValueError) as caught:
        nn.Sequential(nn.ReLU(), Careful())(tensor(X))
    assert str(caught.value).endswith(": in 1 (Careful)")
    assert str(caught.value).count("decoder.2.up") == 1


def test_errors_that_are_more_than_a_message_pass_unchanged():
    class Reading(nn.Module):
        def forward(self, x):
            return b"\xff".decode("utf-8")

    with pytest.raises(UnicodeDecodeError, match=r"invalid start byte$"):
        nn.Sequential(Reading())(tensor(X))
    for silent in (ValueError(), ValueError(1, 2), ValueError(7)):

        class Silent(nn.Module):
            def forward(self, x, error=silent):
                raise error

        before = silent.args
        with pytest.raises(ValueError) as caught:
            nn.Sequential(Silent())(tensor(X))
        assert caught.value is silent
        assert silent.args == before


def test_one_error_object_raised_twice_is_placed_where_it_arose_first():
    error = ValueError("odd")

    class Odd(nn.Module):
        def forward(self, x):
            raise error

    for _ in range(2):
        with pytest.raises(ValueError, match=r"^odd: in 1 \(Odd\)$"):
            nn.Sequential(nn.ReLU(), Odd())(tensor(X))


def test_the_command_line_prints_it_in_its_one_line(capsys):
    import click

    @click.group()
    def group():
        pass

    @group.command()
    def break_it():
        network(between=7)(tensor(X))

    assert run_safely(group, ["break-it"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: conv_transpose2d: ")
    assert err.endswith(
        ": in decoder.2.up (ConvTranspose2d 7, 4, kernel_size=(2, 2), stride=(2, 2))\n"
    )
    assert err.count("\n") == 1
