# %% [markdown]
# # 7. Losses
#
# **You will be able to** work out the losses of all four families on paper, and write the most
# important ones; say why a network calls everything background, and which losses do not let it;
# tell Dice from IoU.
#
# **Before this:** lesson 6, dilated convolution. **Time:** about 75 minutes. Have a pencil ready.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minisegnet as ms
from minisegnet import explain, lessons, losses, metrics, nn, optim

# %% [markdown]
# ## Recall
#
# Two lessons ago you made predictions. This is how they turned out.

# %%
lessons.look_back(5)

# %% [markdown]
# And from the last lesson: a 3x3 kernel has dilation 3. Over how many rows does it reach?

# %%
recalled = 7  # SOLUTION
lessons.check("07/recall", recalled)

# %% [markdown]
# ## What a pixel costs
#
# A loss says in one number how wrong a prediction is, and it must have a slope: training walks
# down it. (Counting wrong pixels has none. Move a probability a little, and the count stays.)
#
# The **distribution-based** losses ask every pixel alone: what probability did you give to the
# truth? It costs minus the logarithm. With base 2 you can do it by hand: 1/2 costs 1 bit, 1/4
# costs 2, 1/8 costs 3.
#
# Here is one map of probabilities of "foreground", and the truth. Where the truth is 0, the true
# class is background, and its probability is 1 - p. How many bits does each pixel cost?

# %%
p = np.array([[1 / 2, 1 / 4, 7 / 8], [3 / 4, 1 / 8, 1 / 2], [1 / 4, 15 / 16, 1 / 8]])
truth = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]])
bits = [
    # BEGIN SOLUTION
    #: [..., ..., ...],
    #: [..., ..., ...],
    #: [..., ..., ...],
    [1, 2, 3],
    [2, 3, 1],
    [2, 4, 3],
    # END SOLUTION
]
lessons.check("07/by-hand", bits)

# %% [markdown]
# Their mean, in natural logarithms, is **binary cross-entropy**. With y = 1 for foreground:
# `-(1/N) * sum(y log p + (1-y) log(1-p))`. Mind the brackets.


# %%
def binary_cross_entropy(p, y):
    """The mean cost of a pixel, for arrays of probabilities and of 0 and 1."""
    # BEGIN SOLUTION
    costs = y * np.log(p) + (1 - y) * np.log(1 - p)
    return -costs.mean()
    # END SOLUTION


lessons.check("07/binary", binary_cross_entropy)

# %% [markdown]
# ## Guess first
#
# 1 % of an image's pixels are foreground. You know nothing else, so you give every pixel the same
# p. Which p is cheapest in binary cross-entropy: "0", "1 in 100", "1 in 2" or "1"?

# %%
my_guess = "1 in 100"  # SOLUTION
lessons.predict("07/cheapest", my_guess)

# %%
lessons.reveal("07/cheapest")

# %% [markdown]
# That is why, at first, **everything is background**. The quickest way down is a bias that says
# how rare the foreground is, and with it no pixel comes near 1/2. The background's pixels are
# many, so their pull is strong; nothing is wrong with your code.
#
# **Weighted** cross-entropy gives each class a weight. The **balanced** one takes it from the mask:
# beta, the background's share, for the foreground's pixels; 1 - beta for the others.


# %%
def balanced(p, y):
    """Cross-entropy in which both sides weigh the same; the mean over all pixels."""
    # BEGIN SOLUTION
    beta = np.mean(y == 0)
    foreground = beta * y * np.log(p)
    background = (1 - beta) * (1 - y) * np.log(1 - p)
    return -np.mean(foreground + background)
    # END SOLUTION


lessons.check("07/balanced", balanced)

# %% [markdown]
# **Focal** loss looks at something else. Let q be the probability that a pixel gave to its true
# class. Pixels that are right already are turned down by `(1 - q)**gamma`:

# %%
q = np.linspace(0.01, 0.99, 99)
figure, ax = plt.subplots(figsize=(5, 2.8), layout="constrained")
for gamma in (0, 1, 2, 5):
    z = ms.tensor(np.log(q / (1 - q))[None, None])
    costs = losses.focal(z, np.ones((1, 1, 99), int), gamma=gamma, reduction="none")
    ax.plot(q, costs.numpy()[0, 0], label=f"gamma {gamma}")
ax.set(xlabel="q, probability of the true class", ylabel="cost", ylim=(0, 3))
ax.legend()
plt.show()


