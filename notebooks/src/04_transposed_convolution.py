# %% [markdown]
# # 4. Transposed convolution
#
# **You will be able to** work out a transposed convolution on paper, in two ways; write it as a
# loop and as three steps; say how large its output is, and choose that size; explain why it is a
# transpose and not an inverse.
#
# **Before this:** lesson 3, convolution by hand. **Time:** about 60 minutes. Have a pencil and
# squared paper ready.

# %%
import numpy as np

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import explain, lessons
from minisegnet.kernels import reference

# %% [markdown]
# ## Recall
#
# Two lessons ago you made predictions. This is how they turned out.

# %%
lessons.look_back(2)

# %% [markdown]
# And from the last lesson: a 3x3 kernel slides over a map of 9 rows and 13 columns, with stride 3
# and padding 1. What size comes out?

# %%
recalled = (3, 5)  # SOLUTION: (rows, columns)
lessons.check("04/recall", recalled)

# %% [markdown]
# ## Stamping
#
# A convolution *gathers*: many cells in, one number out, and a stride makes the map smaller. A
# network that labels every pixel must also come back to the size of its image, so it needs the
# opposite: one cell in, many out.
#
# Think of a rubber stamp. Take the kernel, multiply it by one cell of the input, and stamp it on
# the output. For the next cell, move one stride further. Where stamps overlap, they **add up**.

# %%
walk = explain.conv_transpose2d([[0, 2], [3, 1]], [[0, 1], [2, 3]])
walk.views["scatter"].plot()

# %% [markdown]
# Your turn, on paper: input `[[1, 2], [3, 4]]`, kernel `[[1, 0], [1, 1]]`, stride 1. Draw four
# stamps and add them up.

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    #: [..., ..., ...],
    [1, 2, 0],
    [4, 7, 2],
    [3, 7, 4],
    # END SOLUTION
]
lessons.check("04/by-hand", table)

# %% [markdown]
# Now as a loop, for one map and one kernel (NumPy arrays) at any stride. Stuck? Ask
# `lessons.hint("04/scatter")`, as often as you like.


# %%
def scatter(x, kernel, stride):
    """The sum of all stamps."""
    (h, w), (kh, kw) = x.shape, kernel.shape
    # BEGIN SOLUTION
    out = np.zeros(((h - 1) * stride + kh, (w - 1) * stride + kw), x.dtype)
    for r in range(h):
        for c in range(w):
            top, left = r * stride, c * stride
            out[top : top + kh, left : left + kw] += x[r, c] * kernel
    return out
    # END SOLUTION


lessons.check("04/scatter", scatter)

# %% [markdown]
# ## Guess first
#
# Two options change which part of the stamped table you get to see. `padding` **cuts off** rows
# and columns on every side. (The convolution it belongs to had put a ring of zeros there; on
# the way back the ring is dropped. That is why padding makes this output smaller.)
# `output_padding` then makes the output larger again, at the bottom and right.
#
# Take one cell, 2, and the kernel `[[1, 2, 3], [4, 5, 6], [7, 8, 9]]`, with stride 2, padding 1
# and output padding 1. The output is 2x2. Which number do you expect in its bottom right corner?

# %%
my_guess = 18  # SOLUTION
lessons.predict("04/corner", my_guess)

# %%
lessons.reveal("04/corner")

# %% [markdown]
# Here it is with other numbers. The frame is what you get to see. Cells of output padding are not
# zero: stamps reach them like any other cell. And they lie on one side only, because windows are
# counted from the top left. The rows that a stride could not reach are at the other end.

# %%
framed = explain.conv_transpose2d(
    [[1, 3]], [[2, 1, 0], [4, 0, 5], [3, 6, 7]], stride=2, padding=1, output_padding=1
)
framed.views["scatter"].plot()

