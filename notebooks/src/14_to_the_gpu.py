# %% [markdown]
# # 14. To the GPU
#
# **You will be able to** say which cell of a map a thread of a kernel works on; write an operation
# that runs on NumPy and on CuPy; name the lines that make a program wait; estimate what a GPU buys
# at which size.
#
# **Before this:** lesson 3, convolution by hand, and lesson 10, U-Net. **Time:** about 45 minutes.
# No GPU is needed; where there is one, this notebook uses it.

# %%
import time

import numpy as np

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import backend, lessons, models, optim

# %% [markdown]
# ## Recall
#
# Your guesses of two lessons ago, and how they turned out:

# %%
lessons.look_back(12)

# %% [markdown]
# And from the last lesson. The truth of five pixels is 0 1 2 255 2, where 255 is void, and the
# prediction is 0 1 1 2 2. What is the pixel accuracy?

# %%
recalled = 0.75  # SOLUTION
lessons.check("14/recall", recalled)

# %% [markdown]
# ## One thread, one cell
#
# A processor core walks over a map cell by cell, quickly. A GPU has thousands of slower ones, and
# gives **each cell of the result a thread of its own**. All of them run the same few lines, the
# *kernel* (another thing than the kernel of a convolution). The only difference between them is a
# number: who am I? From it a thread works out where it stands.
#
# On paper: nine threads, for a 3x3 result. Thread `i` stands on `row, column = divmod(i, 3)` and
# writes `x[row, column] - x[row + 1, column + 1]`, for this map. All read the map as it was.
#
# ```
# 2 5 1 0
# 7 3 4 6
# 1 8 2 3
# 0 4 9 5
# ```

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    #: [..., ..., ...],
    [-1, 1, -5],
    [-1, 1, 1],
    [-3, -1, -3],
    # END SOLUTION
]
lessons.check("14/by-hand", table)

# %% [markdown]
# Threads come in *blocks* of equal size, say 256, and the last block is rarely full. Write down
# which cell of a map is whose. To start all of them is a *launch*. As a loop it would be
#
# ```python
# for block in range(blocks):
#     for thread in range(threads):
#         kernel(*cell(block, thread, threads, rows, columns))
# ```
#
# with the difference that nothing says in which order.


# %%
def cell(block, thread, threads, rows, columns):
    """Row and column for that thread; (-1, -1) if no cell is left for it."""
    # BEGIN SOLUTION
    number = block * threads + thread
    if number >= rows * columns:
        return (-1, -1)
    return divmod(number, columns)
    # END SOLUTION


lessons.check("14/cell", cell)

# %% [markdown]
# ## One source, two libraries
#
# CuPy has NumPy's functions under NumPy's names, for arrays that lie in a GPU's memory. So an
# operation is written once and asks the array whose it is:

# %%
x = np.array([[1.0, 2.0, 4.0]])
xp = backend.array_module(x)
xp.__name__, backend.device_of(x)

# %% [markdown]
# Write a softmax over axis 1 with the functions of `xp`. (The checker hands you a library that is
# not quite NumPy.)


# %%
def softmax(xp, x):
    """Softmax over axis 1."""
    # BEGIN SOLUTION
    e = xp.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
    # END SOLUTION


lessons.check("14/softmax", softmax)

# %% [markdown]
# Every operation of the engine is written so. No operation asks for a GPU; **the data decide**. You
# move the weights once and each batch once:

# %%
device = "cuda" if ms.cuda_is_available() else "cpu"
print(backend.cuda_problem() or "there is a GPU")
model = models.UNet(3, 4, base=4, depth=2).to(device)
images = ms.tensor(np.zeros((2, 3, 32, 48), dtype=np.float32), device=device)
model(images).device

# %% [markdown]
# How much has to move? A step trains on 8 pictures of 3x128x128 (float32) with their masks (int64).
# The weights are there already. How many bytes go to the GPU?

# %%
moved = 2621440  # SOLUTION
lessons.check("14/moved", moved)

# %% [markdown]
# ## Who waits?
#
# Calling an operation on the GPU does not compute anything. It puts a kernel into a queue and
# returns at once; the card works the queue off by itself. The program runs ahead until it needs a
# **number**: `float(loss)`, `if loss < best`, `print(x)`, a copy to NumPy. Then it stops until
# everything queued has been done, and the card, in turn, has nothing queued when it goes on. One
# such line in a step can cost more than the step.
#
# That is why the training loop reads its losses now and then, many at once, and why a kernel's
# time is measured with a `backend.synchronize` before the clock is read.
#
# And each launch has a price, some microseconds, whatever the kernel does. Guess: a toy network
# makes 400 operations a step, each of 5 microseconds to launch. How many steps a second can there
# be at most?

# %%
my_guess = 500  # SOLUTION
lessons.predict("14/steps", my_guess)

# %%
lessons.reveal("14/steps")