# %%
def focal(p, y, gamma):
    """The mean of (1 - q)**gamma * -log q."""
    # BEGIN SOLUTION
    right = np.where(y == 1, p, 1 - p)
    return np.mean((1 - right) ** gamma * -np.log(right))
    # END SOLUTION


lessons.check("07/focal", focal)

# %% [markdown]
# ## Regions
#
# **Region-based** losses compare two areas as a whole. TP are the pixels in both, FP the false
# alarms, FN the misses. The background that was rightly left alone is nowhere in the formulas:
#
# - Dice: 1 - 2TP / (2TP + FP + FN)
# - Jaccard: 1 - TP / (TP + FP + FN), which is 1 - IoU
# - Tversky: 1 - TP / (TP + alpha FP + beta FN), a price for each kind of mistake
#
# Kin of these: **log-cosh Dice** is flatter near the goal; **sensitivity-specificity** divides the
# squared misses by the foreground's size, the squared false alarms by the background's;
# **Lovász** carries IoU itself over to probabilities: errors in descending order, each times what
# it adds to the Jaccard loss.

# %%
explain.dice(
    prediction=[[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]],
    target=[[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]],
).plot()

# %% [markdown]
# **Dice is not IoU.** With J the IoU, Dice's coefficient is D = 2J/(1+J): here J is
# 3 / (3 + 2 + 1), and D is larger. They rank two predictions alike, but the numbers differ.
#
# Your turn: found is `[[1, 1, 0], [1, 1, 1], [0, 0, 0]]`, true is
# `[[0, 1, 1], [0, 1, 0], [0, 1, 0]]`. Give the three losses, Tversky with alpha 1/3 and beta 1.

# %%
three = [
    # BEGIN SOLUTION
    #: ...,
    1 - 4 / 9,
    1 - 2 / 7,
    1 - 2 / 5,
    # END SOLUTION
]
lessons.check("07/overlaps", three)

# %% [markdown]
# Probabilities instead of 0 and 1 give such a quotient a slope: TP becomes the sum of p*y, the
# areas become sums of p and of y. `smooth` is added above and below the line. Sum over the whole
# batch.


# %%
def dice_loss(p, y, smooth):
    """The Dice loss of arrays (N, H, W), with plain denominators."""
    # BEGIN SOLUTION
    overlap = (p * y).sum()
    return 1 - (2 * overlap + smooth) / (p.sum() + y.sum() + smooth)
    # END SOLUTION


lessons.check("07/dice", dice_loss)

# %% [markdown]
# Guess again: the same image with 1 % foreground, the same p everywhere. Which is cheapest for
# the Dice loss without `smooth`: "0", "1 in 100", "1 in 2" or "1"?

# %%
my_guess = "1"  # SOLUTION
lessons.predict("07/cheapest-dice", my_guess)

# %%
lessons.reveal("07/cheapest-dice")

# %% [markdown]
# ## Boundaries
#
# **Boundary-based** losses ask how far the outline is off. Take the strip `0 0 0 1 1 1 1 0`. How
# far is each pixel from the nearest pixel of the other side?

# %%
distances = [3, 2, 1, 1, 2, 2, 1, 1]  # SOLUTION
lessons.check("07/distances", distances)

# %% [markdown]
# The **Hausdorff distance** loss weighs the squared error of each pixel by these distances,
# squared, from the true and from the predicted boundary. **Shape-aware** loss is a cross-entropy
# in which wrong pixels cost 1 + E, with E the mean distance of the predicted outline from the true
# one.
#
# **Compound** losses add a region to a distribution: **combo** is half cross-entropy, with a price
# for misses, and half Dice; **exponential-logarithmic** takes powers of the logarithms of both.
#
# Each formula on four pixels, worked out with plain numbers beside the engine's value:

# %%
y4 = np.array([0, 0, 1, 1])
p4 = np.array([0.5, 0.75, 0.75, 0.5])  # predicted: the two in the middle
z = ms.tensor(np.log(p4 / (1 - p4))[None, None])
both, claimed, true, squares = 0.75 + 0.5, 2.5, 2, 0.25 + 0.5625 + 0.5625 + 0.25
costs = -np.log([0.5, 0.25, 0.75, 0.5])  # of the true classes
dice, steps = 2 * both / (claimed + true), np.array([1 / 3, 1 / 6, 1 / 4, 1 / 4])
by_hand = {
    "dice": (1 - dice, {"smooth": 0}),
    "dice, squared": (1 - 2 * both / (squares + true), {"smooth": 0, "squared": True}),
    "jaccard": (1 - both / (claimed + true - both), {"smooth": 0}),
    "tversky": (1 - both / (both + 0.3 * 1.25 + 0.7 * 0.75), {"smooth": 0}),
    "log_cosh_dice": (np.log(np.cosh(1 - dice)), {"smooth": 0}),
    # squared misses and false alarms, each by the size of its side
    "sensitivity_specificity": (
        0.05 * (0.0625 + 0.25) / 2 + 0.95 * (0.25 + 0.5625) / 2,
        {"smooth": 0},
    ),
    # errors in descending order, times what each adds to the Jaccard loss
    "lovasz_softmax": ((np.array([0.75, 0.5, 0.5, 0.25]) * steps).sum(), {}),
    # true boundary: 2 1 1 2 pixels away; predicted: 1 1 1 1
    "hausdorff_distance": (
        (0.25 * (4 + 1) + 0.5625 * (1 + 1) + 0.0625 * (1 + 1) + 0.25 * (4 + 1)) / 4,
        {},
    ),
    # predicted 0 1 1 0, so every pixel is an outline; the true one has the middle two
    "shape_aware": (np.mean(costs * (1 + np.array([0, 1, 0, 1]) * (1 + 0 + 0 + 1) / 4)), {}),
    "combo": (0.5 * 0.5 * costs.mean() + 0.5 * (1 - dice), {"smooth": 0}),
    # both classes have the weight sqrt(4 / 2)
    "exponential_logarithmic": (
        0.8 * (-np.log(dice)) ** 0.3 + 0.2 * np.mean(np.sqrt(2) * costs**0.3),
        {"smooth": 0},
    ),
}
for name, (value, options) in by_hand.items():
    engine = getattr(losses, name.split(",")[0])(z, y4[None, None], **options).item()
    print(f"{name:24} by hand {value:.5f}   engine {engine:.5f}")

# %% [markdown]
# ## Which one survives?
#
# One image, 1 % foreground, much noise. A network of two small convolutions, 100 steps, always
# from the same start; only the loss differs.
#
# The loop in `train` is the whole of training: clear the gradients, work out the loss, go backward,
# and let an **optimiser** move the weights. Adam (Kingma and Ba, 2015) moves each against the
# running mean of its gradients, divided by their usual size: so about as far for all of them, by
# `lr`, the **learning rate**.

# %%
rows, columns = np.mgrid[:48, :64]
mask = (((rows - 17) / 2.6) ** 2 + ((columns - 44) / 3.9) ** 2 <= 1).astype(np.int64)
noise = np.random.default_rng(7).standard_normal(mask.shape)
image = ms.tensor((0.8 * mask + noise).astype(np.float32)[None, None])


def train(loss, steps=100):
    """The logits after training, always from the same start."""
    ms.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.Conv2d(6, 1, 5, padding=2))
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(net(image), mask[None]).backward()
        optimizer.step()
    return net(image).numpy()[0, 0]


contenders = {
    "binary CE": losses.binary_cross_entropy,
    "weighted CE": losses.weighted_cross_entropy,
    "balanced CE": losses.balanced_cross_entropy,
    "focal": losses.focal,
    "focal, alpha 3/4": lambda z, y: losses.focal(z, y, alpha=0.75),
    "Dice": losses.dice,
    "Dice, squared": lambda z, y: losses.dice(z, y, squared=True),
    "log-cosh Dice": losses.log_cosh_dice,
    "Jaccard": losses.jaccard,
    "Tversky": losses.tversky,
    "Lovász": losses.lovasz_softmax,
    "sens.-spec.": losses.sensitivity_specificity,
    "Hausdorff": losses.hausdorff_distance,
    "shape-aware": losses.shape_aware,
    "combo": losses.combo,
    "exp-log": losses.exponential_logarithmic,
}
trained = {name: train(loss) for name, loss in contenders.items()}
print(f"{mask.sum()} of {mask.size} pixels are foreground, {mask.mean():.1%}\n")
print(f"{'loss':17} found  false alarms  accuracy  Dice")
for name, z in trained.items():
    matrix = metrics.ConfusionMatrix(2)
    matrix.update(z > 0, mask)
    (_, alarms), (_, found) = matrix.matrix
    accuracy, overlap = matrix.pixel_accuracy(), matrix.dice()[1]
    print(f"{name:17} {found:5} {alarms:13} {accuracy:9.3f} {overlap:5.2f}")

