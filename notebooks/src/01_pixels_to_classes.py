# %% [markdown]
# # 1. Pixels to classes
#
# **You will be able to** tell semantic, instance and panoptic masks apart; make a mask out of
# feature maps and maps out of a mask; say what goes into a loss; decide when one output map is
# enough. **Before this:** some Python and NumPy. **Time:** about 45 minutes.
#
# How a lesson works: where you see `...`, write your answer and run the cell. `lessons.check` says
# what is right, and names what went wrong. Stuck? `lessons.hint("01/softmax")`, as often as you
# like; `lessons.solution("01/softmax")` when nothing else helps. Now and then you guess before you
# look: `lessons.predict` writes the guess down, and two lessons later it comes back to you.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import explain, lessons

# %% [markdown]
# ## A word for every pixel
#
# A classifier looks at an image and says one word. **Segmentation** says a word for every pixel.
# Both can be done by a **network**: a long calculation on the image's numbers, with many numbers of
# its own, the **weights**, which **training** on examples finds.
#
# The array of the words, as numbers, is the **mask**. One that a person drew, or that we know to be
# right, is the **ground truth**. Lay colours of the mask over the image and you have an
# **overlay**: the quickest way to see whether both belong together.

# %%
shapes = ms.data.Shapes(8, size=(48, 64), num_classes=4, seed=13)
image, truth = shapes[7]
pictures = {
    "image": image.transpose(1, 2, 0),
    "mask": ms.plot.palette(4)[truth],  # indexing colours with a mask paints the mask
    "overlay": ms.plot.overlay(image, truth, alpha=0.4),
}
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture)
    ax.set_title(title)
    ax.axis("off")
plt.show()
print("image", image.shape, "mask", truth.shape, "classes", dict(enumerate(shapes.class_names)))

# %% [markdown]
# Doctors outline tumours this way, cars find the road, satellites count fields, and your video
# call hides your kitchen. COCO, a much used collection of photographs, has about 330,000 images,
# over 200,000 of them labelled, with 80 classes of objects: so its website says. (One text says
# 20,000. That is not even a tenth.)
#
# To warm up: how many pixels must be named in an image of shape (3, 48, 64)?

# %%
pixels = 3072  # SOLUTION
lessons.check("01/recall", pixels)

# %% [markdown]
# ## Three kinds of mask
#
# Two cats on the grass. Sky and grass are **stuff**: nobody counts them. Cats are **things**.
#
# - **Semantic**: the class of every pixel. Cats that touch melt into one patch.
# - **Instance**: each thing by itself. Stuff gets nothing.
# - **Panoptic**: both. (From Greek, *seeing everything*. One text writes "panoramic".)

# %%
drawing = """
ssssssssssssssssss
ss1sss1sssssssssss
ss11111sss2ss2ssss
ss11111sss2222ssss
ss11111sss2222ssss
sss111sssss22sssss
gg111111gg2222gggg
gg11111112222222gg
gg111111122222222g
gg111g11122g22g22g
gggggggggggggggggg
"""
marks = np.array([list(line) for line in drawing.split()])
semantic = np.select([marks == "s", marks == "g"], [0, 1], default=2)
instance = np.select([marks == "1", marks == "2"], [1, 2])

colours = ms.plot.palette(9)[[2, 3, 1, 7, 8]] / 255  # sky, grass, cat, another cat, nothing
colours[4] = 1
kinds = {
    "semantic": colours[semantic],
    "instance": colours[np.select([instance == 1, instance == 2], [2, 3], default=4)],
    "panoptic": colours[np.where(instance == 2, 3, semantic)],
}
figure, axes = plt.subplots(1, 3, figsize=(9, 2.3), layout="constrained")
for ax, (title, picture) in zip(axes, kinds.items(), strict=True):
    ax.imshow(picture)
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
plt.show()
print("patches of cat in the semantic mask:", ndimage.label(semantic == 2)[1])
print("cats in the instance mask:", instance.max())

# %% [markdown]
# A common way to write both into one array: 1000 times the class, plus the number of the instance
# where the class is one of the things. The second cat is then 2002, all the sky is 0. Write that.
# (`instances` numbers every patch, stuff too; `things` is a list of classes.)


# %%
def panoptic(classes, instances, things):
    """The number of every pixel's segment."""
    # BEGIN SOLUTION
    return 1000 * classes + np.where(np.isin(classes, things), instances, 0)
    # END SOLUTION


lessons.check("01/panoptic", panoptic)

