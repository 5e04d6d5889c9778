# %% [markdown]
# # 6. Dilated convolution
#
# **You will be able to** work out a dilated convolution on paper and write it as a loop; say how
# large it comes out and how far a stack of layers sees; swap strides for rates; find the holes
# that bad rates leave.
#
# **Before this:** lessons 3 to 5. **Time:** about 60 minutes. Have squared paper ready.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import explain, lessons
from minisegnet.kernels import reference
from minisegnet.kernels.correlate import correlate

rng = np.random.default_rng(6)

# %% [markdown]
# ## Recall
#
# Two lessons ago you made predictions. This is how they turned out.

# %%
lessons.look_back(4)

# %% [markdown]
# And from the last lesson: a transposed convolution has a 7x7 kernel and stride 3. Away from the
# border, how many times as many input cells reach the busiest output cell as the least busy one?

# %%
recalled = 2.25  # SOLUTION
lessons.check("06/recall", recalled)

# %% [markdown]
# ## Gaps between taps
#
# To label a pixel, a network must see far around it. Large kernels see far and cost much. Strides
# and pooling see far and lose the pixels. A third way: leave the kernel's weights as they are and
# move them apart. At **rate** (or dilation) `r`, neighbouring taps lie `r` cells apart, which
# leaves `r - 1` gaps between them. ("Atrous" is the same thing: *à trous*, French for "with holes",
# is what it was called for wavelets.)

# %%
explain.conv2d(
    [
        [2, 0, 1, 3, 5, 1],
        [1, 4, 0, 2, 6, 2],
        [3, 1, 5, 0, 1, 0],
        [0, 2, 7, 1, 3, 8],
        [5, 1, 0, 4, 2, 6],
    ],
    [[1, 0, 2], [2, -1, 3], [0, 4, 1]],
    dilation=2,
).plot(0, 1)

# %% [markdown]
# Your turn, on paper: rate 2, the kernel `[[1, -1], [2, 3]]`, and the map
#
#     1 2 0 3 1
#     4 0 1 2 5
#     2 5 3 1 0
#     0 1 4 6 2

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    [14, 12, 5],
    [15, 18, 10],
    # END SOLUTION
]
lessons.check("06/by-hand", table)

# %% [markdown]
# Now the loop, for one map and one kernel (NumPy arrays), without stride or padding.


# %%
def dilated(x, kernel, rate):
    """The convolution of x with a kernel whose taps lie `rate` apart."""
    (h, w), (kh, kw) = x.shape, kernel.shape
    # BEGIN SOLUTION
    rows, columns = h - rate * (kh - 1), w - rate * (kw - 1)
    out = np.zeros((rows, columns), x.dtype)
    for r in range(rows):
        for c in range(columns):
            for i in range(kh):
                for j in range(kw):
                    out[r, c] += x[r + i * rate, c + j * rate] * kernel[i, j]
    return out
    # END SOLUTION


lessons.check("06/dilated", dilated)

# %% [markdown]
# The size equation of lesson 3 needs one change: how far does a kernel with gaps reach?


# %%
def output_size(size, kernel, stride, padding, dilation):
    """Windows of `kernel` taps, `dilation` apart, on a map of `size` rows."""
    # BEGIN SOLUTION
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    # END SOLUTION


lessons.check("06/size", output_size)

# %% [markdown]
# The definition as loops, the engine's form, and a plain convolution whose kernel holds the zeros
# all agree. Only the last one multiplies by them:

# %%
x, w = lessons.distinct(rng, (1, 2, 9, 12)), lessons.distinct(rng, (3, 2, 3, 3), signed=True)
by_loops = reference.correlate(x, w, kernel_dilation=(3, 2))
by_engine = F.conv2d(ms.tensor(x), ms.tensor(w), dilation=(3, 2)).numpy()
wide = F.insert_zeros(ms.tensor(w), (3, 2))
by_zeros = F.conv2d(ms.tensor(x), wide).numpy()
print("agree:", np.array_equal(by_loops, by_engine) and np.array_equal(by_zeros, by_engine))
print(f"products for one output cell: {w[0].size}, and {wide.numpy()[0].size} with the zeros")