# %% [markdown]
# The probabilities that each loss led to, from 0 (dark) to 1 (bright):

# %%
pictures = {"image": image.numpy()[0, 0], "truth": mask}
pictures |= {name: 1 / (1 + np.exp(-z)) for name, z in trained.items()}
figure, axes = plt.subplots(3, 6, figsize=(9, 4.3), layout="constrained")
for ax, (name, picture) in zip(axes.flat, pictures.items(), strict=True):
    limits = {} if name == "image" else {"vmin": 0, "vmax": 1}
    ax.imshow(picture, cmap="viridis", **limits)
    ax.set_title(name, fontsize=9)
    ax.axis("off")
plt.show()

# %% [markdown]
# Whoever averages over pixels as they come finds nothing yet, with an accuracy of 99 %. Focal
# loss without alpha counts easy pixels less, whichever class they are of, and is slow as well.
# Weights help, and so does every region. The boundary losses need a partner: far from the object
# each pixel of background weighs so much that nothing is the safest answer, and where nothing is
# found there is no outline to improve.
#
# ## Break it
#
# Say what will happen before you run each cell. First, is the cross-entropy stuck, or only slow?

# %%
for steps in (50, 100, 400):
    z = train(losses.binary_cross_entropy, steps)
    found, mean = int(((z > 0) & (mask == 1)).sum()), (1 / (1 + np.exp(-z))).mean()
    print(f"{steps:3} steps: {found:2} of {mask.sum()} found, mean probability {mean:.4f}")

# %% [markdown]
# Slow: first it says how rare the foreground is, and only then learns where it is. (The mean
# probability tells.) Here the evidence outweighs 99 to 1 in the end. Where it never does, in a
# faint object, an honest probability stays below 1/2, and no patience helps.
#
# Now leave out the brackets, as one text does. A false alarm gets surer and surer:

# %%
y, sure = np.array([[0, 1]]), (0.5, 0.9, 0.99, 0.999)
for p in (np.array([[alarm, 0.5]]) for alarm in sure):
    without = -(y * np.log(p)).mean() + ((1 - y) * np.log(1 - p)).mean()
    with_brackets = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    print(f"p = {p[0, 0]}: without {without:6.2f}, with brackets {with_brackets:5.2f}")

# %% [markdown]
# Logits of 1000, and a mask with nothing in it. Does anything become nan or infinite?

# %%
for name in losses.__all__:
    if name == "cross_entropy":
        continue  # it wants a map for each class
    extreme = ms.tensor(np.array([[[1000.0, -1000.0, 0.0]]]), requires_grad=True)
    value = getattr(losses, name)(extreme, np.zeros((1, 1, 3), int))
    value.backward()
    finite = np.isfinite(value.item()) and np.isfinite(extreme.grad).all()
    print(f"{name:24} {value.item():8.4f}, finite with its gradient: {finite}")

# %% [markdown]
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `brackets`: cross-entropy without its brackets: what is wrong? "nothing", "the scale", "misses
#   are free" or "false alarms are rewarded"
# - `background`: why is everything background, at first? "a bug", "the share is the cheapest
#   guess", "too few filters" or "the sigmoid"
# - `dice-to-iou`: a Dice of 4/5 is which IoU? "2/5", "2/3", "4/5" or "8/9"
# - `gamma`: focal loss with gamma 0 is: "zero", "cross-entropy", "balanced cross-entropy" or
#   "Dice"
# - `misses`: to have fewer misses, raise in Tversky: "alpha", "beta" or "smooth"
# - `smooth`: what is it for? "blurred edges", "log of zero", "empty masks" or "speed"
# - `compound`: what does cross-entropy add to a region? "balance", "overlap", "the outline" or "a
#   slope at every pixel"

# %%
lessons.check_all(
    {
        "07/brackets": "false alarms are rewarded",  # SOLUTION
        "07/background": "the share is the cheapest guess",  # SOLUTION
        "07/dice-to-iou": "2/3",  # SOLUTION
        "07/gamma": "cross-entropy",  # SOLUTION
        "07/misses": "beta",  # SOLUTION
        "07/smooth": "empty masks",  # SOLUTION
        "07/compound": "a slope at every pixel",  # SOLUTION
    }
)

# %%
lessons.report(7)
