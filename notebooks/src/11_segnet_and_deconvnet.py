# %% [markdown]
# # 11. SegNet and DeconvNet
#
# **You will be able to** pool and remember places; unpool to just these places; assemble one level
# of SegNet and the waist of DeconvNet; say what crosses over in each network, and what it costs.
#
# **Before this:** lesson 5, upsampling, and lesson 10, U-Net. **Time:** about 50 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import data, explain, lessons, metrics, nn, optim

# %% [markdown]
# ## Recall
#
# Your guesses of two lessons ago, and how they turned out:

# %%
lessons.look_back(9)

# %% [markdown]
# And from the last lesson: a padded U-Net with four poolings gets 130 rows. How many rows have to
# be padded?

# %%
recalled = 14  # SOLUTION
lessons.check("11/recall", recalled)

# %% [markdown]
# ## Remember the place
#
# FCN carries scores across and U-Net features. SegNet carries neither: each max-pooling remembers
# **where** in its block the maximum stood, and on the way up each number returns to that place. The
# rest is zero.

# %%
walk = explain.max_unpool2d(
    [[1, 3], [2, 4]],
    F.max_pool2d(
        ms.tensor([[[[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]]]]),
        2,
        return_indices=True,
    )[1].numpy()[0, 0],
    2,
)
print(walk)

# %% [markdown]
# What follows is an ordinary convolution. (Some texts say that SegNet upsamples by deconvolution.
# It does not.) On paper: convolve the unpooled 4x4 map above with the kernel `[[1, 2], [0, 3]]`,
# without padding.

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    #: [..., ..., ...],
    [0, 0, 6],
    [1, 0, 0],
    [2, 0, 12],
    # END SOLUTION
]
lessons.check("11/by-hand", table)

# %% [markdown]
# Write the pooling as a loop, for one map with even sides. A place is one number: the cell's number
# in `x`, counted row by row from 0.


