# %% [markdown]
# # 13. Real images
#
# **You will be able to** turn what a mask file holds into class numbers; move a picture and its
# mask together; leave pixels without a class out of loss and score; weigh rare classes; see
# overfitting and do something about it.
#
# **Before this:** lesson 7, losses, lesson 8, metrics, and lesson 10, U-Net. **Time:** about 60
# minutes.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import data, lessons, metrics, models, optim

# %% [markdown]
# ## Recall
#
# Your guesses of two lessons ago, and how they turned out:

# %%
lessons.look_back(11)

# %% [markdown]
# And from the last lesson: pyramid pooling with bins 1, 2, 3 and 6. Into how many cells is a map
# averaged in all?

# %%
recalled = 50  # SOLUTION
lessons.check("13/recall", recalled)

# %% [markdown]
# ## What a mask file holds
#
# So far masks held 0, 1, 2. Files hold what someone's program wrote: 0 and 255, grey levels,
# indices into a palette. Guess: a mask holds 0 and 255, and nobody converted it. A network is sure
# of the foreground, and right. Is its binary cross-entropy there "positive" or "negative"?

# %%
my_guess = "negative"  # SOLUTION
lessons.predict("13/sign", my_guess)

# %%
lessons.reveal("13/sign")

# %% [markdown]
# The same mask in a one-line IoU gives values above 1. So the first step is always a table from
# stored values to class numbers.


# %%
def classes(mask, values):
    """Class numbers 0, 1, ... in the order of `values`."""
    # BEGIN SOLUTION
    out = np.zeros(mask.shape, int)
    for number, value in enumerate(values):
        out[mask == value] = number
    return out
    # END SOLUTION


lessons.check("13/classes", classes)

# %% [markdown]
# `data.Folder` does this for the usual layouts, once for all masks of a folder, and says what it
# found:

# %%
with tempfile.TemporaryDirectory() as folder:
    for name in ("images", "masks"):
        Path(folder, name).mkdir()
    for i, (image, mask) in enumerate(data.Shapes(3, (24, 32), num_classes=2, seed=3)):
        pixels = (255 * image.transpose(1, 2, 0)).astype(np.uint8)
        Image.fromarray(pixels).save(Path(folder, "images", f"{i}.png"))
        Image.fromarray((255 * mask).astype(np.uint8)).save(Path(folder, "masks", f"{i}.png"))
    found = data.Folder(folder)
    print(found.layout, "stored:", found.values, "classes:", np.unique(found[0][1]))

# %% [markdown]
# ## Labels do not blend
#
# Pictures are resized, cropped, mirrored. A mask must go along, and it is not a picture: its
# numbers are names. Guess: 0 is road, 1 is person, 2 is car. The mask is enlarged bilinearly and
# rounded. Which class appears between a car and the road?

# %%
my_guess = 1  # SOLUTION
lessons.predict("13/between", my_guess)

# %%
lessons.reveal("13/between")

# %% [markdown]
# So a mask is resized by nearest neighbour. On paper: halve this one, 4x6 to 2x3. The centre of a
# new cell lies in the middle of four old ones, equally near to all; of these the last is taken, at
# the bottom right.
#
# ```
# 0 0 2 2 0 0
# 0 2 2 2 2 0
# 1 1 2 2 0 3
# 1 1 1 0 3 3
# ```

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    [2, 2, 0],
    [1, 0, 3],
    # END SOLUTION
]
lessons.check("13/by-hand", table)

# %% [markdown]
# Mirror a picture (C, H, W) and its mask (H, W):


# %%
def mirror(image, mask):
    """Both, with left and right exchanged."""
    # BEGIN SOLUTION
    return image[:, :, ::-1], mask[:, ::-1]
    # END SOLUTION


lessons.check("13/mirror", mirror)

# %% [markdown]
# ## Nobody said what is there
#
# Outlines between things, and things without a name, are labelled *void*, often 255. Void is no
# class: it has no part in the loss, in the scores, or in any mean. Write the cross-entropy of
# logits (N, C, H, W) and a target (N, H, W), in NumPy.


# %%
def loss(logits, target, void):
    """The mean over the pixels that have a class."""
    # BEGIN SOLUTION
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    n, rows, columns = np.nonzero(target != void)
    return -log_p[n, target[n, rows, columns], rows, columns].mean()
    # END SOLUTION


lessons.check("13/loss", loss)

# %% [markdown]
# ## Rare classes
#
# In CamVid's street scenes poles cover about one pixel in a hundred, and who never says "pole" is
# right nearly always. *Median frequency balancing* gives each class a weight: the frequency of a
# class is its share of the pixels (void left out) of those pictures in which it occurs, and its
# weight is the median of all frequencies divided by its own.


