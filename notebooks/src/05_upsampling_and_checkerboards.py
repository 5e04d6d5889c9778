# %% [markdown]
# # 5. Upsampling and checkerboards
#
# **You will be able to** enlarge a map in five ways, and say what each knows and invents; put
# values back where pooling found them; foretell a checkerboard before anything is trained; choose
# a kernel, a start or another way that avoids it.
#
# **Before this:** lesson 4, transposed convolution. **Time:** about 60 minutes. Have a pencil and
# squared paper ready.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import explain, lessons, nn

# %% [markdown]
# ## Recall
#
# Two lessons ago you made predictions. This is how they turned out.

# %%
lessons.look_back(3)

# %% [markdown]
# And from the last lesson: a transposed convolution with kernel 4, stride 2 and padding 1 takes a
# map of 5 rows and 7 columns. What size comes out?

# %%
recalled = (10, 14)  # SOLUTION: (rows, columns)
lessons.check("05/recall", recalled)

# %% [markdown]
# ## Copies and nails
#
# Four numbers are to become sixteen. Twelve must be invented. **Nearest neighbour** copies each
# number into its whole 2x2 block. A **bed of nails** puts it at the top left of its block, with
# zeros around it.
#
# On paper: `[[1, 3], [2, 0]]` by nearest neighbour and `[[1, 4], [3, 2]]` on nails, both twice as
# large. What does row 2 of each say? (Rows are counted from 0.)

# %%
rows = [
    # BEGIN SOLUTION
    #: [..., ..., ..., ...],  # nearest neighbour
    #: [..., ..., ..., ...],  # bed of nails
    [2, 2, 0, 0],  # nearest neighbour
    [3, 0, 2, 0],  # bed of nails
    # END SOLUTION
]
lessons.check("05/blocks", rows)

# %% [markdown]
# ## Remembering
#
# Networks make maps small by **max-pooling**: the largest cell of each window is kept, mostly of
# 2x2. Nails always stand at the top left, but pooling saw where its largest cell stood. Let it
# write that down, as an **index**, and unpooling can put a number back in the right place.

# %%
pooled = explain.max_pool2d([[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]], 2)
pooled.plot(1, 1)

# %% [markdown]
# The indices count the cells of **the map that was pooled**, row by row: `row * width + column`.
# If a window has a tie, the first wins: a later cell must be larger.
#
# A network changes the values before it unpools them. Put `[[1, 3], [2, 4]]` back.

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ..., ...],
    #: [..., ..., ..., ...],
    #: [..., ..., ..., ...],
    #: [..., ..., ..., ...],
    [0, 0, 0, 3],
    [1, 0, 0, 0],
    [2, 0, 0, 0],
    [0, 0, 0, 4],
    # END SOLUTION
]
lessons.check("05/by-hand", table)

# %% [markdown]
# As a loop, for one map (NumPy arrays). If windows overlapped, one cell may have won two of them,
# and two values now name it. `=` or `+=`? Unpooling places, it does not sum: the last one stays.


# %%
def unpool(x, indices, height, width):
    """Each value at its place in a map of height x width cells."""
    out = np.zeros((height, width), x.dtype)
    # BEGIN SOLUTION
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            row, column = divmod(indices[r, c], width)
            out[row, column] = x[r, c]
    # END SOLUTION
    return out


lessons.check("05/unpool", unpool)

# %% [markdown]
# All three rules on one line. Windows of 3 at stride 1: the first has a tie, then one cell wins
# two. On the way back, the gradients of both windows **add** at that cell.

# %%
line = ms.tensor([[[[6.0, 2.0, 6.0, 5.0, 1.0]]]], requires_grad=True)
largest, places = F.max_pool2d(line, (1, 3), stride=1, return_indices=True)
print("indices: ", places.tolist()[0][0][0], "(the tie went to the first 6)")
back = F.max_unpool2d(ms.tensor([[[[10, 20, 30]]]]), places, (1, 3), stride=1)
print("unpooled:", back.tolist()[0][0][0], "(30 overwrote 20)")
largest.backward(np.array([[[[10.0, 20.0, 30.0]]]]))
print("gradient:", line.grad.tolist()[0][0][0], "(20 + 30)")

# %% [markdown]
# ## Between the cells
#
# **Bilinear** interpolation reads *between* cells: the nearer one counts more. But where does an
# output cell read? Two conventions: the cells' *borders* lie on each other, or (`align_corners`)
# the *centres of the corner cells* do.

