"""The same U-Net, weights and batches in PyTorch: the losses of 20 steps must agree.

    python -m pytest tests/test_torch_training.py
    python -m tests.test_torch_training        # prints both columns of losses

It runs where PyTorch is installed, and is skipped elsewhere.
"""

from __future__ import annotations

import numpy as np
import pytest

import minisegnet as ms
from minisegnet.data import Shapes
from minisegnet.models import UNet

STEPS, BATCH, CLASSES, BASE, DEPTH = 20, 4, 4, 6, 2


def torch_unet(torch, norm: bool, up: str):
    """An independent definition, with the names of ours so that a state dict fits."""
    nn = torch.nn

    def block(a: int, b: int):
        layers = []
        for channels in (a, b):
            layers.append(nn.Conv2d(channels, b, 3, padding=1, bias=not norm))
            layers += [nn.BatchNorm2d(b)] if norm else []
            layers.append(nn.ReLU())
        return nn.Sequential(*layers)

    def double(a: int, b: int):
        if up == "transpose":
            return nn.ConvTranspose2d(a, b, 2, 2)
        options = {"align_corners": False} if up == "bilinear" else {}
        return nn.Sequential(
            nn.Upsample(scale_factor=2, mode=up, **options), nn.Conv2d(a, b, 3, padding=1)
        )

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [BASE * 2**i for i in range(DEPTH + 1)]
            self.down = nn.ModuleList(
                block(a, b) for a, b in zip([3, *widths], widths[:-1], strict=False)
            )
            self.bottom = block(widths[-2], widths[-1])
            self.up = nn.ModuleList(double(2 * w, w) for w in widths[-2::-1])
            self.merge = nn.ModuleList(block(2 * w, w) for w in widths[-2::-1])
            self.classify = nn.Conv2d(BASE, CLASSES, 1)

        def forward(self, x):
            skips = []
            for down in self.down:
                x = down(x)
                skips.append(x)
                x = nn.functional.max_pool2d(x, 2)
            x = self.bottom(x)
            for up, merge in zip(self.up, self.merge, strict=True):
                x = merge(torch.cat([skips.pop(), up(x)], 1))
            return self.classify(x)

    return Net()


def batches():
    dataset = Shapes(STEPS * BATCH, size=(32, 48), num_classes=CLASSES, seed=11)
    for step in range(STEPS):
        items = [dataset[step * BATCH + i] for i in range(BATCH)]
        yield np.stack([i for i, _ in items]), np.stack([m for _, m in items])


def losses_of_both(norm: bool, up: str) -> list[tuple[float, float]]:
    import torch

    ms.manual_seed(4)
    ours = UNet(3, CLASSES, BASE, DEPTH, norm=norm, up=up)
    theirs = torch_unet(torch, norm, up)
    state = {name: torch.tensor(np.array(a)) for name, a in ours.state_dict().items()}
    theirs.load_state_dict(state)
    our_optimiser = ms.optim.Adam(ours.parameters(), lr=3e-3)
    their_optimiser = torch.optim.Adam(theirs.parameters(), lr=3e-3)
    history = []
    for images, masks in batches():
        ours.zero_grad()
        loss = ms.functional.cross_entropy(ours(ms.tensor(images)), ms.tensor(masks))
        loss.backward()
        our_optimiser.step()
        their_optimiser.zero_grad()
        other = torch.nn.functional.cross_entropy(theirs(torch.tensor(images)), torch.tensor(masks))
        other.backward()
        their_optimiser.step()
        history.append((loss.item(), other.item()))
    return history


@pytest.mark.torch
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("up", ["transpose", "bilinear", "nearest"])
def test_losses_agree_for_20_steps(norm: bool, up: str):
    pytest.importorskip("torch")
    history = np.array(losses_of_both(norm, up))
    assert history[-1, 0] < 0.9 * history[0, 0]  # it learns: equal losses of nothing prove nothing
    np.testing.assert_allclose(history[:, 0], history[:, 1], rtol=0.01)


@pytest.mark.torch
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("up", ["transpose", "bilinear", "nearest"])
def test_logits_in_evaluation_are_pytorch_s(norm: bool, up: str):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    ours, theirs = UNet(3, CLASSES, BASE, DEPTH, norm=norm, up=up), torch_unet(torch, norm, up)
    # Everything is drawn anew, running statistics too: at their start many mistakes do not show.
    state = {
        name: np.asarray(np.abs(rng.normal(1, 0.3, array.shape)), array.dtype)
        if name.endswith("running_var")
        else np.asarray(rng.normal(0, 0.2, array.shape), array.dtype)
        for name, array in ours.state_dict().items()
    }
    ours.load_state_dict(state)
    theirs.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    x = rng.standard_normal((2, 3, 20, 28)).astype(np.float32)
    with ms.no_grad(), torch.no_grad():
        got, expected = ours.eval()(ms.tensor(x)).numpy(), theirs.eval()(torch.tensor(x)).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


if __name__ == "__main__":
    pairs = losses_of_both(norm=True, up="transpose")
    print("step  minisegnet   PyTorch  relative difference")
    for step, (ours, theirs) in enumerate(pairs, 1):
        print(f"{step:4d} {ours:11.6f} {theirs:9.6f}  {abs(ours - theirs) / theirs:.1e}")