# %% [markdown]
# ## Three things to spread
#
# **Stride** moves the *windows* apart. **Kernel dilation** moves the *taps* apart. **Input
# dilation** puts zeros between the *cells of the map*, as a transposed convolution does. Guess:
# spread a map with `insert_zeros(x, 2)`, and convolve it by a kernel of dilation 2. What comes out:
# "plain" (the plain convolution of x), "plain with zeros between" or "something new"?

# %%
my_guess = "plain with zeros between"  # SOLUTION
lessons.predict("06/both", my_guess)

# %%
lessons.reveal("06/both")

# %% [markdown]
# Here are the three, each alone, measured on seven cells and a kernel of 3. The map is below, the
# outputs above, and a line for every real cell that an output sees.

# %%
kinds = {
    "plain": {},
    "stride 2": {"stride": (1, 2)},
    "kernel dilation 2": {"kernel_dilation": (1, 2)},
    "input dilation 2": {"input_dilation": (1, 2)},
}
units = np.eye(7).reshape(7, 1, 1, 7)  # seven maps with a single 1
figure, panels = plt.subplots(2, 2, figsize=(8, 3.6), layout="constrained")
for panel, (name, option) in zip(panels.flat, kinds.items(), strict=True):
    sees = correlate(units, np.ones((1, 1, 1, 3)), **option)[:, 0, 0]
    stride, rate, spread = (
        option.get(key, (1, 1))[1] for key in ("stride", "kernel_dilation", "input_dilation")
    )
    cells, outputs = np.arange(7) * spread, np.arange(sees.shape[1]) * stride + rate
    for i, o in np.argwhere(sees):
        panel.plot([cells[i], outputs[o]], [0, 1], color="#999999", linewidth=0.8)
    zeros = np.setdiff1d(np.arange(cells[-1]), cells)
    panel.plot(zeros, 0 * zeros, "o", color="white", markeredgecolor="#999999", markersize=5)
    panel.plot(cells, 0 * cells, "s", color="#0072B2", markersize=7)
    panel.plot(outputs, 0 * outputs + 1, "s", color="#009E73", markersize=7)
    panel.set_title(f"{name}: {len(cells)} cells, {len(outputs)} outputs", fontsize=9)
    panel.set_ylim(-0.3, 1.3)
    panel.axis("off")
plt.show()

# %% [markdown]
# ## How far does a network see?
#
# The **receptive field** of an output cell is the stretch of input from the first to the last cell
# that reaches it. Go through the layers from the input on: how much does each one add?


# %%
def receptive_field(layers):
    """Rows that one output cell spans; layers are (kernel, stride, dilation)."""
    # BEGIN SOLUTION
    field, step = 1, 1
    for kernel, stride, dilation in layers:
        field += dilation * (kernel - 1) * step
        step *= stride
    return field
    # END SOLUTION


lessons.check("06/receptive-field", receptive_field)

# %% [markdown]
# Behind a stride of 2, neighbours lie 2 cells apart. So take the stride out, and let all later
# layers look 2 cells further: rate 2. They meet exactly the cells that they met before. Which
# rates do the layers need, once every stride is gone?


# %%
def rates_for(strides):
    """The rate of each layer, once every stride is 1."""
    # BEGIN SOLUTION
    rates, step = [], 1
    for stride in strides:
        rates.append(step)
        step *= stride
    return rates
    # END SOLUTION


lessons.check("06/rates", rates_for)

# %% [markdown]
# Not one weight changes. Every output of the strided network is still there, and the ones it had
# skipped are filled in between. (`relu` makes 0 of what is negative. Networks have such a bend
# behind nearly every convolution: without it, several in a row could do no more than one.)

# %%
strides, rates = (2, 1, 2, 1, 2, 1), (1, 2, 2, 4, 4, 8)
weights = [ms.tensor(rng.standard_normal((4, 4, 3, 3)) / 6) for _ in strides]
strided = dense = ms.tensor(rng.standard_normal((1, 4, 40, 56)))
for w, stride, rate in zip(weights, strides, rates, strict=True):
    strided = F.relu(F.conv2d(strided, w, stride=stride, padding=1))
    dense = F.relu(F.conv2d(dense, w, padding=rate, dilation=rate))
difference = np.abs(strided.numpy() - dense.numpy()[:, :, ::8, ::8]).max()
print(f"strided {strided.shape}, dilated {dense.shape}")
print(f"largest value {strided.numpy().max():.2f}, largest difference {difference:.1e}")