# %%
def pool(x):
    """The maxima of 2x2 blocks, and where in x they stood."""
    h, w = x.shape
    maxima = np.zeros((h // 2, w // 2), x.dtype)
    places = np.zeros((h // 2, w // 2), int)
    # BEGIN SOLUTION
    for r in range(h // 2):
        for c in range(w // 2):
            block = x[2 * r : 2 * r + 2, 2 * c : 2 * c + 2]
            down, right = divmod(block.argmax(), 2)
            maxima[r, c] = block.max()
            places[r, c] = (2 * r + down) * w + 2 * c + right
    return maxima, places
    # END SOLUTION


lessons.check("11/pool", pool)

# %% [markdown]
# One number, not a pair: keep that in mind and guess. A maximum stood at row 2, column 1 of a 4x4
# map. You unpool it into a map of 4 rows and **5** columns. In which row does it land?

# %%
my_guess = 1  # SOLUTION
lessons.predict("11/wider", my_guess)

# %%
lessons.reveal("11/wider")

# %% [markdown]
# And another guess: after pooling and unpooling, which share of the cells is zero?

# %%
my_guess = 0.75  # SOLUTION
lessons.predict("11/zeros", my_guess)

# %%
lessons.reveal("11/zeros")

# %% [markdown]
# ## One level of SegNet
#
# Convolve with `down`, pool, unpool to the size that the map had, convolve with `up`, classify. The
# first two convolutions keep the size (`padding="same"`) and have a relu.


# %%
def segnet(x, down, up, classify):
    """Logits of images x."""
    # BEGIN SOLUTION
    y = F.relu(F.conv2d(x, down, padding="same"))
    small, places = F.max_pool2d(y, 2, return_indices=True)
    large = F.max_unpool2d(small, places, 2, output_size=y.shape[2:])
    return F.conv2d(F.relu(F.conv2d(large, up, padding="same")), classify)
    # END SOLUTION


lessons.check("11/segnet", segnet)

# %% [markdown]
# SegNet is the 13 convolutions of VGG-16 and their mirror image, with five such poolings. What does
# it save? A feature takes 32 bits. A place within a block of four takes 2. How many times more does
# U-Net keep of the same map?

# %%
ratio = 64  # SOLUTION
lessons.check("11/memory", ratio)

# %% [markdown]
# ## The waist of DeconvNet
#
# DeconvNet unpools by places as well, and then it **stamps**: its learned layers on the way up are
# transposed convolutions of stride 1. In the middle it goes down to a single cell: a 7x7
# convolution (`fc6`) on a 7x7 map, a 1x1 convolution (`fc7`), and a 7x7 transposed convolution
# back. Each of them has a relu.


# %%
def middle(x, fc6, fc7, back):
    """From a map to one cell, and to a map again."""
    # BEGIN SOLUTION
    y = F.relu(F.conv2d(x, fc6))
    y = F.relu(F.conv2d(y, fc7))
    return F.relu(F.conv_transpose2d(y, back))
    # END SOLUTION


lessons.check("11/middle", middle)

# %% [markdown]
# ## What the places buy
#
# Three small networks with three poolings, equal but for the way up: `repeat` blows cells up,
# `places` unpools and convolves (SegNet), `stamps` unpools and convolves transposed (DeconvNet).


# %%
class Small(nn.Module):
    """`way` is "repeat", "places" or "stamps"."""

    def __init__(self, way, base=8, depth=3):
        super().__init__()
        self.way = way
        kind = nn.ConvTranspose2d if way == "stamps" else nn.Conv2d
        self.down = nn.ModuleList(
            block(nn.Conv2d, base if level else 3, base) for level in range(depth)
        )
        self.up = nn.ModuleList(block(kind, base, base) for level in range(depth))
        self.classify = nn.Conv2d(base, 2, 1)

    def forward(self, x):
        remembered = []
        for convolve in self.down:
            x = convolve(x)
            size = x.shape[2:]
            x, places = F.max_pool2d(x, 2, return_indices=True)
            remembered.append((places, size))
        for convolve in self.up:
            places, size = remembered.pop()
            if self.way == "repeat":
                x = F.interpolate(x, size=size)
            else:
                x = F.max_unpool2d(x, places, 2, output_size=size)
            x = convolve(x)
        return self.classify(x)


def block(kind, before, after):
    return nn.Sequential(
        kind(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


shown = data.Shapes(240, 64, num_classes=8, seed=1)
unseen = [data.Shapes(60, 64, num_classes=8, seed=2)[i] for i in range(60)]
images = ms.tensor(np.stack([image for image, _ in unseen]))
truth = np.stack([mask > 0 for _, mask in unseen]).astype(int)


def train(model, epochs=3):
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    loader = data.DataLoader(shown, 8, shuffle=True, seed=3)
    schedule = optim.CosineAnnealingLR(optimizer, T_max=epochs * len(loader))
    for epoch in range(epochs):
        loader.epoch = epoch
        for pictures, masks in loader:
            target = ms.tensor((masks > 0).astype(int))
            loss = F.cross_entropy(model(ms.tensor(pictures)), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with ms.no_grad():
        return model(images).numpy().argmax(1)


found = {}
for way in ("repeat", "places", "stamps"):
    ms.manual_seed(5)
    found[way] = train(Small(way))

# %%
print("way up  pixel accuracy  mean IoU  boundary F1")
for way, labels in found.items():
    matrix = metrics.ConfusionMatrix(2)
    matrix.update(labels, truth)
    edges = [metrics.boundary_f1(a, b, tolerance=1) for a, b in zip(labels, truth, strict=True)]
    accuracy, iou = matrix.pixel_accuracy(), matrix.mean_iou()
    print(f"{way:7} {accuracy:14.3f} {iou:9.3f} {np.nanmean(edges):12.3f}")

# %%
figure, axes = plt.subplots(3, 5, figsize=(9, 5.4), layout="constrained")
for row, which in zip(axes, (4, 11, 23), strict=True):
    panels = {"image": unseen[which][0].transpose(1, 2, 0), "truth": truth[which]}
    panels |= {
        way: np.where(labels[which] == truth[which], truth[which], 2)
        for way, labels in found.items()
    }
    for ax, (title, picture) in zip(row, panels.items(), strict=True):
        limits = {} if title == "image" else {"vmin": 0, "vmax": 2, "cmap": "magma"}
        ax.imshow(picture, interpolation="nearest", **limits)
        ax.axis("off")
        if which == 4:
            ax.set_title(title, fontsize=10)
plt.show()

# %% [markdown]
# Mistakes are drawn in the brightest colour. Places keep edges where they were, without a single
# feature crossing over. With two poolings there is hardly a difference (try `depth=2`): a network
# can still guess where in a 4x4 block an edge ran. With four there is a large one. The price shows
# too: inside textured shapes the few numbers leave holes.
#
# ## Break it
#
# Say what will happen before you run each cell. Places from a map of another size:

# %%
small, places = F.max_pool2d(ms.tensor(np.arange(36.0).reshape(1, 1, 6, 6)), 2, return_indices=True)
try:
    F.max_unpool2d(small, places, 2, output_size=(4, 6))
except ValueError as error:
    print(error)

# %% [markdown]
# Windows that overlap. One maximum is remembered by several of them: is it written once, or added
# up?

# %%
x = ms.tensor([[[[1.0, 2.0, 1.0], [3.0, 9.0, 4.0], [2.0, 5.0, 1.0]]]])
small, places = F.max_pool2d(x, 2, stride=1, return_indices=True)
F.max_unpool2d(ms.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), places, 2, stride=1).numpy()[0, 0]

# %% [markdown]
# It is an assignment: the last window wins, and the others are lost. Pooling windows of SegNet
# never overlap.
#
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `segnet-up`: how does SegNet upsample? "by transposed convolution", "bilinearly", "by repeating
#   cells" or "it unpools by places, then convolves"
# - `carried`: what crosses from its way down to its way up? "feature maps", "places of maxima",
#   "scores" or "nothing"
# - `deconvnet-up`: what does DeconvNet do after it unpooled? "nothing", "convolutions with stride
#   2", "transposed convolutions of stride 1" or "transposed convolutions of stride 2"
# - `plane`: which plane do pooling indices address? "the pooled map", "the map before pooling",
#   "the block" or "the batch"
# - `waist`: why is DeconvNet tied to a size? "its indices", "its stride", "its 7x7 layer makes one
#   cell of the map" or "its transposed convolutions"

# %%
lessons.check_all(
    {
        "11/segnet-up": "it unpools by places, then convolves",  # SOLUTION
        "11/carried": "places of maxima",  # SOLUTION
        "11/deconvnet-up": "transposed convolutions of stride 1",  # SOLUTION
        "11/plane": "the map before pooling",  # SOLUTION
        "11/waist": "its 7x7 layer makes one cell of the map",  # SOLUTION
    }
)

# %%
lessons.report(11)
