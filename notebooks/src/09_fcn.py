# %% [markdown]
# # 9. FCN
#
# **You will be able to** turn a classifier into a network that labels every pixel; say how many
# answers it gives on a picture of any size; build FCN-32s, 16s and 8s by summing scores; show what
# each skip buys.
#
# **Before this:** lesson 4, transposed convolution, and lesson 5, upsampling. **Time:** about 60
# minutes.

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import data, lessons, metrics, nn, optim

# %% [markdown]
# ## Recall
#
# Your guesses of two lessons ago, and how they turned out:

# %%
lessons.look_back(7)

# %% [markdown]
# A transposed convolution of stride 8 is to start as bilinear upsampling. Which kernel side and
# which padding does it need?

# %%
recalled = (16, 4)  # SOLUTION: (kernel, padding)
lessons.check("09/recall", recalled)

# %% [markdown]
# ## A classifier that slides
#
# A classifier ends in fully connected layers: every number of the last map times a weight of its
# own. That ties it to one size of picture. But look closer: one output of such a layer is a window
# multiplied cell by cell and added up. You know that. It is a convolution whose kernel is as large
# as the map, in the one place where it fits. On a larger map it fits in more places.
#
# On paper: a layer was made for maps of 2x3 cells and has, row by row, the weights 1 0 2 0 3 -1.
# Slide it over this map of 4x5.
#
# ```
# 2 0 1 3 1
# 1 4 0 2 5
# 0 2 3 1 0
# 6 1 0 2 4
# ```

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    #: [..., ..., ...],
    [16, 4, 4],
    [4, 16, 13],
    [9, 2, 5],
    # END SOLUTION
]
lessons.check("09/by-hand", table)

# %% [markdown]
# Now for tensors. The layer's weight has one long row for each output: first channel, row by row,
# then the next channel. As a loop, one window at a time, it would be:


# %%
def slide_by_loops(x, weight, rows, columns):
    """The layer at every window."""
    height, width = x.shape[2] - rows + 1, x.shape[3] - columns + 1
    out = np.zeros((len(x), len(weight), height, width), x.dtype)
    for r in range(height):
        for c in range(width):
            window = x[:, :, r : r + rows, c : c + columns]
            out[:, :, r, c] = window.reshape(len(x), -1) @ weight.T
    return out


rng = np.random.default_rng(9)
slide_by_loops(rng.integers(0, 9, (1, 2, 4, 5)), rng.integers(-3, 4, (3, 12)), 2, 3).shape

# %% [markdown]
# Write it as one convolution.


# %%
def slide(x, weight, rows, columns):
    """The same, for tensors."""
    # BEGIN SOLUTION
    return F.conv2d(x, weight.reshape(weight.shape[0], x.shape[1], rows, columns))
    # END SOLUTION


lessons.check("09/slide", slide)

# %% [markdown]
# VGG-16 is a classifier: 13 convolutions, five poolings, three fully connected layers. Guess: it
# was trained on 224x224 pictures. The poolings leave 7x7 cells, and the first fully connected layer
# wants just those. Slid over a picture of 320x480, how many answers come out?

# %%
my_guess = 36  # SOLUTION
lessons.predict("09/places", my_guess)

# %%
lessons.reveal("09/places")

# %% [markdown]
# Thirty-six answers for 153,600 pixels. FCN does three things about it.
#
# 1. A 1x1 convolution turns features, the channels of the last map, into **scores**, one map for
#    each class.
# 2. A transposed convolution blows the scores up. Its filters **start** bilinear and may learn. (In
#    a later release the authors keep them fixed, and report no significant difference.)
# 3. Earlier maps, which are finer, are scored too, and the scores are **summed** on the way up.
#    Such a way past the deep part is called a **skip**.
#
# FCN-32s has no skip and upsamples once, by 32. FCN-16s goes up by 2, adds the scores of pool4 (the
# map behind the fourth pooling), and goes up by 16. FCN-8s goes up by 2, adds pool4's, up by 2,
# adds pool3's, and up by 8. (Some texts say that FCN concatenates, or that each of them upsamples
# once. Count the steps.)