# %% [markdown]
# So far so good, and now the bill. Six 3x3 layers of 16 channels on 96x128 cells: plain, strided,
# and with rates in place of the strides.


# %%
def paths_to_middle(rates, strides=(1,) * 6, size=121):
    """How many paths lead from each input cell to the middle output cell, by the gradient."""
    x = ms.tensor(np.zeros((1, 1, size, size)), requires_grad=True)
    y, ones = x, ms.tensor(np.ones((1, 1, 3, 3)))
    for rate, stride in zip(rates, strides, strict=False):
        y = F.conv2d(y, ones, stride=stride, padding=rate, dilation=rate)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    inside = np.flatnonzero(x.grad[0, 0].any(1))
    return x.grad[0, 0, inside[0] : inside[-1] + 1, inside[0] : inside[-1] + 1]


networks = {
    "plain": ((1,) * 6, (1,) * 6, {"color": "#BBBBBB", "linewidth": 5}),
    "strided": (strides, (1,) * 6, {"color": "#0072B2", "linewidth": 3}),
    "dilated": ((1,) * 6, rates, {"color": "#D55E00", "linestyle": "--", "marker": "."}),
}
figure, panels = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
titles = ("receptive field", "rows left", "million multiply-adds so far")
print("          field  rows x columns  weights  million multiply-adds")
for name, (its_strides, its_rates, style) in networks.items():
    x, w = ms.tensor(np.zeros((1, 16, 96, 128))), ms.tensor(np.zeros((16, 16, 3, 3)))
    story = [(1, x.shape[2], 0.0)]
    for depth, (stride, rate) in enumerate(zip(its_strides, its_rates, strict=True), 1):
        x = F.conv2d(x, w, stride=stride, padding=rate, dilation=rate)
        field = len(paths_to_middle(its_rates[:depth], its_strides))
        work = story[-1][2] + x.data.size * w.data[0].size / 1e6
        story.append((field, x.shape[2], work))
    size = f"{x.shape[2]} x {x.shape[3]}"
    print(f"{name:10}{field:5}  {size:>14}  {depth * w.data.size:7,}  {work:21.0f}")
    for panel, values, title in zip(panels, zip(*story, strict=True), titles, strict=True):
        panel.plot(values, label=name, **style)
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("layers", fontsize=9)
panels[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# Field, resolution, cost: plain layers are short-sighted, strides lose resolution, rates cost time
# and memory. Weights are the same for all. That is why networks that segment (DeepLab, lesson 12)
# keep the early strides and dilate only the last few layers.
#
# ## Holes
#
# Guess: three 3x3 layers, all of rate 2. One output cell spans 13x13 = 169 input cells. How many of
# them does it depend on?

# %%
my_guess = 49  # SOLUTION
lessons.predict("06/gridding", my_guess)

# %%
lessons.reveal("06/gridding")

# %% [markdown]
# Count the paths yourself, along one axis: begin with `[1]`, the output cell. Each layer of 3 taps
# lays three copies of the counts `rate` cells apart, and adds them up.


# %%
def paths(rates):
    """How many paths lead from each cell to one output cell."""
    counts = np.ones(1, int)
    # BEGIN SOLUTION
    for rate in rates:
        wider = np.zeros(len(counts) + 2 * rate, int)
        for tap in range(3):
            wider[tap * rate : tap * rate + len(counts)] += counts
        counts = wider
    # END SOLUTION
    return counts


lessons.check("06/paths", paths)

# %% [markdown]
# Holes in a grid: this is **gridding**. Wang and others (2018) proposed *hybrid dilated
# convolution*: in place of 2, 2, 2 take rates without a common factor, such as 1, 2, 5. Every cell
# is seen, further out, by as many weights. (Pale cells have no path, bright ones have many.)

# %%
figure, panels = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for panel, some in zip(panels, ((2, 2, 2), (1, 2, 3), (1, 2, 5)), strict=True):
    counts = paths_to_middle(some)
    panel.imshow(np.ma.masked_equal(counts, 0), cmap="viridis")
    panel.set_facecolor("#F4D9C6")
    panel.set_title(
        f"rates {', '.join(map(str, some))}: {np.count_nonzero(counts)} of {counts.size}",
        fontsize=9,
    )
    panel.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Why? A layer of rate 2 never mixes even with odd rows or columns. It is four plain convolutions
# on four quarter maps, which the next layer of rate 2 keeps apart again. So neighbouring outputs
# share no input at all, and nothing makes them agree:

# %%
x = ms.tensor(rng.standard_normal((1, 3, 11, 14)))
w = ms.tensor(rng.standard_normal((2, 3, 3, 2)))
whole = F.conv2d(x, w, dilation=2).numpy()
for i in (0, 1):
    for j in (0, 1):
        quarter = F.conv2d(x[:, :, i::2, j::2], w).numpy()
        print(f"quarter ({i}, {j}):", np.allclose(quarter, whole[:, :, i::2, j::2]))

# %% [markdown]
# ## Its transpose
#
# The gradient of a dilated convolution is a transposed one of the same dilation. In the recipe of
# lesson 4, the kernel that slides is dilated too, so it reaches `dilation*(k - 1)` cells further
# than its first tap. That many zeros let it touch the first cell of the map, and padding takes its
# share away: `dilation*(k - 1) - padding` on every side. Recipe, engine and gradient agree. (The
# text whose size equation knows no dilation pads by this very rule, and so contradicts itself.)

# %%
y = ms.tensor(lessons.distinct(rng, (1, 3, 9, 10)) * 1.0)
w = ms.tensor(lessons.distinct(rng, (3, 2, 3, 3), signed=True) * 1.0)
flipped = F.flip(w, (2, 3)).transpose(0, 1)
for padding in (0, 1, 6, 7):
    ring = 3 * (3 - 1) - padding
    by_recipe = F.conv2d(F.pad(y, (ring,) * 4), flipped, dilation=3).numpy()
    by_engine = F.conv_transpose2d(y, w, padding=padding, dilation=3).numpy()
    x = ms.tensor(np.zeros(by_engine.shape), requires_grad=True)
    F.conv2d(x, w, padding=padding, dilation=3).backward(y.numpy())
    agree = np.array_equal(by_recipe, by_engine) and np.array_equal(x.grad, by_engine)
    print(f"padding {padding}: rings {ring:2}, {by_engine.shape[2]:2} rows, agree: {agree}")

# %% [markdown]
# ## Break it
#
# Say what will happen before you run each cell. First, a rate of 12 on a map of 8x11 cells, padded
# so that the size stays. What is left of the nine weights?

# %%
x, w = lessons.distinct(rng, (1, 1, 8, 11)), lessons.distinct(rng, (1, 1, 3, 3))
y = F.conv2d(ms.tensor(x), ms.tensor(w), padding=12, dilation=12).numpy()
print("the map times the middle weight, and nothing else:", np.array_equal(y, x * w[0, 0, 1, 1]))

# %% [markdown]
# Next, other rates. "No common factor" is not all there is to it. A run of cells that is filled
# stays filled when its three copies touch or overlap: which rates below break that?

# %%
for some in ((1, 1, 1), (1, 2, 4), (2, 4, 8), (1, 2, 7), (1, 2, 8), (1, 3, 9), (1, 2, 9)):
    line = paths_to_middle(some).diagonal()
    picture = "".join("#" if count else "." for count in line)
    print(f"{some}: {len(line):2} cells, {np.count_nonzero(line == 0):2} holes  {picture}")

# %% [markdown]
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `reach`: how many cells does a kernel of 5 taps at rate 3 reach over?
# - `rings`: transposed, kernel 3, dilation 4, padding 5: how many rings of zeros?
# - `third-rate`: after rates 1 and 2, the largest third rate without holes?
# - `larger`: which makes the output larger? "stride", "kernel dilation" or "input dilation"
# - `cost`: strides swapped for rates: what gets more expensive? "weights", "receptive field", "time
#   and memory" or "nothing"
# - `cause`: rates 2, 2, 2 leave a grid of holes: what is behind it? "large rates", "a common
#   factor", "uneven overlap" or "padding"
# - `larger-than-map`: a padded 3x3 kernel with a rate larger than the map acts like which? "3x3",
#   "1x1" or "global"

# %%
lessons.check_all(
    {
        "06/reach": 13,  # SOLUTION
        "06/rings": 3,  # SOLUTION
        "06/third-rate": 7,  # SOLUTION
        "06/larger": "input dilation",  # SOLUTION
        "06/cost": "time and memory",  # SOLUTION
        "06/cause": "a common factor",  # SOLUTION
        "06/larger-than-map": "1x1",  # SOLUTION
    }
)

# %%
lessons.report(6)