# %% [markdown]
# To change these numbers and watch, type `minisegnet explore` in a terminal: it opens a page on
# which all views of a transposed convolution move together.
#
# ## Three steps
#
# The same numbers, gathered: stand on an output cell and ask who reaches it.
#
# 1. **Insert** `stride - 1` zeros between neighbouring rows and columns.
# 2. **Pad** by `dilation*(k-1) - padding` on every side, and by `output_padding` more at the
#    bottom and right. If that is negative, crop.
# 3. **Flip** the kernel up-down and left-right, and convolve with stride 1.

# %%
framed.plot(1, 1)

# %% [markdown]
# Why the flip, when the loop has none? A stamp puts `x[q] * k[r - q]` on cell `r`. Stand on the
# input and let `r` run: you walk forwards along the kernel. Stand on the output and let `q` run:
# you walk backwards. Backwards is flipped.
#
# The engine inserts no zeros and still agrees with loops that do. On real shapes, with batch,
# channels and everything else at once:

# %%
rng = np.random.default_rng(4)
x = lessons.distinct(rng, (1, 2, 3, 2))
weight = lessons.distinct(rng, (2, 3, 2, 3), signed=True)
options = {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2)}
by_loops = reference.conv_transpose2d(x, weight, **options)
by_engine = F.conv_transpose2d(ms.tensor(x), ms.tensor(weight), **options)
by_engine.shape, np.array_equal(by_loops, by_engine.numpy())

# %% [markdown]
# Look at the weight: 2 channels come in, 3 go out, and it is `(2, 3, 2, 3)`: **(in, out, rows,
# columns)**. It is the very array of the convolution that went from 3 channels to 2. The array
# stays, the roles change.
#
# Write the three steps with `F.insert_zeros`, `F.pad`, `F.flip` and `F.conv2d`, for tensors of
# four dimensions. `F.pad` takes `(left, right, top, bottom)`.


# %%
def recipe(x, weight, stride, padding, output_padding, dilation):
    """A transposed convolution by inserting zeros, padding and flipping."""
    kh, kw = weight.shape[2:]
    # BEGIN SOLUTION
    spread = F.insert_zeros(x, stride)
    rows = dilation * (kh - 1) - padding
    columns = dilation * (kw - 1) - padding
    padded = F.pad(spread, (columns, columns + output_padding, rows, rows + output_padding))
    kernel = F.flip(weight, (2, 3)).transpose(0, 1)
    return F.conv2d(padded, kernel, dilation=dilation)
    # END SOLUTION


lessons.check("04/recipe", recipe)

# %% [markdown]
# ## How large?
#
# Where does the last stamp begin, how far does it reach, and what is cut off? Write the size down
# for one axis. (One text on this topic subtracts the padding once, where its own step 2 takes it
# from both sides. It forgets dilation and output padding too. Check against the engine, not a
# page.)


# %%
def output_size(size, kernel, stride, padding, output_padding, dilation):
    """Rows of the output, for an input of `size` rows."""
    # BEGIN SOLUTION
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    # END SOLUTION


lessons.check("04/size", output_size)

# %% [markdown]
# A convolution rounds its size down, so different inputs give the same output. Which one should
# come back?

# %%
w = ms.tensor(np.ones((1, 1, 3, 3)))
for rows in range(11, 17):
    y = F.conv2d(ms.tensor(np.ones((1, 1, rows, rows))), w, stride=2, padding=1)
    back = [
        F.conv_transpose2d(y, w, stride=2, padding=1, output_padding=extra).shape[2]
        for extra in (0, 1)
    ]
    print(f"{rows} -> {y.shape[2]} -> {back[0]}, or with output padding {back[1]}")

# %% [markdown]
# You choose, by output padding from 0 to `stride - 1`. Which value brings a map of `size` rows
# back after it went through a convolution?


# %%
def output_padding(size, kernel, stride, padding, dilation):
    """The output padding that comes back to `size` rows."""
    # BEGIN SOLUTION
    return (size + 2 * padding - dilation * (kernel - 1) - 1) % stride
    # END SOLUTION


lessons.check("04/output-padding", output_padding)