# %%
def upsample(x, factor):
    """Bilinear, by a transposed convolution, each channel by itself."""
    channels = x.shape[1]
    weight = ms.tensor(np.zeros((channels, 1, 2 * factor, 2 * factor), dtype=x.dtype))
    nn.init.bilinear_(weight)
    return F.conv_transpose2d(x, weight, stride=factor, padding=factor // 2, groups=channels)


def fcn8s(score3, score4, score5):
    """Logits at full size from the scores at strides 8, 16 and 32."""
    # BEGIN SOLUTION
    at_16 = upsample(score5, 2) + score4
    at_8 = upsample(at_16, 2) + score3
    return upsample(at_8, 8)
    # END SOLUTION


lessons.check("09/fcn8s", fcn8s)

# %% [markdown]
# Why not bring each to full size and add there? Guess: bilinear upsampling by 2 and then by 4, is
# it the same as by 8 at once, away from the border? "yes" or "no"

# %%
my_guess = "no"  # SOLUTION
lessons.predict("09/steps", my_guess)

# %%
lessons.reveal("09/steps")

# %% [markdown]
# And small steps have another use: once they learn, each can learn something of its own.
#
# ## Sizes
#
# A picture below 224 pixels leaves no room for the 7x7 kernel. The authors pad it by 100 on every
# side in the first convolution (3x3, so 2 rows are lost and 200 won; the others keep the size).
# Poolings round up. After the 7x7 layer and the scores, a 64x64 kernel of stride 32 upsamples, and
# what is too much is cropped. How many rows are there before the crop?


# %%
def rows_before_the_crop(size, padding):
    """Rows of FCN-32s's upsampled scores for a picture of `size` rows."""
    # BEGIN SOLUTION
    size = size + 2 * padding - 2
    for _ in range(5):
        size = -(-size // 2)
    return (size - 6 - 1) * 32 + 64
    # END SOLUTION


lessons.check("09/rows", rows_before_the_crop)

# %% [markdown]
# ## What a skip buys
#
# A small FCN with four poolings, so that its coarsest scores have stride 16. It learns to tell
# shapes from the ground, three times: with no skip ("16s"), with one ("8s"), with two ("4s").
#
# `BatchNorm2d` brings each channel to mean 0 and variance 1 over the batch: networks learn faster
# so. The loop is that of lesson 7, in batches of 8. Once through all pictures is an **epoch**; a
# **schedule** raises or lowers the learning rate from step to step, here down along a cosine.
# **Boundary F1** asks of the outlines alone how much of them was found and how much was right.


# %%
class SmallFCN(nn.Module):
    """Four poolings; scores of the last `skips + 1` maps, summed on the way up."""

    def __init__(self, skips, base=8, num_classes=2):
        super().__init__()
        widths = [3, base, 2 * base, 4 * base, 4 * base]
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
            )
            for before, after in pairwise(widths)
        )
        self.score = nn.ModuleList(
            nn.Conv2d(width, num_classes, 1) for width in widths[4 : 3 - skips : -1]
        )
        self.double = nn.ModuleList(bilinear(num_classes, 2) for _ in range(skips))
        self.last = bilinear(num_classes, 16 // 2**skips)

    def forward(self, x):
        maps = []
        for level in self.levels:
            x = F.max_pool2d(level(x), 2)
            maps.append(x)
        scores = self.score[0](maps.pop())
        for double, score in zip(self.double, self.score[1:], strict=True):
            scores = double(scores) + score(maps.pop())
        return self.last(scores)


def bilinear(channels, factor):
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, stride=factor, padding=factor // 2, bias=False
    )
    nn.init.bilinear_(layer.weight)
    return layer


shown = data.Shapes(400, 64, num_classes=8, seed=1)
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
for skips, name in enumerate(["16s", "8s", "4s"]):
    ms.manual_seed(5)
    found[name] = train(SmallFCN(skips))

# %%
print("network  pixel accuracy  mean IoU  boundary F1")
for name, labels in found.items():
    matrix = metrics.ConfusionMatrix(2)
    matrix.update(labels, truth)
    edges = [metrics.boundary_f1(a, b, tolerance=1) for a, b in zip(labels, truth, strict=True)]
    accuracy, iou = matrix.pixel_accuracy(), matrix.mean_iou()
    print(f"{name:7} {accuracy:15.3f} {iou:9.3f} {np.nanmean(edges):12.3f}")

# %%
figure, axes = plt.subplots(3, 5, figsize=(9, 5.4), layout="constrained")
for row, which in zip(axes, (4, 11, 23), strict=True):
    panels = {"image": unseen[which][0].transpose(1, 2, 0), "truth": truth[which]}
    panels |= {
        f"FCN-{name}": np.where(labels[which] == truth[which], truth[which], 2)
        for name, labels in found.items()
    }
    for ax, (title, picture) in zip(row, panels.items(), strict=True):
        limits = {} if title == "image" else {"vmin": 0, "vmax": 2, "cmap": "magma"}
        ax.imshow(picture, interpolation="nearest", **limits)
        ax.axis("off")
        if which == 4:
            ax.set_title(title, fontsize=10)
plt.show()

# %% [markdown]
# Mistakes are drawn in the brightest colour. Each skip halves the size of the blobs that the
# network can draw.
#
# ## Break it
#
# Say what will happen before you run each cell. The classifier as it was, on another size:

# %%
layer = nn.Linear(2 * 3 * 4, 5)
try:
    layer(ms.tensor(np.ones((1, 2, 4, 5), dtype=np.float32)).reshape(1, -1))
except ValueError as error:
    print(error)

# %% [markdown]
# Scores that do not lie on each other: pooling dropped a row of 57.

# %%
fine = ms.tensor(np.zeros((1, 2, 57, 57)))
coarse = F.max_pool2d(fine, 2)
try:
    upsample(coarse, 2) + fine
except ValueError as error:
    print(error)

# %% [markdown]
# The real FCN-8s crops there, at the places that its authors worked out: the skip of pool4 at 5, of
# pool3 at 9, the result at 31. Which sizes does it take?

# %%
model = ms.models.FCN8s(num_classes=3, base=1)
with ms.no_grad():
    for size in ((20, 33), (57, 64)):
        print(size, model(ms.tensor(np.zeros((1, 3, *size), dtype=np.float32))).shape)

# %% [markdown]
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `join`: how does FCN join an earlier map with what comes up? "concatenates features", "sums
#   scores" or "takes the larger"
# - `once`: which FCN upsamples only once? "32s", "8s", "all of them" or "none"
# - `any-size`: why does it take any size? "it resizes them", "poolings adapt", "a convolution
#   slides" or "it has no weights"
# - `bilinear`: what are its bilinear filters? "fixed by definition", "a start that may be learned"
#   or "interpolation without weights"
# - `hundred`: why pad pictures by 100? "to avoid edges", "to learn positions", "to make sizes even"
#   or "so that small ones pass the 7x7 layer"

# %%
lessons.check_all(
    {
        "09/join": "sums scores",  # SOLUTION
        "09/once": "32s",  # SOLUTION
        "09/any-size": "a convolution slides",  # SOLUTION
        "09/bilinear": "a start that may be learned",  # SOLUTION
        "09/hundred": "so that small ones pass the 7x7 layer",  # SOLUTION
    }
)

# %%
lessons.report(9)
