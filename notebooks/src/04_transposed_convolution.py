# %% [markdown]
# # 4. Transposed convolution
#
# **You will be able to** work out a transposed convolution on paper, in two ways; write it as a loop
# and as three steps; say how large its output is, and choose that size; explain why it is a
# transpose and not an inverse.
#
# **Before this:** lesson 3, convolution by hand. **Time:** about 60 minutes. Pencil and squared paper
# help.

# %%
import numpy as np

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import explain, lessons

# %% [markdown]
# ## Recall
#
# Two lessons ago you made some predictions. Here is how they turned out.

# %%
lessons.look_back(2)

# %% [markdown]
# And from the last lesson: a convolution looks at windows. Kernel 3, stride 2 and padding 1 on a map
# of 7 rows and 10 columns: how many rows and columns come out?

# %%
recalled = ...  # SOLUTION: (rows, columns)
lessons.check("04/recall", recalled)

# %% [markdown]
# ## Stamps
#
# A convolution *gathers*: many cells in, one number out. A network that labels every pixel must
# also get back to the size it came from, so it needs the opposite: one cell in, many out.
#
# Think of a rubber stamp. For every cell of the input, take the whole kernel, multiply it by the
# cell's value, and stamp it on the output. Move one stride further for the next cell. Where stamps
# overlap, they add up.

# %%
walk = explain.conv_transpose2d([[0, 2], [3, 1]], [[0, 1], [2, 3]])
walk.views["scatter"].plot()

# %% [markdown]
# Your turn, on paper: the input `[[1, 2], [3, 4]]`, the kernel `[[1, 0], [1, 1]]`, stride 1. Draw the
# four stamps, then add them up.

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