# %%
for align_corners in (False, True):
    walk = explain.interpolate(
        [[2, 8, 5]], size=(1, 6), mode="bilinear", align_corners=align_corners
    )
    print(f"align_corners={align_corners}: {np.round(walk.result[0], 2).tolist()}")
    print(f"   cell 1: {walk.at(0, 1)}")
    print(f"   cell 4: {walk.at(0, 4)}")

# %% [markdown]
# Write it for a line of `n` numbers. The place of cell `o` is `o * (n - 1) / (length - 1)` if
# corners are aligned. If not, go from the cell to its centre, half a cell in, scale, and go half a
# cell back; but never below 0.


# %%
def stretch(x, length, align_corners):
    """The line x, resized to length numbers by linear interpolation."""
    n = len(x)
    out = np.zeros(length)
    # BEGIN SOLUTION
    for o in range(length):
        if align_corners:
            place = o * (n - 1) / (length - 1)
        else:
            place = max((o + 0.5) * n / length - 0.5, 0)
        left = int(place)
        right = min(left + 1, n - 1)
        share = place - left
        out[o] = (1 - share) * x[left] + share * x[right]
    # END SOLUTION
    return out


lessons.check("05/stretch", stretch)

# %% [markdown]
# Why does that option change everything? The *step* differs, `(n - 1) / (length - 1)` against
# `n / length`, so nearly every cell moves. Worse, at one factor the first of them still depends on
# how large the map is. Enlarge a photo by 4, and then its left part alone: do the cells they share
# agree?

# %%
rng = np.random.default_rng(5)
whole = ms.tensor(rng.standard_normal((1, 1, 6, 9)))
part = whole[:, :, :, :5]
for align_corners in (False, True):
    large, left = (
        F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=align_corners).numpy()
        for x in (whole, part)
    )
    # Beyond column 16 the part lacks its right neighbour.
    difference = np.abs(large[..., :16] - left[..., :16]).max()
    print(f"align_corners={align_corners}: they differ by {difference:.2f}")

n, length = 9, 36
o = np.arange(length)
centres = np.clip((o + 0.5) * n / length - 0.5, 0, n - 1)
shift = np.abs(centres - o * (n - 1) / (length - 1)).max()
print(f"from {n} to {length} cells, the two read up to {shift:.2f} cells apart")

# %% [markdown]
# Neither is wrong; mixing them is. Train with one and run with the other, and your masks shift.
#
# ## Guess first
#
# The fifth way is **learned**: the transposed convolution. With stride 2 and a 3x3 kernel its
# stamps overlap. Take a map of ones and a kernel of ones. Away from the border, how many times as
# large as the smallest output cell is the largest?

# %%
my_guess = 4  # SOLUTION
lessons.predict("05/busiest", my_guess)

# %%
lessons.reveal("05/busiest")

# %% [markdown]
# Some cells are stamped more often than others: a **checkerboard**, before any training. So count.
# Stamps begin at multiples of the stride, so the counts repeat: write one period.


# %%
def overlap(kh, kw, stride):
    """How many stamps reach each cell of one period, away from the border."""
    counts = np.zeros((stride, stride), int)
    # BEGIN SOLUTION
    for i in range(kh):
        for j in range(kw):
            counts[i % stride, j % stride] += 1
    # END SOLUTION
    return counts


lessons.check("05/overlap", overlap)

# %% [markdown]
# Here are the usual choices. And the way down has it, too: the gradient of a strided convolution
# is a transposed one, so some pixels are taught four times as hard as others.

# %%
print("kernel  stride  counts of one period                 largest / smallest")
for kernel, stride in [(2, 2), (3, 2), (4, 2), (5, 2), (4, 3)]:
    counts, ratio = explain.overlap_counts(kernel, stride), explain.overlap_ratio(kernel, stride)
    print(f"{kernel:6}  {stride:6}  {counts.tolist()!s:35}  {ratio:g}")

x = ms.tensor(np.ones((1, 1, 5, 9)), requires_grad=True)
F.conv2d(x, ms.tensor(np.ones((1, 1, 3, 3))), stride=2).sum().backward()
print("\nThe gradient of a convolution with kernel 3 and stride 2, all ones:")
print(x.grad[0, 0].astype(int))

# %% [markdown]
# Texts say "overlap makes the checkerboard". Look again: kernel 4 at stride 2 overlaps everywhere,
# and evenly. It is *uneven* overlap, when the stride does not divide the kernel.
#
# So if it does, are you safe? A kernel of 2 at stride 2 has a count of 1 everywhere. Give it
# random weights and a map of ones: is the output "flat" or "a pattern"?

