# %% [markdown]
# # 10. U-Net
#
# **You will be able to** crop and concatenate a skip; assemble a U-Net from five operations; say
# which sizes go through it, and what to pad; show on one picture what the skip buys.
#
# **Before this:** lesson 4, transposed convolution, and lesson 9, FCN. **Time:** about 60 minutes.

# %%
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
lessons.look_back(8)

# %% [markdown]
# A map of 7 rows and 10 columns goes through a transposed convolution with a 2x2 kernel and stride
# 2. What size comes out?

# %%
recalled = (14, 20)  # SOLUTION: (rows, columns)
lessons.check("10/recall", recalled)

# %% [markdown]
# ## What a pooling forgets
#
# A bright line, one column wide, goes through two 2x2 max-poolings. Then every cell is blown up to
# a 4x4 block, so that the picture has its old size again. How many columns wide is the line now?

# %%
my_guess = 4  # SOLUTION
lessons.predict("10/line", my_guess)

# %%
lessons.reveal("10/line")

# %% [markdown]
# So a network that contracts knows *what* is there and has forgotten *where exactly*. FCN adds
# scores of earlier maps to mend that. U-Net keeps the **features**: at every size, the map from the
# way down is laid beside the one that comes up, and a convolution looks at both.
#
# Beside, not on top: the channels are **concatenated**. And since the U-Net of the paper pads
# nothing, its maps lose a border with every convolution; the skip is larger than the map it meets,
# and is cropped in the middle.
#
# On paper: crop the 5x5 skip to the size of the 3x3 map, lay the map behind it, and mix the two
# channels by a 1x1 convolution with the weights 2 and -1.
#
# ```
# skip   3 0 1 7 2      upsampled   1 0 4
#        4 1 5 2 6                  6 2 1
#        0 3 2 9 1                  3 5 0
#        8 1 7 4 0
#        5 6 2 0 3
# ```

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    #: [..., ..., ...],
    [1, 10, 0],
    [0, 2, 17],
    [-1, 9, 8],
    # END SOLUTION
]
lessons.check("10/by-hand", table)

# %% [markdown]
# For tensors (N, C, H, W), the skip first. Where an odd number of rows has to go, the smaller half
# goes at the top.


# %%
def merge(skip, up):
    """The skip, cropped centrally to the size of `up`, with `up` behind it."""
    # BEGIN SOLUTION
    rows, columns = up.shape[2:]
    top, left = (skip.shape[2] - rows) // 2, (skip.shape[3] - columns) // 2
    return F.cat([skip[:, :, top : top + rows, left : left + columns], up], 1)
    # END SOLUTION


lessons.check("10/merge", merge)

# %% [markdown]
# ## The network
#
# With one pooling the whole network fits on a hand:
#
# ```
# x -> enter, relu ------------- skip ------------- cat -> leave, relu -> classify -> logits
#                \                                 /
#                 pool -> bottom, relu -> up (x2)
# ```
#
# `enter`, `bottom` and `leave` are the weights of convolutions that keep the size
# (`padding="same"`), `up` is that of a 2x2 transposed convolution of stride 2, and `classify` of a
# 1x1 convolution. Nothing needs to be cropped when everything is padded.


# %%
def unet(x, weights):
    """Logits of images x."""
    enter, bottom, up, leave, classify = weights
    # BEGIN SOLUTION
    skip = F.relu(F.conv2d(x, enter, padding="same"))
    low = F.relu(F.conv2d(F.max_pool2d(skip, 2), bottom, padding="same"))
    high = F.conv_transpose2d(low, up, stride=2)
    y = F.relu(F.conv2d(F.cat([skip, high], 1), leave, padding="same"))
    return F.conv2d(y, classify)
    # END SOLUTION


lessons.check("10/unet", unet)

# %% [markdown]
# The real one does this four levels deep, the channels doubling on the way down: 64, 128, 256, 512,
# 1024, with two convolutions a level. It is in `minisegnet/models/unet.py`, and now you can read
# it. (The paper has no batch normalisation. Ours has it unless you ask for `norm=False`.)

# %%
paper = ms.models.UNet(1, 2, padding="valid", norm=False)
print(f"{sum(p.size for p in paper.parameters()):,} weights")

# %% [markdown]
# ## Which sizes fit?
#
# Guess before you look: the network of the paper gets 572 rows. Every 3x3 convolution takes two of
# them, there are two convolutions a level, and four poolings. How many rows come out?