# %% [markdown]
# ## Transposed, not inverted
#
# Guess again: convolve a map at stride 1, then apply the transposed convolution with the same
# kernel. What comes back: "the size", "the values", "both" or "neither"?

# %%
my_guess = "the size"  # SOLUTION
lessons.predict("04/back", my_guess)

# %%
lessons.reveal("04/back")

# %% [markdown]
# Every convolution is a matrix C: one row for each window, times the map written as one column. The
# C below has fewer rows than columns, so it has no inverse: what it threw away stays lost. Its
# transpose has the right shape for the way back, and that is the name's whole secret. (Padding can
# make C square, and it may then have an inverse. But that is no kernel that slides, and nobody
# needs it here.)

# %%
walk.views["matrix"].plot()

# %% [markdown]
# Who needs the transpose? The chain rule. If `y = C x`, the gradient of `x` is C transposed times
# the gradient of `y`. So the gradient of a convolution's input is a transposed convolution. Some
# texts flip the kernel there and some do not: they gather, or they stamp.

# %%
image = ms.tensor(rng.standard_normal((1, 3, 7, 10)), requires_grad=True)
w = ms.tensor(rng.standard_normal((2, 3, 3, 2)))
y = F.conv2d(image, w, stride=(2, 3), padding=1)
upstream = rng.standard_normal(y.shape)
y.backward(upstream)

by_hand = F.conv_transpose2d(
    ms.tensor(upstream), w, stride=(2, 3), padding=1, output_padding=(0, 1)
)
print("largest difference:", np.abs(image.grad - by_hand.numpy()).max())

# %% [markdown]
# ## Break it
#
# Say what will happen before you run each cell. First, an output padding as large as the stride:

# %%
try:
    F.conv_transpose2d(ms.tensor(x), ms.tensor(weight), stride=2, output_padding=2)
except ValueError as error:
    print(error)

# %% [markdown]
# A kernel smaller than the stride. What fills the gaps, and what would it do to a picture?

# %%
explain.conv_transpose2d([[1, 2], [3, 4]], [[5, 6], [7, 8]], stride=3).result

# %% [markdown]
# Exchange input and kernel. At stride 1 nobody notices, so a figure at stride 1 proves little:

# %%
a, b = np.array([[[[1, 2], [3, 4]]]]), np.array([[[[5, 0], [6, 7]]]])
for stride in (1, 2):
    one = F.conv_transpose2d(ms.tensor(a), ms.tensor(b), stride=stride).numpy()
    other = F.conv_transpose2d(ms.tensor(b), ms.tensor(a), stride=stride).numpy()
    print(f"stride {stride}: the same? {np.array_equal(one, other)}")

# %% [markdown]
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `inverse`: at stride 2, why is C transposed and not inverted? "no inverse", "too slow" or
#   "same thing"
# - `chooser`: at stride 2 two sizes could come back: what decides? "the kernel", "padding",
#   "output padding" or "the input"
# - `zeros`: why are output padding's cells not zero? "bias", "rounding", "borders repeat" or
#   "stamps reach them"
# - `one-sided`: why is it at the bottom and right only? "convention only", "symmetry" or "windows
#   start top left"
# - `flip`: why does the sliding view flip the kernel, and stamping not? "different results",
#   "padding" or "two ends of one product"
# - `layout`: why (in, out) in the weight? "memory order", "historic accident" or "same array as
#   the convolution"
# - `shrink`: why does padding shrink the output? "it adds zeros", "stride" or "it is the
#   convolution's padding"

# %%
lessons.check_all(
    {
        "04/inverse": "no inverse",  # SOLUTION
        "04/chooser": "output padding",  # SOLUTION
        "04/zeros": "stamps reach them",  # SOLUTION
        "04/one-sided": "windows start top left",  # SOLUTION
        "04/flip": "two ends of one product",  # SOLUTION
        "04/layout": "same array as the convolution",  # SOLUTION
        "04/shrink": "it is the convolution's padding",  # SOLUTION
    }
)

# %%
lessons.report(4)