# %% [markdown]
# And which part of a relu takes longest, on 8x16x128x128 numbers, with 60 teraflop (million million
# multiplications or additions) a second and 2 terabyte a second: "arithmetic", "memory" or
# "launch"?

# %%
my_guess = "memory"  # SOLUTION
lessons.predict("14/relu", my_guess)

# %%
lessons.reveal("14/relu")

# %% [markdown]
# So an operation takes as long as the slowest of three: its arithmetic, its memory, its launch. And
# operations follow one another.


# %%
def step_time(flops, moved, rate, bandwidth, launch):
    """Seconds of a step; `flops` and `moved` (bytes) have one number for each operation."""
    # BEGIN SOLUTION
    return sum(max(f / rate, m / bandwidth, launch) for f, m in zip(flops, moved, strict=True))
    # END SOLUTION


lessons.check("14/step-time", step_time)

# %% [markdown]
# ## What it buys, at which size
#
# Here is this machine at work on U-Nets of three sizes, beside what the model says of a card with
# 60 teraflop and 2 terabyte a second. The model's steps have 250 operations, of which 60 are
# convolutions that share the arithmetic; the others read and write one map of the first level.


# %%
def measured(model, batch, size):
    """Milliseconds of the quickest of four steps, waiting for the device each time."""
    optimizer, rng = optim.Adam(model.parameters()), np.random.default_rng(1)
    x = rng.standard_normal((batch, 3, size, size)).astype(np.float32)
    x = ms.tensor(x, device=device)
    y = ms.tensor(rng.integers(0, 4, (batch, size, size)), device=device)
    times = []
    for _ in range(4):
        backend.synchronize(device)
        start = time.perf_counter()
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        backend.synchronize(device)
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def modelled(model, batch, size, base):
    """Milliseconds by the model, and what bounds it."""
    flops = np.repeat([2 * 3 * batch * models.multiply_adds(model, size) / 60, 0], [60, 190])
    traffic = np.repeat([0, 8 * batch * base * size**2], [60, 190])
    times = np.maximum(flops / 60e12, traffic / 2e12)
    seconds = np.maximum(times, 5e-6).sum()
    return 1e3 * seconds, "launches" if seconds < 1.5 * 250 * 5e-6 else "arithmetic and memory"


print(f"base  pictures      on {device}, ms  model, ms  bound by")
for base, batch, size in [(4, 4, 32), (8, 8, 64), (16, 4, 128), (64, 8, 256)]:
    model = models.UNet(3, 4, base=base, depth=3).to(device)
    # The last one is too much for a lesson on a processor.
    small = base < 64 or device == "cuda"
    took = f"{measured(model, batch, size):8.1f}" if small else "       -"
    expected, bound = modelled(model, batch, size, base)
    print(f"{base:4}  {batch}x3x{size}x{size:<6} {took} {expected:13.2f}  {bound}")

# %% [markdown]
# At toy size the card does not compute, it launches. The way past that is to **capture** the step:
# run it once while the queue is recorded, then launch the recording, hundreds of kernels, as one
# *graph*. Inside, nothing may be allocated and no number read. At real size arithmetic and memory
# count, and there 60 teraflop stand against the 0.2 that two cores reached in a large matrix
# product (the documentation's page on benchmarks). Its page *On a GPU* says how to measure yours.
#
# ## Break it
#
# Say what will happen before you run each cell. A batch that was left behind:

# %%
try:
    here = models.UNet(1, 2, base=2, depth=1).to("cuda" if device == "cuda" else "cpu")
    here.to("cuda")(ms.tensor(np.zeros((1, 1, 4, 6), dtype=np.float32)))
except ValueError as error:
    print(error)

# %% [markdown]
# Adding up in another order. On a GPU, threads that add into one cell arrive in any order:

# %%
rng = np.random.default_rng(2)
numbers = rng.standard_normal(10_000).astype(np.float32)
sums = {float(rng.permutation(numbers).reshape(100, 100).sum(0).sum()) for _ in range(20)}
len(sums), max(sums) - min(sums)

# %% [markdown]
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `decides`: who decides where an operation is computed? "the data", "a global switch" or "the
#   operation"
# - `waits`: which line makes the program wait? "loss.backward()", "y = x + 1", "x.shape" or
#   "float(loss)"
# - `mixing`: an image on the CPU meets weights on the GPU: "a silent copy", "an error that names
#   both" or "the CPU computes"
# - `graph`: what does a captured graph save? "arithmetic", "launches", "memory traffic" or
#   "weights"
# - `order`: many threads add into one cell with atomics: what is lost? "some additions", "the same
#   bits each time", "the device" or "precision"

# %%
lessons.check_all(
    {
        "14/decides": "the data",  # SOLUTION
        "14/waits": "float(loss)",  # SOLUTION
        "14/mixing": "an error that names both",  # SOLUTION
        "14/graph": "launches",  # SOLUTION
        "14/order": "the same bits each time",  # SOLUTION
    }
)

# %%
lessons.report(14)