# %%
my_guess = 388  # SOLUTION
lessons.predict("10/valid", my_guess)

# %%
lessons.reveal("10/valid")

# %% [markdown]
# Write the way down and up for one axis. At every level the two convolutions take `lost` rows
# together: 4 without padding, 0 with it. If a pooling meets an odd number, its last row is gone and
# no skip will fit: return 0.


# %%
def output_size(size, depth, lost):
    """Rows that come out of a U-Net with `depth` poolings; 0 if `size` does not fit."""
    # BEGIN SOLUTION
    for _ in range(depth):
        size -= lost
        if size < 2 or size % 2:
            return 0
        size //= 2
    size -= lost
    for _ in range(depth):
        size = 2 * size - lost
    return max(size, 0)
    # END SOLUTION


lessons.check("10/size", output_size)

# %% [markdown]
# With padding it is simpler: the size must be a multiple of 2^depth. A photograph rarely is. Should
# you crop it, or pad it? Pad: every pixel gets its label, and the logits of the padding are cut
# off. How many rows are to be added?


# %%
def rows_to_add(size, depth):
    """The fewest rows to pad, so that all poolings meet even maps."""
    # BEGIN SOLUTION
    return -size % 2**depth
    # END SOLUTION


lessons.check("10/rows-to-add", rows_to_add)

# %% [markdown]
# One text builds a toy U-Net from two 4x4 convolutions of stride 2 and two 4x4 transposed ones,
# with one concatenation, and recommends no padding. Take 480 rows: how many has the skip (after the
# first convolution), and how many the map that comes up to meet it?

# %%
meeting = (239, 238)  # SOLUTION: (skip, upsampled)
lessons.check("10/tutorial", meeting)

# %% [markdown]
# ## What the skip buys
#
# Three networks of two poolings on small pictures: one concatenates, one **adds** the skip to what
# comes up, and one has no skip. All see the same pictures in the same order, and are asked one
# thing of every pixel: shape or ground? (`minisegnet train` trains U-Nets too, by another
# optimiser: Muon. It needs fewer steps than Adam.)