# %%
def weights(masks, num_classes, void):
    """One weight for each class."""
    # BEGIN SOLUTION
    frequencies = []
    for c in range(num_classes):
        with_it = [mask for mask in masks if (mask == c).any()]
        pixels = sum((mask == c).sum() for mask in with_it)
        frequencies.append(pixels / sum((mask != void).sum() for mask in with_it))
    return np.median(frequencies) / np.array(frequencies)
    # END SOLUTION


lessons.check("13/weights", weights)

# %% [markdown]
# Here is a street with all of this in it: sky, road, cars, a few thin poles, void outlines, and
# noise. (`FOLDER = "path/to/camvid"` takes photographs instead: then the cells take longer.)

# %%
VOID, NAMES = 255, ("sky", "road", "car", "pole")


def street(rng, rows=40, columns=48):
    """A picture (3, rows, columns) and its mask."""
    mask = np.zeros((rows, columns), int)
    horizon = int(rng.integers(rows // 3, rows // 2))
    mask[horizon:] = 1
    for _ in range(rng.integers(1, 4)):
        top, left = rng.integers(horizon - 4, rows - 8), rng.integers(0, columns - 12)
        height, width = rng.integers(6, 11), rng.integers(9, 17)
        mask[top - 1 : top + height + 1, max(left - 1, 0) : left + width + 1] = VOID
        mask[top : top + height, left : left + width] = 2
    for left in rng.integers(2, columns - 3, rng.integers(0, 3)):
        mask[horizon - 10 : horizon + 8, left] = 3
    shades = np.array([0.75, 0.4, rng.uniform(0.1, 0.9), 0.5])[np.where(mask == VOID, 1, mask)]
    tint = rng.uniform(-0.1, 0.1, (3, 1, 1))
    image = shades + tint + rng.normal(0, 0.12, (3, rows, columns))
    return image.astype(np.float32), mask


FOLDER = None
rng = np.random.default_rng(13)
if FOLDER is None:
    pairs = [street(rng) for _ in range(110)]
else:
    camvid = data.Folder(FOLDER, "train", size=48)
    VOID, NAMES = camvid.ignore_index, camvid.class_names
    pairs = [camvid[i] for i in range(len(camvid))]
pairs = [(image[:, :40, :48], mask[:40, :48]) for image, mask in pairs]
seen, unseen = pairs[:-30], pairs[-30:]
masks = np.stack([mask for _, mask in seen])
shares = [(masks == c).sum() / (masks != VOID).sum() for c in range(len(NAMES))]
counts = data.ClassCounts(
    np.array([(masks == c).sum() for c in range(len(NAMES))]),
    np.array([sum((m != VOID).sum() for m in masks if (m == c).any()) for c in range(len(NAMES))]),
    int((masks == VOID).sum()),
)
balance = data.median_frequency_weights(counts)
for name, share, weight in zip(NAMES, shares, balance, strict=True):
    print(f"{name:12} {share:6.1%} of the pixels, weight {weight:.2f}")

# %% [markdown]
# A small U-Net learns it twice, without and with these weights. The function also serves the next
# section: it can train on few pictures, with or without augmentation.

# %%
images = ms.tensor(np.stack([image for image, _ in unseen]))
truth = np.stack([mask for _, mask in unseen])


def score(model):
    """The confusion matrix on unseen pictures, and the labels."""
    model.eval()
    with ms.no_grad():
        labels = model(images).numpy().argmax(1)
    model.train()
    matrix = metrics.ConfusionMatrix(len(NAMES), ignore_index=VOID)
    matrix.update(labels, truth)
    return matrix, labels


def train(pictures, steps, weight=None, augment=False, every=None):
    """A network, and its losses and unseen mean IoU along the way."""
    ms.manual_seed(3)
    draw = np.random.default_rng(4)
    model = models.UNet(3, len(NAMES), base=8, depth=2)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    weight = None if weight is None else ms.tensor(weight)
    history = []
    for step in range(steps):
        batch = [pictures[i] for i in draw.permutation(len(pictures))[:8]]
        if augment:
            batch = [varied(image, mask, draw) for image, mask in batch]
        x, y = (np.stack(part) for part in zip(*batch, strict=True))
        loss = F.cross_entropy(model(ms.tensor(x)), ms.tensor(y), weight, ignore_index=VOID)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if every and step % every == every - 1:
            history.append((step + 1, loss.item(), score(model)[0].mean_iou()))
    return model, history


def varied(image, mask, draw):
    """Mirrored half the time; moved sideways; in another light."""
    if draw.random() < 0.5:
        image, mask = image[:, :, ::-1], mask[:, ::-1]
    right = draw.integers(-9, 10)
    image = np.roll(image, right, 2) + draw.normal(0, 0.1, (3, 1, 1))
    return image.astype(np.float32), np.roll(mask, right, 1)


plain, balanced = (train(seen, 80, weight)[0] for weight in (None, balance))

# %%
results = {"without weights": score(plain), "with weights": score(balanced)}
most = np.full_like(truth, int(np.argmax(shares)))
print(f"{'':18} accuracy  mean IoU   found: " + "  ".join(NAMES))
for name, (matrix, _) in results.items():
    recall = "  ".join(f"{r:4.2f}" for r in matrix.class_accuracy())
    print(f"{name:18} {matrix.pixel_accuracy():8.3f} {matrix.mean_iou():9.3f}   found: {recall}")
matrix = metrics.ConfusionMatrix(len(NAMES), ignore_index=VOID)
matrix.update(most, truth)
name = "all " + NAMES[np.argmax(shares)]
print(f"{name:18} {matrix.pixel_accuracy():8.3f} {matrix.mean_iou():9.3f}")

# %%
which = [i for i in range(30) if (truth[i] == len(NAMES) - 1).any()][:3]
figure, axes = plt.subplots(3, 4, figsize=(9, 5), layout="constrained")
for row, i in zip(axes, which, strict=True):
    panels = {"image": images.numpy()[i].transpose(1, 2, 0).clip(0, 1), "truth": truth[i]}
    panels |= {name: labels[i] for name, (_, labels) in results.items()}
    for ax, (title, picture) in zip(row, panels.items(), strict=True):
        if title != "image":
            picture = np.ma.masked_equal(picture, VOID)
            ax.set_facecolor("0.6")
        limits = {} if title == "image" else {"vmin": 0, "vmax": len(NAMES), "cmap": "magma"}
        ax.imshow(picture, interpolation="nearest", **limits)
        ax.set(xticks=[], yticks=[])
        if i == which[0]:
            ax.set_title(title, fontsize=10)
plt.show()

# %% [markdown]
# Grey is void. With weights more poles are found, and more is called a pole that is none: the
# accuracy pays for it. Which of the two you want depends on what a missed pole costs.
#
# ## Learning by heart
#
# Now only six pictures to learn from, with and without augmentation: mirrored half the time, moved
# sideways, in another light. Watch both curves.

# %%
curves = {
    name: train(seen[:6], 100, balance, augment, every=10)[1]
    for name, augment in {"as they are": False, "augmented": True}.items()
}
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained")
for name, history in curves.items():
    steps, losses, ious = zip(*history, strict=True)
    axes[0].plot(steps, losses, label=name)
    axes[1].plot(steps, ious, label=name)
axes[0].set(title="loss on the six", xlabel="step", yscale="log")
axes[1].set(title="mean IoU on 30 others", xlabel="step")
axes[1].legend()
plt.show()

# %% [markdown]
# On six pictures that never change the loss falls towards nothing: the network knows them by heart,
# noise and all, and learns no more about others. This is **overfitting**, and only pictures that
# were held out, for **validation**, show it. Varied pictures stay harder, and keep teaching.
#
# ## Break it
#
# Say what will happen before you run each cell. Void is not declared:

# %%
try:
    F.cross_entropy(plain(images), ms.tensor(truth))
except (ValueError, IndexError) as error:
    print(error)

# %% [markdown]
# A mask that was resized with its image:

# %%
small = F.interpolate(ms.tensor(truth[:1, None].astype(np.float32)), size=(17, 25), mode="bilinear")
print("labels before:", np.unique(truth[:1]))
print("and after:", np.unique(small.numpy().round().astype(int)))

# %% [markdown]
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `interpolate`: how is a mask resized? "bilinear", "as its image", "nearest neighbour" or "not at
#   all"
# - `void`: what happens to void pixels? "they are background", "a class of their own", "only the
#   loss leaves them out" or "neither loss nor score counts them"
# - `rare`: what does a class weight do for poles? "makes poles easier to see", "raises every
#   score", "trades accuracy for recall of poles" or "adds pictures of poles"
# - `overfit`: the training loss falls, the validation loss rises: "underfitting: a larger network",
#   "overfitting: more varied pictures", "overfitting: more epochs" or "a learning rate too low"
# - `order`: which may be done to an image without its mask? "mirroring", "cropping", "turning" or
#   "brightness"

# %%
lessons.check_all(
    {
        "13/interpolate": "nearest neighbour",  # SOLUTION
        "13/void": "neither loss nor score counts them",  # SOLUTION
        "13/rare": "trades accuracy for recall of poles",  # SOLUTION
        "13/overfit": "overfitting: more varied pictures",  # SOLUTION
        "13/order": "brightness",  # SOLUTION
    }
)

# %%
lessons.report(13)