# %% [markdown]
# ## The classification end
#
# From here on it is semantic segmentation. How does a network name a pixel? A **map** is an array
# with a number for every place, and a network ends with **one feature map for each class**. For N
# images that go through together, a **batch**, they are an array (N, classes, H, W). Each map says,
# at each pixel, how much speaks for its class. These numbers are called **logits**; they may be
# anything, negative too.
#
# At pixel (0, 0) the cat's map says 2 and the background's says 30. Guess before you look: how
# probable is the cat? "1 in 15", "1 in 28" or "below 1 in a billion"?

# %%
my_guess = "below 1 in a billion"  # SOLUTION
lessons.predict("01/cat", my_guess)

# %%
lessons.reveal("01/cat")

# %% [markdown]
# **Softmax** raises e to every logit and divides by the sum. Then all are positive and sum to 1:

# %%
explain.softmax([2, 30], names=["cat", "background"]).plot(0, 0)

# %% [markdown]
# The class with the largest probability wins. Softmax keeps the order, so the largest logit tells
# as much: **argmax**. Name the nine pixels of these maps by hand.

# %%
maps = np.array(
    [
        [[7, 4, 9], [5, 1, 3], [-2, 0, 1]],
        [[1, 0, 2], [4, 2, 6], [8, 3, 5]],
        [[2, 6, -1], [0, 5, 4], [1, 9, 7]],
    ]
)
for number, name in enumerate(["sky", "grass", "cat"]):
    print(f"class {number}, {name}", maps[number], sep="\n")

# %%
table = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    #: [..., ..., ...],
    [0, 2, 0],
    [0, 2, 1],
    [1, 2, 2],
    # END SOLUTION
]
lessons.check("01/by-hand", table)

# %% [markdown]
# The definition as a loop, beside the engine's form. Where two classes are equal, both keep the
# first. The logits are made up: the truth, blurred, with noise. (`ms.tensor` makes an array of the
# engine, a **tensor**; what it can do beyond NumPy is lesson 2. `dim` is its word for axis.)

# %%
rng = np.random.default_rng(1)
blurred = F.avg_pool2d(ms.tensor(ms.data.one_hot(truth, 4)[None]), 5, stride=1, padding=2)
logits = 6 * blurred + 0.9 * rng.standard_normal(blurred.shape).astype(np.float32)

prediction = np.zeros(truth.shape, int)
for r in range(48):
    for c in range(64):
        for k in range(1, 4):
            if logits.data[0, k, r, c] > logits.data[0, prediction[r, c], r, c]:
                prediction[r, c] = k

print("the engine agrees:", np.array_equal(prediction, logits.argmax(dim=1).numpy()[0]))
figure, axes = plt.subplots(1, 4, figsize=(9, 2.2), layout="constrained")
for k, ax in enumerate(axes):
    heat = ax.imshow(logits.numpy()[0, k], cmap="viridis", vmin=-3, vmax=8)
    ax.set_title(shapes.class_names[k])
    ax.axis("off")
figure.colorbar(heat, ax=axes, shrink=0.8, label="logit")
plt.show()

# %%
ms.plot.predictions([image], [truth], [prediction], class_names=shapes.class_names)

# %% [markdown]
# How sure is it? For that you need the probabilities. One trap: e to the power of 800 is more than
# a computer can hold.


# %%
def softmax(logits):
    """Probabilities (classes, rows, columns) from logits of that shape."""
    # BEGIN SOLUTION
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)
    # END SOLUTION


lessons.check("01/softmax", softmax)

# %% [markdown]
# ## What the loss wants
#
# To train a network you need one number that says how wrong it is: the **loss**, or cost. The usual
# one is **cross-entropy**: minus the logarithm of the probability that the true class gets, the
# mean over all pixels (lesson 7). For that it has to be told the truth.
#
# One form is the other way round: from a mask to one map a class, a 1 where the class is. That is
# **one-hot**.


# %%
def one_hot(mask, classes):
    """Maps (classes, rows, columns) of 0 and 1."""
    # BEGIN SOLUTION
    return np.stack([mask == k for k in range(classes)]).astype(int)
    # END SOLUTION


lessons.check("01/one-hot", one_hot)

# %% [markdown]
# Many ask: does the loss want logits per class, or an index mask? Both. **Logits** (N, classes, H,
# W) for the prediction, an **index mask** (N, H, W) of integers for the truth. One-hot maps of
# floats cost the same, and take more room:

# %%
index_mask = ms.tensor(truth[None])
hot_maps = ms.tensor(ms.data.one_hot(truth, 4)[None])
for target in (index_mask, hot_maps):
    cost = F.cross_entropy(logits, target).item()
    print(f"{target.shape}: {target.size} numbers, cost {cost:.4f}")

# %% [markdown]
# ## One map instead of two
#
# Cat or background: we gave each a map. Can a network with a **single output map** solve the cat
# problem? "yes" or "no"?

# %%
my_guess = "yes"  # SOLUTION
lessons.predict("01/single-map", my_guess)

# %%
lessons.reveal("01/single-map")

# %% [markdown]
# One map needs a function that takes one number: the **sigmoid**, 1 / (1 + exp(-z)). Which z has
# the probability that softmax gives the cat?


# %%
def single_map(logits):
    """From the cat's map and the background's, (2, rows, columns): the one map of logits."""
    # BEGIN SOLUTION
    return logits[0] - logits[1]
    # END SOLUTION


lessons.check("01/one-map", single_map)

# %% [markdown]
# Train it with the same cost for one map, `F.binary_cross_entropy_with_logits`. (Several classes
# that shut each other out want softmax; labels that may overlap want a sigmoid each.) And the
# decision?


# %%
def cat_mask(logits):
    """From one map of logits, (1, rows, columns): 1 where it is a cat, 0 elsewhere."""
    # BEGIN SOLUTION
    return (logits[0] > 0).astype(int)
    # END SOLUTION


lessons.check("01/cat-mask", cat_mask)

# %% [markdown]
# ## Break it
#
# Say what will happen before you run each cell. Softmax and argmax over a single map:

# %%
one = ms.tensor([[[[-28.0, 0.5, 4.0], [9.0, -1.0, 2.0]]]])
print(F.softmax(one, dim=1).numpy()[0, 0], one.argmax(dim=1).numpy()[0], sep="\n")

# %% [markdown]
# A softmax before the loss, which does one itself. This pixel is a perfect answer, cost 0. And now?

# %%
sure, background = ms.tensor([[2.0, 30.0]]), ms.tensor([1])
for name, given in {"logits": sure, "probabilities": F.softmax(sure, dim=1)}.items():
    print(f"{name}: {F.cross_entropy(given, background).item():.4f}")

# %% [markdown]
# A mask file of 0 and 255, as many programs save them. In a plain formula y = 255 gives a negative
# cost, and an IoU (overlap by union, 1 at best) above 1. The engine refuses.

# %%
white = np.where(truth > 0, 255, 0)
y, p = 255, 0.9
print(f"cost: {-(y * np.log(p) + (1 - y) * np.log(1 - p)):.1f}")
shape = (prediction > 0).astype(int)
print(f"IoU: {(shape * white).sum() / (shape + white - shape * white).sum():.1f}")
try:
    F.cross_entropy(logits, ms.tensor(white[None]))
except ValueError as error:
    print(error)
print("mended:", np.unique(white), "->", np.unique((white > 127).astype(int)))

# %% [markdown]
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `car-park`: touching cars are to be counted: what do you need at least? "classification",
#   "semantic", "instance" or "panoptic"
# - `panoptic-means`: what does panoptic segmentation give a pixel? "a wide view", "class alone",
#   "instance alone" or "class and instance"
# - `input-and-target`: what goes into `F.cross_entropy`? "probabilities and index mask", "logits
#   and index mask", "two index masks" or "one-hot maps and logits"
# - `one-map-end`: what turns a single map into probabilities? "softmax", "sigmoid", "argmax" or
#   "nothing"
# - `all-background`: one output map, and `logits.argmax(dim=1)`: why is everything background?
#   "too few epochs", "rare class", "one candidate" or "wrong dimension"
# - `white`: why a negative cost with a mask of 0 and 255? "255 is no class", "small logits",
#   "rounding" or "learning rate"
# - `decide`: is a softmax needed before the argmax? "yes", "no" or "only in training"
# - `coco`: how many labelled images has COCO? "20,000", "200,000", "330,000" or "80"

# %%
lessons.check_all(
    {
        "01/car-park": "instance",  # SOLUTION
        "01/panoptic-means": "class and instance",  # SOLUTION
        "01/input-and-target": "logits and index mask",  # SOLUTION
        "01/one-map-end": "sigmoid",  # SOLUTION
        "01/all-background": "one candidate",  # SOLUTION
        "01/white": "255 is no class",  # SOLUTION
        "01/decide": "no",  # SOLUTION
        "01/coco": "200,000",  # SOLUTION
    }
)

# %%
lessons.report(1)