# %%
my_guess = "a pattern"  # SOLUTION
lessons.predict("05/safe", my_guess)

# %%
lessons.reveal("05/safe")

# %% [markdown]
# ## See it
#
# Not safe, then. Two other ways to learn:
#
# - **Resize-convolution**: enlarge by nearest neighbour, then convolve. All cells of a block use
#   the same weights. (One text calls that a "fractionally strided convolution". It is not: that
#   is the transposed convolution itself, which moves a *fraction* of an input cell each step.)
# - **Sub-pixel convolution**: convolve into four times as many channels and lay each four out as
#   a 2x2 block. Even counts, but four kernels that start at random. **ICNR** starts them equal.
#
# Kernels here are random and untrained, scaled to keep the mean. The number says how
# far the cells of a block are apart on a map of ones, in percent of their mean.


# %%
def kernels(out, size):
    """Random positive weights from one map to `out` maps, with a sum of 1 on average."""
    w = rng.random((out, 1, size, size))
    return ms.tensor(w * out / w.sum())


ms.manual_seed(5)
k2, k3, k4 = (4 * kernels(1, size) for size in (2, 3, 4))
plain, four = kernels(1, 3), kernels(4, 3)
equal = nn.init.icnr_(ms.tensor(np.zeros((4, 1, 3, 3))), 2, nn.init.uniform_)
equal = equal * (4 / equal.sum().item())
ways = {
    "kernel 3, stride 2": lambda x: F.conv_transpose2d(x, k3, None, 2, 1, 1),
    "kernel 2, stride 2": lambda x: F.conv_transpose2d(x, k2, None, 2),
    "kernel 4, stride 2": lambda x: F.conv_transpose2d(x, k4, None, 2, 1),
    "resize-convolution": lambda x: F.conv2d(F.interpolate(x, scale_factor=2), plain, padding=1),
    "sub-pixel": lambda x: F.pixel_shuffle(F.conv2d(x, four, padding=1), 2),
    "sub-pixel, ICNR": lambda x: F.pixel_shuffle(F.conv2d(x, equal, padding=1), 2),
}
down, across = np.mgrid[0:16, 0:20]
blob = 0.15 + 1 / (1 + np.exp(np.hypot(down - 7.5, across - 9) - 5))
figure, panels = plt.subplots(2, 3, figsize=(8.4, 4.8), layout="constrained")
for panel, (name, enlarge) in zip(panels.flat, ways.items(), strict=True):
    block = enlarge(ms.tensor(np.ones((1, 1, 8, 8)))).numpy()[0, 0, 6:8, 6:8]
    apart = 100 * np.ptp(block) / block.mean()
    panel.imshow(enlarge(ms.tensor(blob[None, None])).numpy()[0, 0, 3:-3, 3:-3], cmap="gray")
    panel.set_title(f"{name}: {apart:.0f} %", fontsize=10)
    panel.axis("off")
plt.show()

# %% [markdown]
# Training may smooth a pattern away or leave it. It need not fight one that is not there.
#
# Now lay out the channels yourself: channel `c` of a group of `r*r` goes to row `c // r`, column
# `c % r` of every block.