# %%
class Small(nn.Module):
    """Two levels down, two up; `join` is "cat", "add" or "none"."""

    def __init__(self, join, base=8, num_classes=2):
        super().__init__()
        self.join = join
        widths = [base, 2 * base, 4 * base]
        self.down = nn.ModuleList([block(3, base), block(base, 2 * base)])
        self.bottom = block(2 * base, 4 * base)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(widths[i + 1], widths[i], 2, stride=2) for i in (1, 0)
        )
        double = 2 if join == "cat" else 1
        self.merge = nn.ModuleList(block(double * widths[i], widths[i]) for i in (1, 0))
        self.classify = nn.Conv2d(base, num_classes, 1)

    def forward(self, x):
        skips = []
        for convolve in self.down:
            skips.append(convolve(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.bottom(x)
        for up, convolve in zip(self.up, self.merge, strict=True):
            x, skip = up(x), skips.pop()
            if self.join == "cat":
                x = merge(skip, x)
            elif self.join == "add":
                x = x + skip
            x = convolve(x)
        return self.classify(x)


def block(before, after):
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


# %% [markdown]
# (If `merge` is still a blank, this gives it a body, so that you can go on.)

# %%
if not lessons.check("10/merge", merge):

    def merge(skip, up):
        return F.cat([skip, up], 1)


SIZE, CLASSES = 48, 2
shown = data.Shapes(400, SIZE, num_classes=8, seed=1)
unseen = [data.Shapes(60, SIZE, num_classes=8, seed=2)[i] for i in range(60)]
images = ms.tensor(np.stack([image for image, _ in unseen]))
truth = np.stack([mask > 0 for _, mask in unseen]).astype(int)


def train(model, epochs=3):
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    loader = data.DataLoader(shown, 8, shuffle=True, seed=3)
    schedule = optim.CosineAnnealingLR(optimizer, T_max=epochs * len(loader))
    for epoch in range(epochs):
        loader.epoch = epoch
        for pictures, masks in loader:
            loss = F.cross_entropy(model(ms.tensor(pictures)), ms.tensor((masks > 0).astype(int)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with ms.no_grad():
        return model(images).numpy().argmax(1)


found = {}
for join in ("none", "add", "cat"):
    ms.manual_seed(5)
    found[join] = train(Small(join))

# %%
print(f"{'skip':6} pixel accuracy  mean IoU  boundary F1")
for join, labels in found.items():
    matrix = metrics.ConfusionMatrix(CLASSES)
    matrix.update(labels, truth)
    edges = [metrics.boundary_f1(a, b, tolerance=1) for a, b in zip(labels, truth, strict=True)]
    accuracy, iou = matrix.pixel_accuracy(), matrix.mean_iou()
    print(f"{join:6} {accuracy:14.3f} {iou:9.3f} {np.nanmean(edges):12.3f}")

# %%
figure, axes = plt.subplots(3, 5, figsize=(9, 5.4), layout="constrained")
for row, which in zip(axes, (4, 11, 23), strict=True):
    panels = {"image": unseen[which][0].transpose(1, 2, 0), "truth": truth[which]}
    panels |= {
        f"skip: {join}": np.where(labels[which] == truth[which], truth[which], CLASSES)
        for join, labels in found.items()
    }
    for ax, (title, picture) in zip(row, panels.items(), strict=True):
        limits = {} if title == "image" else {"vmin": 0, "vmax": CLASSES, "cmap": "magma"}
        ax.imshow(picture, interpolation="nearest", **limits)
        ax.axis("off")
        if which == 4:
            ax.set_title(title, fontsize=10)
plt.show()

# %% [markdown]
# Mistakes are drawn in the brightest colour. Without a skip they run along every edge: the network
# knows what is there and not where it ends. With one, the edges are sharp. Adding does nearly as
# well here as laying side by side, at half the weights in the convolution behind it: what matters
# first is that the fine map arrives at all.
#
# ## Break it
#
# Say what will happen before you run each cell. A size that does not halve:

# %%
model = ms.models.UNet(3, CLASSES, base=4, depth=4)
try:
    model(ms.tensor(np.zeros((1, 3, 100, 120), dtype=np.float32)))
except ValueError as error:
    print(error)

# %% [markdown]
# And what it advises. The logits of the padding are cropped again:

# %%
x = ms.tensor(np.zeros((1, 3, 100, 120), dtype=np.float32))
model(F.pad(x, (0, 8, 0, 12), mode="reflect"))[:, :, :100, :120].shape

# %% [markdown]
# The same weights, with the skip behind instead of in front. Is it the same network?

# %%
ms.manual_seed(0)
weights = [
    ms.tensor(np.random.default_rng(7).standard_normal(shape))
    for shape in [(2, 1, 3, 3), (4, 2, 3, 3), (4, 2, 2, 2), (2, 4, 3, 3), (3, 2, 1, 1)]
]
enter, bottom, up, leave, classify = weights
picture = ms.tensor(np.random.default_rng(8).standard_normal((1, 1, 4, 6)))
skip = F.relu(F.conv2d(picture, enter, padding=1))
high = F.conv_transpose2d(F.relu(F.conv2d(F.max_pool2d(skip, 2), bottom, padding=1)), up, stride=2)
first, last = (
    F.relu(F.conv2d(F.cat(both, 1), leave, padding=1)).numpy()
    for both in ([skip, high], [high, skip])
)
print("largest difference:", np.abs(first - last).max().round(2))

# %% [markdown]
# Trained from the start either order learns equally well. But weights belong to the order they
# were trained in, so it is part of the network's definition.
#
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `join`: how does U-Net join a skip with the upsampled map? "adds", "multiplies" or
#   "concatenates"
# - `paper`: what has the U-Net of the paper that many copies do not? "batch norm", "skips that are
#   added", "five poolings" or "an output smaller than its input"
# - `crop`: why is a skip cropped centrally? "to save memory", "so that cells lie on each other" or
#   "because borders are noise"
# - `odd`: a padded U-Net with four poolings gets 100 rows: what goes wrong? "nothing", "the first
#   pooling meets an odd map", "the third pooling meets 25 rows" or "the output has 104 rows"
# - `where`: what does the skip bring? "what things are", "where edges are", "larger weights" or
#   "colour"
# - `cost`: what do concatenated skips cost? "nothing", "a convolution with twice the channels",
#   "one more pooling" or "a second network"

# %%
lessons.check_all(
    {
        "10/join": "concatenates",  # SOLUTION
        "10/paper": "an output smaller than its input",  # SOLUTION
        "10/crop": "so that cells lie on each other",  # SOLUTION
        "10/odd": "the third pooling meets 25 rows",  # SOLUTION
        "10/where": "where edges are",  # SOLUTION
        "10/cost": "a convolution with twice the channels",  # SOLUTION
    }
)

# %%
lessons.report(10)
