"""What a network costs: multiply-adds counted by hand and by the definition, block by block."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import functional as F
from minisegnet import models, nn
from minisegnet.models import SegmentationModel, UNet, blocks, multiply_adds


class Around(SegmentationModel):
    """A network of one layer, or of one function."""

    def __init__(self, in_channels, layer=None, function=None):
        super().__init__(in_channels, num_classes=1)
        self.layer = layer
        self.function = function
        self.weight = nn.Parameter(np.ones((4, 2, 3, 3), dtype=np.float32))

    def forward(self, x):
        self.check_input(x)
        return self.layer(x) if self.function is None else self.function(self, x)


def cost(layer, size, channels=4):
    return multiply_adds(Around(channels, layer), size)


# ---------------------------------------------------------------------------- one layer


@pytest.mark.parametrize(
    ("layer", "size", "by_hand"),
    [
        # rows 9 -> 7, columns 8 -> 7: 49 cells, 4*6 pairs of maps, 3*2 taps
        (nn.Conv2d(4, 6, (3, 2)), (9, 8), 49 * 24 * 6),
        # the zeros of padding are multiplied too: 9x8 stays, with rows +2 and columns +2 -> 9x9
        (nn.Conv2d(4, 6, (3, 2), padding=1), (9, 8), 9 * 9 * 24 * 6),
        # two groups: each of the 6 outputs sees 2 maps
        (nn.Conv2d(4, 6, (3, 2), groups=2), (9, 8), 49 * 12 * 6),
        # depthwise
        (nn.Conv2d(4, 4, 3, groups=4), (9, 8), 7 * 6 * 4 * 9),
        # stride (2, 3): (9-3)//2+1 = 4 rows, (8-2)//3+1 = 3 columns
        (nn.Conv2d(4, 6, (3, 2), stride=(2, 3)), (9, 8), 12 * 24 * 6),
        # dilation (3, 2): the kernel spans 7 rows and 3 columns: 3 by 6 cells
        (nn.Conv2d(4, 6, (3, 2), dilation=(3, 2)), (9, 8), 18 * 24 * 6),
        (nn.Conv2d(4, 6, 5, padding="same"), (9, 8), 72 * 24 * 25),
        # a transposed convolution stamps its kernel once for each cell that goes in
        (nn.ConvTranspose2d(4, 6, (3, 2)), (9, 8), 72 * 24 * 6),
        (nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), (9, 8), 72 * 24 * 16),
        (nn.ConvTranspose2d(4, 6, 3, stride=(1, 2), output_padding=(0, 1)), (9, 8), 72 * 24 * 9),
        (nn.ConvTranspose2d(4, 6, (3, 2), stride=3, groups=2), (9, 8), 72 * 12 * 6),
        (nn.ConvTranspose2d(4, 4, 3, dilation=2, groups=4), (9, 8), 72 * 4 * 9),
        # DeconvNet's deconvolution of one cell into 7x7
        (nn.ConvTranspose2d(4, 6, 7), (1, 1), 24 * 49),
        (nn.Sequential(nn.Flatten(), nn.Linear(4 * 3 * 5, 7)), (3, 5), 60 * 7),
        (nn.Linear(5, 7), (3, 5), 4 * 3 * 5 * 7),
        # only additions, scalings and comparisons
        (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)), (6, 4), 0),
        (nn.Upsample(scale_factor=3, mode="bilinear"), (6, 4), 0),
    ],
)  # fmt: skip
def test_multiply_adds_counted_by_hand(layer, size, by_hand):
    assert cost(layer, size) == by_hand


def test_a_convolution_by_a_function_counts_as_well():
    model = Around(2, function=lambda model, x: F.conv2d(x, model.weight, stride=(1, 2)))
    assert multiply_adds(model, (5, 8)) == 3 * 3 * 4 * 2 * 9
    model = Around(4, function=lambda model, x: F.conv_transpose2d(x, model.weight, stride=2))
    assert multiply_adds(model, (5, 8)) == 40 * 4 * 2 * 9


def test_a_flipped_weight_is_still_that_of_a_convolution():
    model = Around(2, function=lambda model, x: F.conv2d(x, F.flip(model.weight, (2, 3))))
    assert multiply_adds(model, (5, 8)) == 3 * 6 * 4 * 2 * 9


def test_matrix_products_count():
    """Attention: every one of 15 cells with every other, over 4 maps."""

    def attention(model, x):
        tokens = x.reshape(len(x), 4, 15)
        return tokens.transpose(1, 2) @ tokens

    assert multiply_adds(Around(4, function=attention), (3, 5)) == 15 * 15 * 4


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    transposed=st.booleans(),
)
def test_multiply_adds_are_the_terms_of_the_sum(
    kernel, stride, padding, dilation, groups, transposed
):
    """With ones everywhere and no border, a value is the number of its terms; borders are cut."""
    make = nn.ConvTranspose2d if transposed else nn.Conv2d
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    layer = make(2, 4, kernel, padding=padding, **options)
    bare = make(2, 4, kernel, bias=False, **options)
    bare.weight.data[...] = 1
    # The zeros around a convolution's map are multiplied, and so is what a transposed one cuts off.
    around = 0 if transposed else 2 * padding
    terms = bare(np.ones((1, 2, 9 + around, 7 + around), dtype=np.float32)).numpy().sum()
    assert cost(layer, (9, 7), channels=2) == terms


# ---------------------------------------------------------------------------- whole networks


def test_unet_of_the_paper_counted_level_by_level():
    """Figure 1, the sizes of the maps that come out: 3x3 convolutions, and 2x2 up-convolutions."""
    down = [(1, 64, 570), (64, 64, 568), (64, 128, 282), (128, 128, 280), (128, 256, 138)]
    down += [(256, 256, 136), (256, 512, 66), (512, 512, 64), (512, 1024, 30), (1024, 1024, 28)]
    up = [(1024, 512, 54), (512, 512, 52), (512, 256, 102), (256, 256, 100), (256, 128, 198)]
    up += [(128, 128, 196), (128, 64, 390), (64, 64, 388)]
    by_hand = sum(9 * a * b * side**2 for a, b, side in down + up)
    by_hand += sum(4 * a * a // 2 * side**2 for a, side in [(1024, 28), (512, 52), (256, 100)])
    by_hand += 4 * 128 * 64 * 196**2 + 64 * 2 * 388**2
    with nn.init.skip():
        model = models.build("unet-valid")
    assert multiply_adds(model, 572) == by_hand == 150_428_424_448


def test_deeplab_v3_costs_what_torchvision_says():
    """178.722 G at 520x520 for deeplabv3_resnet50, which also runs its auxiliary head.

    That head looks at 65x65 cells of the third stage: 3x3 from 1024 to 256 maps, 1x1 to 21.
    """
    with nn.init.skip():
        model = models.build("deeplabv3", num_classes=21, backbone="resnet50")
    auxiliary_head = 65**2 * (9 * 1024 * 256 + 256 * 21)
    assert round((multiply_adds(model, 520) + auxiliary_head) / 1e9, 3) == 178.722


def test_one_picture_is_counted_whatever_its_shape():
    model = UNet(3, 2, base=4, depth=2)
    assert multiply_adds(model, (8, 20)) == multiply_adds(model, (20, 8))
    assert multiply_adds(model, (8, 40)) == 2 * multiply_adds(model, (8, 20))


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="10x8 does not halve evenly"):
        multiply_adds(UNet(3, 2, base=1, depth=2), (10, 8))
    with pytest.raises(ValueError, match="level is 0"):
        blocks(UNet(3, 2, base=1, depth=2), 8, level=0)


def test_a_network_of_a_gigabyte_is_counted_without_touching_it():
    with nn.init.skip():
        model = models.build("deconvnet")
    tracemalloc.start()
    try:
        multiply_adds(model, 512)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_nothing_is_computed_and_nothing_changed():
    model = UNet(3, 2, base=2, depth=2).train()
    model.up[1].eval()
    before = model.state_dict()
    multiply_adds(model, 512)
    after = model.state_dict()
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert model.training and model.merge[0][1].training and not model.up[1].training


def test_it_works_on_every_device_and_in_float64(backend):
    wanted = multiply_adds(UNet(3, 2, base=2, depth=2), (8, 12))
    model = UNet(3, 2, base=2, depth=2).double().to(backend.device)
    assert multiply_adds(model, (8, 12)) == wanted


# ---------------------------------------------------------------------------- blocks


def test_blocks_in_the_order_in_which_they_run():
    rows = blocks(UNet(3, 5, base=4, depth=1), (6, 10), level=2)
    assert [(row.name, row.kind, row.output) for row in rows][:5] == [
        ("down.0.0", "Conv2d", (4, 6, 10)),
        ("down.0.1", "BatchNorm2d", (4, 6, 10)),
        ("down.0.2", "ReLU", (4, 6, 10)),
        ("down.0.3", "Conv2d", (4, 6, 10)),
        ("down.0.4", "BatchNorm2d", (4, 6, 10)),
    ]


class Odd(SegmentationModel):
    """A part that runs twice, one that does not run, and a weight of its own."""

    def __init__(self):
        super().__init__(2, 3)
        self.once = nn.Conv2d(2, 2, 1)
        self.idle = nn.Conv2d(2, 7, 1)
        self.scale = nn.Parameter(np.ones((3, 2, 1, 1), dtype=np.float32))

    def forward(self, x):
        return F.conv2d(self.once(self.once(x)), self.scale)


def test_parts_that_run_twice_or_never_and_what_is_in_none():
    rows = [
        (row.name, row.output, row.parameters, row.multiply_adds) for row in blocks(Odd(), (5, 4))
    ]
    assert rows == [
        ("once", (2, 5, 4), 6, 80),
        ("once", (2, 5, 4), 0, 80),
        ("idle", (), 21, 0),
        ("", (3, 5, 4), 6, 120),
    ]


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("name", models.names())
def test_blocks_add_up_at_every_level(name, level):
    model = models.build(name, **models.TABLE[name].toy)
    size = model.next_size(60), model.next_size(100)
    rows = blocks(model, size, level)
    assert sum(row.parameters for row in rows) == model.num_parameters()
    assert sum(row.multiply_adds for row in rows) == multiply_adds(model, size) > 0
    assert [row.output for row in rows if row.output][-1][0] == model.num_classes
