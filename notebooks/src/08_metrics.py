# %% [markdown]
# # 8. Metrics
#
# **You will be able to** fill a confusion matrix and read every score from it; say which score
# flatters, and when; decide what to do with empty masks, absent classes, void pixels and masks
# of 0 and 255; choose between overlap and distance.
#
# **Before this:** lesson 7, losses. **Time:** about 60 minutes. Have a pencil ready.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minisegnet as ms
from minisegnet import explain, lessons, losses, metrics

# %% [markdown]
# ## Recall
#
# Two lessons ago you made predictions. This is how they turned out.

# %%
lessons.look_back(6)

# %% [markdown]
# And from the last lesson: 3 hits, 2 false alarms, 2 misses. What is Dice's coefficient?

# %%
recalled = 6 / 10  # SOLUTION
lessons.check("08/recall", recalled)

# %% [markdown]
# ## One table has it all
#
# A loss is for training, and needs a slope. A **metric** is for people, and looks at decided
# masks. Nearly all of them come from one table: for each true class (row), what were its pixels
# taken for (column)? That is the **confusion matrix**.

# %%
explain.confusion_matrix([[0, 1, 1, 0], [2, 1, 0, 0]], [[0, 1, 2, 0], [2, 0, 0, 1]]).plot()

# %% [markdown]
# Your turn. The prediction is `[[0, 1, 1], [0, 2, 1], [0, 2, 0]]`, the truth
# `[[0, 0, 1], [0, 0, 1], [2, 2, 0]]`.

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    #: [..., ..., ...],
    [3, 1, 1],
    [0, 2, 0],
    [1, 0, 1],
    # END SOLUTION
]
lessons.check("08/by-hand", table)

# %% [markdown]
# Some pixels nobody could name when the truth was drawn: edges, glare, a bonnet. They carry the
# **void label**, often 255, and count for nothing, whatever is predicted there.


# %%
def confusion(prediction, truth, classes, void):
    """The table of counts, rows for the truth, without void pixels."""
    counts = np.zeros((classes, classes), int)
    # BEGIN SOLUTION
    for t, p in zip(truth.ravel(), prediction.ravel(), strict=True):
        if t != void:
            counts[t, p] += 1
    # END SOLUTION
    return counts


lessons.check("08/matrix", confusion)

# %% [markdown]
# ## Guess first
#
# The simplest score is **pixel accuracy**, the diagonal's share of all counts. 78 % of the pixels
# of some images are background, printed white. A network says white everywhere, and its accuracy
# is 0.78. What is its **mean IoU**, the mean of TP / (TP + FP + FN) over both classes?

# %%
my_guess = 0.39  # SOLUTION
lessons.predict("08/all-white", my_guess)

# %%
lessons.reveal("08/all-white")

# %% [markdown]
# Pixel accuracy flatters. Compare the white network with one that finds the object, a little too
# large:

# %%
truth = np.zeros((20, 30), int)
truth[4:15, 7:19] = 1
generous = np.zeros_like(truth)
generous[2:17, 5:21] = 1
for name, prediction in {"white": np.zeros_like(truth), "generous": generous}.items():
    matrix = metrics.ConfusionMatrix(2, class_names=["white", "object"])
    matrix.update(prediction, truth)
    print(f"{name}\n{matrix}\n")

# %% [markdown]
# In accuracy they are close. In everything else they are worlds apart. So why *does* a network
# predict white everywhere? Lesson 7 told you: the share of the foreground is the cheapest thing
# to say before anything else is learnt, and it is below 1/2. Look at mean IoU, and at pictures.
#
# ## Nothing there, nothing found
#
# Many write the IoU of two boolean masks in one line, `(a & b).sum() / (a | b).sum()`. What comes
# out if both are empty: "0", "1", "nan" or "an error"?

# %%
my_guess = "nan"  # SOLUTION
lessons.predict("08/both-empty", my_guess)

# %%
lessons.reveal("08/both-empty")

