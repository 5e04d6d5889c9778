# %% [markdown]
# # 3. Convolution by hand
#
# **You will be able to** work out a convolution on paper and say how large it comes out; write it
# as a loop, as one product of windows and as one sparse matrix; carry gradients back through it
# by two more convolutions.
#
# **Before this:** lesson 2, a tiny autograd. **Time:** about 60 minutes. Have a pencil and
# squared paper ready.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import explain, lessons
from minisegnet.kernels import correlate, reference

# %% [markdown]
# ## Recall
#
# Two lessons ago you made predictions. This is how they turned out.

# %%
lessons.look_back(1)

# %% [markdown]
# And from the last lesson: `y = a*b + a*a`, with `a = 3` and `b = 4`. What is the gradient of `y`
# with respect to `a`?

# %%
recalled = 10  # SOLUTION
lessons.check("03/recall", recalled)

# %% [markdown]
# ## Many in, one out
#
# Lay a small table of weights, the **kernel**, on a window of the map. (A cell of the kernel is a
# **tap**.) Multiply cell by cell and add up: many cells in, one number out. Then move the window
# and do it again, with the same weights. That is all a convolution does.

# %%
explain.conv2d([[2, 0, 1, 3], [1, 4, 0, 2], [3, 1, 5, 0]], [[1, 0], [2, -1]]).plot(1, 1)

# %% [markdown]
# (A mathematician would flip the kernel first, and call ours a *cross-correlation*. Weights that
# are learned do not mind.)
#
# Your turn, on paper: the map `[[1, 2, 0, 3], [4, 0, 1, 2], [2, 5, 3, 1]]`, the kernel
# `[[2, 1], [0, 3]]`.

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    [4, 7, 9],
    [23, 10, 7],
    # END SOLUTION
]
lessons.check("03/by-hand", table)

# %% [markdown]
# ## How many windows?
#
# Two options move the windows. `stride` is how many cells the window steps each time. `padding`
# puts that many rows and columns of zeros on **every side** of the map first. Only windows that
# lie whole on the padded map count. How many are there along one axis? (The grey lines above a
# picture count them, with a `dilation` that is 1 until lesson 6. Find it yourself first.)


# %%
def output_size(size, kernel, stride, padding):
    """Windows of `kernel` rows on a map of `size` rows."""
    # BEGIN SOLUTION
    return (size + 2 * padding - kernel) // stride + 1
    # END SOLUTION


lessons.check("03/size", output_size)

# %% [markdown]
# Now the loop, for one map and one kernel (NumPy arrays). `np.pad` puts the zeros there. Stuck?
# Ask `lessons.hint("03/convolve")`, as often as you like.


# %%
def convolve(x, kernel, stride, padding):
    """The sum of products under every window."""
    (h, w), (kh, kw) = x.shape, kernel.shape
    padded = np.pad(x, padding)
    # BEGIN SOLUTION
    rows = (h + 2 * padding - kh) // stride + 1
    columns = (w + 2 * padding - kw) // stride + 1
    out = np.zeros((rows, columns), x.dtype)
    for r in range(rows):
        for c in range(columns):
            top, left = r * stride, c * stride
            out[r, c] = (padded[top : top + kh, left : left + kw] * kernel).sum()
    return out
    # END SOLUTION


lessons.check("03/convolve", convolve)

# %% [markdown]
# `padding="same"` keeps the size, which takes `kernel - 1` zeros along an axis. A kernel of 3 has
# a middle: one zero before, one behind. A kernel of 2 has none, and one zero cannot be halved.
# Windows are counted from the top left, so the odd zero goes behind: that is why "same" padding is
# **one-sided** for even kernels.