# %%
def shuffle(x, r):
    """x of (channels, rows, columns), with each group of r*r channels as one large map."""
    channels, h, w = x.shape
    out = np.zeros((channels // r**2, h * r, w * r), x.dtype)
    # BEGIN SOLUTION
    for c in range(channels):
        group, cell = divmod(c, r * r)
        i, j = divmod(cell, r)
        out[group, i::r, j::r] = x[c]
    # END SOLUTION
    return out


lessons.check("05/shuffle", shuffle)

# %% [markdown]
# A transposed convolution can also *start* as bilinear interpolation. Its stamp is then a tent:
# highest in the middle, falling in a straight line to 0 one factor away. Write one axis of it; the
# filter is that column times that row. An even factor has its middle between two cells.


# %%
def tent(factor):
    """The 2*factor - factor % 2 weights of linear interpolation."""
    size = 2 * factor - factor % 2
    # BEGIN SOLUTION
    centre = (size - 1) / 2
    return np.array([1 - abs(i - centre) / factor for i in range(size)])
    # END SOLUTION


lessons.check("05/tent", tent)

# %% [markdown]
# The three starts, held to what they promise. And resize-convolution turns out to be a transposed
# convolution, one whose 4x4 kernel is made of only nine free weights:

# %%
x = ms.tensor(rng.random((1, 1, 7, 9)))
tents = nn.init.bilinear_(ms.tensor(np.zeros((1, 1, 4, 4))))
smooth = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
copied = F.interpolate(F.conv2d(x, equal, padding=1)[:, :1], scale_factor=2)
twice = F.conv2d(ms.tensor(np.ones((1, 1, 2, 2))), plain, padding=2)
stamped = F.conv_transpose2d(x, twice, stride=2, padding=1)
for claim, one, other in [
    ("bilinear_ is bilinear", F.conv_transpose2d(x, tents, stride=2, padding=1), smooth),
    ("ICNR is nearest neighbour", ways["sub-pixel, ICNR"](x), copied),
    ("resize-convolution is stamping", ways["resize-convolution"](x), stamped),
]:
    inside = np.abs((one - other).numpy())[0, 0, 1:-1, 1:-1].max()
    print(f"{claim}: inside the border they differ by {inside:.0e}")

# %% [markdown]
# ## Break it
#
# Say what will happen before you run each cell. First, pool a picture 61 columns wide and unpool
# it 60 wide. Each index still names a cell. Which?

# %%
disc = np.hypot(*np.mgrid[-22:23, -30:31]) < 17
photo = ms.tensor((disc + rng.random(disc.shape) / 5)[None, None])
largest, places = F.max_pool2d(photo, 2, return_indices=True)
figure, panels = plt.subplots(1, 2, figsize=(7, 2.8))
for panel, size in zip(panels, [(45, 61), (45, 60)], strict=True):
    panel.imshow(F.max_unpool2d(largest, places, 2, output_size=size).numpy()[0, 0], cmap="gray")
    panel.set_title(f"unpooled to {size[0]}x{size[1]}", fontsize=10)
    panel.axis("off")
plt.show()
try:
    F.max_unpool2d(largest, places, 2)
except IndexError as error:
    print(error)

# %% [markdown]
# The same numbers, sheared: nothing but the width tells where an index points. Unpooling to the
# default size, here 44x60, even leaves some of them outside.
#
# Last: ICNR starts equal. Will it stay equal? Ten steps against the gradient, towards a target
# whose neighbours differ:

# %%
weight = ms.tensor(equal.numpy().copy(), requires_grad=True)
x, target = ms.tensor(rng.random((1, 1, 8, 8))), ms.tensor(rng.random((1, 1, 16, 16)))
for step in range(11):
    loss = ((F.pixel_shuffle(F.conv2d(x, weight, padding=1), 2) - target) ** 2).mean()
    if step in (0, 1, 10):
        apart = np.ptp(weight.numpy(), axis=0).max()
        print(f"after {step:2} steps: loss {loss.item():.3f}, kernels apart by {apart:.3f}")
    weight.grad = None
    loss.backward()
    weight.data -= 0.2 * weight.grad

# %% [markdown]
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `plane`: which cells do pooling indices count? "those of the pooled map", "those of the
#   window", "those of the map that was pooled" or "those of the padded map"
# - `tie`: two cells of a window are equally large: which is remembered? "the first", "the last",
#   "both" or "a random one"
# - `meet`: two values name one cell: what does unpooling do? "they add up", "the last stays",
#   "the largest stays" or "it raises"
# - `corners`: why does align_corners change cells far from the corners? "rounding", "padding",
#   "the step changes" or "another filter"
# - `divides`: the stride divides the kernel: what is sure? "equal sums", "no pattern" or "equal
#   counts"
# - `fraction`: what is a fractionally strided convolution? "a resize-convolution", "a sub-pixel
#   convolution", "a transposed convolution" or "a dilated convolution"
# - `icnr`: what does ICNR make equal? "all kernels", "the kernels of a block", "the overlap
#   counts" or "the kernel's weights"
# - `start`: what happens to a bilinear start in training? "it stays bilinear", "it is learned on"
#   or "it turns to nearest"

# %%
lessons.check_all(
    {
        "05/plane": "those of the map that was pooled",  # SOLUTION
        "05/tie": "the first",  # SOLUTION
        "05/meet": "the last stays",  # SOLUTION
        "05/corners": "the step changes",  # SOLUTION
        "05/divides": "equal counts",  # SOLUTION
        "05/fraction": "a transposed convolution",  # SOLUTION
        "05/icnr": "the kernels of a block",  # SOLUTION
        "05/start": "it is learned on",  # SOLUTION
    }
)

# %%
lessons.report(5)