# %% [markdown]
# So is Dice of two empty masks 0 or 1? Neither: it is undefined, and a mean leaves it out. (You
# may decide that finding nothing where nothing is deserves a 1. Then say so. A thousand images
# without an object make a fine mean.) With *one* mask empty, it is an honest 0.
#
# **IoU** of each class, from the table: row c holds TP + FN, column c holds TP + FP. A class in
# neither mask is 0/0: answer nan.


# %%
def iou(counts):
    """Intersection over union of each class, nan where it is absent."""
    scores = []
    for c in range(len(counts)):
        hits = counts[c, c]
        # BEGIN SOLUTION
        union = counts[c].sum() + counts[:, c].sum() - hits
        scores.append(hits / union if union else float("nan"))
        # END SOLUTION
    return scores


lessons.check("08/iou", iou)

# %% [markdown]
# The share of a class that was found, TP / (TP + FN), is its **recall** or class accuracy. The mean
# over classes is the **class average** that tables for CamVid, a collection of street scenes, print
# beside accuracy and mean IoU.
# Whatever is 0/0 stays out of a mean: `np.nanmean`.


# %%
def averages(counts):
    """Pixel accuracy, class average and mean IoU."""
    hits, true, claimed = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    # BEGIN SOLUTION
    with np.errstate(invalid="ignore"):  # 0/0 is meant to be nan
        recall = hits / true
        overlap = hits / (true + claimed - hits)
    return hits.sum() / counts.sum(), np.nanmean(recall), np.nanmean(overlap)
    # END SOLUTION


lessons.check("08/averages", averages)

# %% [markdown]
# One text takes (TP + TN) / all for a class's accuracy. Here is a street in which signs and
# poles are rare and none of them is found:

# %%
names = ["road", "sky", "pole", "sign"]
counts = np.array([[500, 10, 0, 0], [5, 460, 0, 0], [12, 3, 0, 0], [4, 6, 0, 0]])
hits, true, claimed = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
with_negatives = (hits + counts.sum() - (true + claimed - hits)) / counts.sum()
scores = np.stack([with_negatives, hits / true], axis=1)
for name, (flattering, recall) in zip(
    [*names, "mean"], [*scores, scores.mean(axis=0)], strict=True
):
    print(f"{name}: (TP + TN) / all {flattering:.3f}, recall {recall:.3f}")

# %% [markdown]
# ## Masks from files
#
# Mask files often hold 0 and 255. Write the overlap so that it takes them as well as 0 and 1.


# %%
def overlap(prediction, truth):
    """IoU and Dice of two masks, (nan, nan) if both are empty."""
    # BEGIN SOLUTION
    found, true = prediction > 0, truth > 0
    both, union = (found & true).sum(), (found | true).sum()
    if union == 0:
        return float("nan"), float("nan")
    return both / union, 2 * both / (found.sum() + true.sum())
    # END SOLUTION


lessons.check("08/overlap", overlap)

# %% [markdown]
# Why is my loss negative, and my IoU over 1? Because the formulas are made for 0 and 1. With
# y = 255, the factor 1 - y is far below 0, and each pixel in common counts for many:

# %%
y = np.array([[0, 255, 255, 0]])
p = np.array([[0.1, 0.9, 0.8, 0.7]])
print("loss:", -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())
print("IoU: ", (y * (p > 0.5)).sum() / ((y > 0) | (p > 0.5)).sum())
try:
    losses.binary_cross_entropy(ms.tensor(np.log(p / (1 - p))[None]), y[None])
except ValueError as error:
    print(error)

# %% [markdown]
# ## How far off?
#
# Overlap counts pixels, wherever they are. The **Hausdorff distance** asks how far the worst one
# is: for each pixel of one mask find the nearest pixel of the other, take the largest of these
# distances; do it from both sides, and take the larger.


# %%
def hausdorff(a, b):
    """The Hausdorff distance of two masks that are not empty."""
    ones, others = np.argwhere(a), np.argwhere(b)
    # BEGIN SOLUTION
    gaps = np.linalg.norm(ones[:, None] - others[None], axis=2)
    return max(gaps.min(axis=1).max(), gaps.min(axis=0).max())
    # END SOLUTION