# %%
rng = np.random.default_rng(3)
x = ms.tensor(lessons.distinct(rng, (1, 1, 5, 7)))
for k in (2, 3, 4, 5):
    w = ms.tensor(lessons.distinct(rng, (1, 1, k, k)))
    before, behind = (k - 1) // 2, k - 1 - (k - 1) // 2
    by_hand = F.conv2d(F.pad(x, (before, behind, before, behind)), w).numpy()
    is_same = np.array_equal(by_hand, F.conv2d(x, w, padding="same").numpy())
    print(f"kernel {k}: {before} before and {behind} behind, as the engine does: {is_same}")
explain.conv2d([[2, 0, 1], [1, 4, 3]], [[1, 0], [2, -1]], padding="same").plot(1, 2)

# %% [markdown]
# ## Channels and groups
#
# Real maps have **channels**, several numbers for one place: red, green and blue of an image, or
# what earlier layers found. A kernel has a slice for each, summed over slices too, and each output
# channel has a kernel: `(out, in, rows, columns)`. `groups` splits the channels into parts that do
# not see each other, down to one channel each ("depthwise"). Loops and engine agree, and more
# groups cost less:

# %%
x = lessons.distinct(rng, (2, 4, 5, 7))
print("groups  weight        multiply-adds  loops = engine")
for groups in (1, 2, 4):
    w = lessons.distinct(rng, (8, 4 // groups, 3, 2), signed=True)
    by_loops = reference.correlate(x, w, (2, 1), ((1, 1), (0, 0)), groups=groups)
    by_engine = F.conv2d(ms.tensor(x), ms.tensor(w), None, (2, 1), (1, 0), 1, groups).numpy()
    products = by_engine.size * w[0].size
    print(f"{groups:6}  {w.shape}  {products:13,}  {np.array_equal(by_loops, by_engine)}")

# %% [markdown]
# ## Windows as columns
#
# Loops over cells are slow in Python; one large matrix product is what a processor does best. So
# write every window down as a column, one beside the other. The kernel, written as a row, times
# that matrix gives all windows at once.


# %%
def columns(x, kh, kw, stride):
    """Every window of x as a column, the windows counted row by row."""
    h, w = x.shape
    found = []
    # BEGIN SOLUTION
    for top in range(0, h - kh + 1, stride):
        for left in range(0, w - kw + 1, stride):
            found.append(x[top : top + kh, left : left + kw].ravel())
    # END SOLUTION
    return np.stack(found, axis=1)


lessons.check("03/columns", columns)

# %% [markdown]
# For whole tensors that is `F.unfold`. It has a price: a cell is copied once for every window
# that sees it. The engine pays it in small change (read `kernels/correlate.py`). Its windows are
# first a *view*, which copies nothing. Then it copies a **band** of rows at a time, small enough
# for the processor's cache, and multiplies that.

# %%
images = ms.tensor(rng.standard_normal((2, 3, 6, 8)))
w = ms.tensor(rng.standard_normal((4, 3, 3, 2)))
product = w.reshape(4, -1) @ F.unfold(images, (3, 2))
difference = product.reshape(2, 4, 4, 7).numpy() - F.conv2d(images, w).numpy()
print("largest difference:", np.abs(difference).max())

maps = np.zeros((8, 16, 128, 128), np.float32)
view = np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(2, 3))
print(f"the maps: {maps.nbytes / 2**20:.0f} MB")
print(f"a view of all their windows: no MB more, it shares them: {np.may_share_memory(view, maps)}")
print(f"all windows copied into columns: {view.size * 4 / 2**20:.0f} MB")
print(f"one band of the engine: {correlate.BAND_NUMBERS * 4 / 2**20:.0f} MB")

# %% [markdown]
# ## One sparse matrix
#
# Now flatten the map instead. Then the whole convolution is one matrix C: a row for each window, a
# column for each cell. Guess: for 32x32 cells and a 3x3 kernel with padding 1, how much of C is
# *not* zero, "under 1 %", "about 10 %" or "about half"?

# %%
my_guess = "under 1 %"  # SOLUTION
lessons.predict("03/zeros", my_guess)

# %%
lessons.reveal("03/zeros")

# %% [markdown]
# Here is a C that fits on a page. A **fully connected** layer, in which every output weighs every
# cell, would learn each entry by itself; a convolution writes the same four weights into each row.

# %%
small = explain.conv2d([[2, 0, 1], [1, 4, 0], [3, 1, 5]], [[1, 2], [3, 4]])
small.views["matrix"].plot(1, 0)


# %%
def matrix(kernel, height, width, stride):
    """The matrix that convolves a flattened map of height x width cells."""
    kh, kw = kernel.shape
    rows, columns = (height - kh) // stride + 1, (width - kw) // stride + 1
    C = np.zeros((rows * columns, height * width), kernel.dtype)
    # BEGIN SOLUTION
    for r in range(rows):
        for c in range(columns):
            for i in range(kh):
                for j in range(kw):
                    cell = (r * stride + i) * width + c * stride + j
                    C[r * columns + c, cell] = kernel[i, j]
    # END SOLUTION
    return C


lessons.check("03/matrix", matrix)

# %% [markdown]
# ## Who saw this cell?
#
# Rows of C tell what a window sees. Columns tell who saw a cell. Guess: a map of 5x5 zeros has a
# single 1 in its middle, and the kernel `[[1, 2, 3], [4, 5, 6], [7, 8, 9]]` slides over it. Which
# number stands in the top left corner of the 3x3 output?

# %%
my_guess = 9  # SOLUTION
lessons.predict("03/single-one", my_guess)

# %%
lessons.reveal("03/single-one")

# %% [markdown]
# Keep that in mind for the way back. Window `o` sees cell `o + i` under tap `i`, so it sends
# `upstream[o] * kernel[i]` back there. A loop over windows walks forwards along the kernel. But
# stand on cell `q` and collect: window `o` saw you under tap `q - o`, and as `o` grows, the tap
# goes **backwards**. Same products, so the loop needs no flip and the gathering does. And windows
# overlap, so the loop needs `+=`: with `=` the last window would wipe out the others.

# %%
kernel, upstream = np.array([1, 2, 4]), np.array([3, 5, 0, 1])
sent = np.zeros(6, int)
for o in range(4):
    sent[o : o + 3] += upstream[o] * kernel
padded = np.pad(upstream, 2)
collected = [int(padded[q : q + 3] @ kernel[::-1]) for q in range(6)]
print("sent, kernel forwards:      ", sent.tolist())
print("collected, kernel backwards:", collected)

# %% [markdown]
# Do it for tensors: pad by `k - 1`, so that cells at the border find windows too, flip, and
# exchange the weight's channels, for the gradient goes from out to in.


# %%
def input_gradient(upstream, weight):
    """The gradient of the map, at stride 1 without padding."""
    kh, kw = weight.shape[2:]
    # BEGIN SOLUTION
    flipped = F.flip(weight, (2, 3)).transpose(0, 1)
    return F.conv2d(upstream, flipped, padding=(kh - 1, kw - 1))
    # END SOLUTION


lessons.check("03/input-gradient", input_gradient)

# %% [markdown]
# And the weights? Tap `i` met `x[o + i]` in every window `o`, so its gradient is the sum of
# `upstream[o] * x[o + i]`: the upstream gradient slides over the map like a kernel. Tap and cell
# run the same way, so nothing is flipped. `F.conv2d` sums over dimension 1, and the sum here runs
# over images: exchange the two dimensions.


# %%
def weight_gradient(x, upstream):
    """The gradient of the weight (out, in, rows, columns)."""
    # BEGIN SOLUTION
    return F.conv2d(x.transpose(0, 1), upstream.transpose(0, 1)).transpose(0, 1)
    # END SOLUTION


lessons.check("03/weight-gradient", weight_gradient)

# %% [markdown]
# ## Break it
#
# Say what will happen before you run each cell. First, forget the flip, with two kernels. Which
# of them gives you away?

# %%
for kernel in ([[1.0, 2.0, 1.0]], [[1.0, 2.0, 4.0]]):
    x = ms.tensor(rng.standard_normal((1, 1, 4, 6)), requires_grad=True)
    w = ms.tensor(np.array([[kernel]]))
    y = F.conv2d(x, w)
    upstream = rng.standard_normal(y.shape)
    y.backward(upstream)
    forgotten = F.conv2d(ms.tensor(upstream), w, padding=(0, 2)).numpy()
    print(f"{kernel}: off by {np.abs(forgotten - x.grad).max():.2f}")

# %% [markdown]
# Test with symmetric kernels and you test nothing. Next, blur a dot eight times with "same"
# padding, by kernels of 1x1 (which changes nothing), 3x3 and 2x2. Where does it end up?

# %%
dot = np.zeros((1, 1, 15, 21), np.float32)
dot[0, 0, 7, 10] = 1
figure, panels = plt.subplots(1, 3, figsize=(8, 2.2))
for panel, k in zip(panels, (1, 3, 2), strict=True):
    x = ms.tensor(dot)
    for _ in range(8):
        x = F.conv2d(x, ms.tensor(np.full((1, 1, k, k), 1 / k**2, np.float32)), padding="same")
    picture = x.numpy()[0, 0]
    row, column = (np.average(grid, weights=picture) for grid in np.indices(picture.shape))
    panel.imshow(picture, cmap="gray")
    panel.set_title(f"{k}x{k} kernel: centre ({row:.1f}, {column:.1f})", fontsize=9)
plt.show()

# %% [markdown]
# The even kernel looks right and down, so the picture drifts up and left, half a cell each time.
#
# Last, stride 2. Give the recipe for the map's gradient the upstream gradient as it is, and then
# with zeros between its cells, where the windows were that the stride left out:

# %%
x = ms.tensor(rng.standard_normal((1, 2, 7, 8)), requires_grad=True)
w = ms.tensor(rng.standard_normal((3, 2, 3, 2)))
y = F.conv2d(x, w, stride=2)
upstream = ms.tensor(rng.standard_normal(y.shape))
y.backward(upstream.numpy())
flipped = F.flip(w, (2, 3)).transpose(0, 1)
for name, given in {"as it is": upstream, "with zeros": F.insert_zeros(upstream, 2)}.items():
    gradient = F.conv2d(given, flipped, padding=(2, 1)).numpy()
    is_right = gradient.shape == x.shape and np.allclose(gradient, x.grad)
    print(f"{name}: {gradient.shape} for a map of {x.shape}, right: {is_right}")

# %% [markdown]
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `name`: a network's convolution, to a mathematician? "convolution", "cross-correlation" or
#   "transposed convolution"
# - `groups`: how many weights has a 3x3 convolution from 12 to 18 channels in 6 groups?
# - `same`: where does "same" put the zeros of a kernel with 4 rows? "1 above, 2 below", "2 above,
#   1 below", "2 above, 2 below" or "3 below"
# - `price`: what do windows as columns cost? "accuracy", "memory" or "more products"
# - `flip`: why does the gradient flip the kernel when its loop does not? "the chain rule flips",
#   "they differ" or "sending forwards, gathering backwards"
# - `strided`: at stride 2, what happens to the upstream gradient first? "nothing", "repeat its
#   cells" or "zeros between its cells"

# %%
lessons.check_all(
    {
        "03/name": "cross-correlation",  # SOLUTION
        "03/groups": 324,  # SOLUTION
        "03/same": "1 above, 2 below",  # SOLUTION
        "03/price": "memory",  # SOLUTION
        "03/flip": "sending forwards, gathering backwards",  # SOLUTION
        "03/strided": "zeros between its cells",  # SOLUTION
    }
)

# %%
lessons.report(3)