lessons.check("08/hausdorff", hausdorff)

# %% [markdown]
# Two answers to one truth (the red line). Which one is better? It depends on what you need.

# %%
stray = truth.copy()
stray[18, 28] = 1
figure, axes = plt.subplots(1, 3, figsize=(8, 2.6), layout="constrained")
for ax, (name, mask) in zip(
    axes, {"truth": truth, "one stray pixel": stray, "generous": generous}.items(), strict=True
):
    matrix = metrics.ConfusionMatrix(2)
    matrix.update(mask, truth)
    distance = metrics.hausdorff_distance(mask, truth)
    ax.imshow(mask, cmap="Greys", vmin=0, vmax=2)
    ax.contour(truth, levels=[0.5], colors="crimson", linewidths=1.5)
    ax.set_title(f"{name}\nDice {matrix.dice()[1]:.3f}, Hausdorff {distance:.1f}", fontsize=10)
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## Break it
#
# Say what will happen before you run each cell. First, forget to say what is void. Then say it:

# %%
with_void = np.array([[0, 0, 1, 255], [0, 1, 1, 255]])
seen = np.array([[0, 0, 1, 1], [0, 1, 0, 0]])
for void in (None, 255):
    matrix = metrics.ConfusionMatrix(2, ignore_index=void)
    try:
        matrix.update(seen, with_void)
        print(repr(matrix))
    except ValueError as error:
        print(error)

# %% [markdown]
# A large object is found nearly whole, in another image a tiny one is missed. Take the mean of two
# IoUs, or one matrix for both?

# %%
large, tiny = np.zeros((2, 30, 40), int)
large[5:25, 5:35], tiny[3:5, 7:9] = 1, 1
whole = metrics.ConfusionMatrix(2)
each = []
for mask, found in ((large, np.roll(large, 1, axis=1)), (tiny, np.zeros_like(tiny))):
    one = metrics.ConfusionMatrix(2)
    one.update(found, mask)
    each.append(one.iou()[1])
    whole += one
print(f"mean of {each[0]:.3f} and {each[1]:.3f}: {np.mean(each):.3f}")
print(f"one matrix: {whole.iou()[1]:.3f}")

# %% [markdown]
# A perfect prediction, in a data set with a class that this image does not have. What does the
# mean IoU say if the absent class counts as 0?

# %%
matrix = metrics.ConfusionMatrix(3)
matrix.update(truth, truth)
scores = matrix.iou()
print(scores, "mean:", matrix.mean_iou(), " with zeros:", np.nan_to_num(scores).mean().round(3))

# %% [markdown]
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `white`: all white with 78 %: why? "it has learnt 78 %", "the metric is broken", "overfitting"
#   or "78 % is the background's share"
# - `empty`: both masks empty: is Dice "0", "1" or "neither"
# - `class-average`: CamVid's class average is: "mean recall", "mean precision", "mean IoU" or
#   "mean (TP+TN)/all"
# - `absent`: an absent class in the mean: "count it as 0", "count it as 1", "leave it out" or
#   "drop the image"
# - `files`: masks of 0 and 255: "clip the loss", "mask > 127", "255 classes" or "lower learning
#   rate"
# - `mean-of-images`: mean of IoUs or IoU of all: the same? "yes", "no" or "only for IoU"
# - `stray`: one stray pixel far away: who notices most? "IoU", "Dice", "pixel accuracy" or
#   "Hausdorff distance"

# %%
lessons.check_all(
    {
        "08/white": "78 % is the background's share",  # SOLUTION
        "08/empty": "neither",  # SOLUTION
        "08/class-average": "mean recall",  # SOLUTION
        "08/absent": "leave it out",  # SOLUTION
        "08/files": "mask > 127",  # SOLUTION
        "08/mean-of-images": "no",  # SOLUTION
        "08/stray": "Hausdorff distance",  # SOLUTION
    }
)

# %%
lessons.report(8)
