# %% [markdown]
# # 2. A tiny autograd
#
# **You will be able to** work out gradients on a graph by hand; build an engine that does it; check
# a gradient, and check the check; read the engine that trains this course's networks. **Before
# this:** lesson 1, and what a slope is. **Time:** about 60 minutes, and a pencil.

# %%
import inspect
import math

import matplotlib.pyplot as plt
import numpy as np

import minisegnet as ms
import minisegnet.functional as F
from minisegnet import arithmetic, lessons, tape
from minisegnet.autograd import op
from minisegnet.backend import Array

# %% [markdown]
# ## Recall
#
# Two images of 4 rows and 6 columns go into a network that knows five classes. What shape have the
# logits?

# %%
recalled = (2, 5, 4, 6)  # SOLUTION
lessons.check("02/recall", recalled)

# %% [markdown]
# ## A number that remembers
#
# To train a network, you ask of each of its weights: if it moves a little, how much does the cost
# move? That slope is the weight's **gradient**. Move each weight a little against its gradient, and
# the cost falls; do so again and again. That is all that training is.
#
# A network has millions of weights. One walk back finds all their gradients, if each result
# remembers which **parents** it was made of, and how strongly it hangs on each: the **slopes**.


# %%
class Value:
    """A number that remembers which numbers it was made of, and how strongly it hangs on each."""

    def __init__(self, data, parents=(), slopes=()):
        self.data, self.grad = data, 0
        self.parents, self.slopes = parents, slopes

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):  # if self moves by 1, the product moves by other
        return Value(self.data * other.data, (self, other), (other.data, self.data))


a, b, c = Value(2), Value(3), Value(4)
d = a * b
e = d + c
y = a * e

names = {"a": a, "b": b, "c": c, "d": d, "e": e, "y": y}
places = [(0, 2), (0, 1), (1.2, 0), (1.2, 1.2), (2.4, 0.7), (3.6, 1.5)]
boxes = {}
figure, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
for (name, value), place in zip(names.items(), places, strict=True):
    style = {"ha": "center", "va": "center", "bbox": {"fc": "white", "pad": 5}}
    boxes[value] = ax.text(*place, f"{name} = {value.data}", **style)
    for parent, slope in zip(value.parents, value.slopes, strict=True):
        start = boxes[parent].get_position()
        ends = {"patchA": boxes[parent].get_bbox_patch(), "patchB": boxes[value].get_bbox_patch()}
        ax.annotate("", place, start, arrowprops={"arrowstyle": "->", **ends})
        ax.text(*np.add(start, place) / 2 + [0, 0.1], slope, color="#D55E00")
ax.set(xlim=(-0.4, 4), ylim=(-0.3, 2.3))
ax.axis("off")
plt.show()

# %% [markdown]
# On each arrow stands its slope. Walk back from y to a name and **multiply the slopes** on your
# way: that is the chain rule. Where two ways lead to a name, **add** them: if it moves, it moves y
# both ways. Work out the gradients of a, b and c on paper.

# %%
gradients = (16, 4, 2)  # SOLUTION: of a, b, c
lessons.check("02/by-hand", gradients)

# %% [markdown]
# ## In which order?
#
# Let a program do it. The obvious one starts at the end, where the gradient is 1, hands each parent
# its share, and goes on from there. Try it with your finger on
#
#     h = x * 2,   p = h * 3,   q = h * 5,   y = p + q
#
# Which gradient does it give x? (It is not the true one.)


# %%
def plain_walk(value):
    for parent, slope in zip(value.parents, value.slopes, strict=True):
        parent.grad += slope * value.grad
        plain_walk(parent)


my_guess = 22  # SOLUTION
lessons.predict("02/walk", my_guess)

# %%
lessons.reveal("02/walk")

# %% [markdown]
# Never to go through a value twice does not help either: then what comes later is lost. The engine
# is right:


# %%
def walk_once(value, seen):
    for parent, slope in zip(value.parents, value.slopes, strict=True):
        parent.grad += slope * value.grad
        if id(parent) not in seen:
            seen.add(id(parent))
            walk_once(parent, seen)


def walked(walk, *more):
    x = Value(7)
    h = x * Value(2)
    last = h * Value(3) + h * Value(5)
    last.grad = 1
    walk(last, *more)
    return x.grad


x = ms.tensor(7.0, requires_grad=True)
h = x * 2
(h * 3 + h * 5).backward()
print(f"plain walk {walked(plain_walk)}, once only {walked(walk_once, set())}, engine {x.grad}")

# %% [markdown]
# A gradient may be passed on only when it is **complete**: when all who used the value have sent
# their share. So first make a list in which every value comes after its parents, and then go
# through it backwards. Such a list is called a **topological order**.


# %%
def order(last):
    """All the values that last is made of, and last: each once, after its parents."""
    # BEGIN SOLUTION
    found, seen = [], set()

    def visit(value):
        if id(value) not in seen:
            seen.add(id(value))
            for parent in value.parents:
                visit(parent)
            found.append(value)

    visit(last)
    return found
    # END SOLUTION


lessons.check("02/order", order)

# %% [markdown]
# Now the whole engine. Use your `order`.


# %%
class Value:
    """A number that remembers which numbers it was made of, and how strongly it hangs on each."""

    def __init__(self, data, parents=(), slopes=()):
        self.data, self.grad = data, 0
        self.parents, self.slopes = parents, slopes

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __truediv__(self, other):
        # BEGIN SOLUTION
        slopes = (1 / other.data, -self.data / other.data**2)
        return Value(self.data / other.data, (self, other), slopes)
        # END SOLUTION

    def backward(self):
        # BEGIN SOLUTION
        self.grad = 1
        for value in reversed(order(self)):
            for parent, slope in zip(value.parents, value.slopes, strict=True):
                parent.grad += slope * value.grad
        # END SOLUTION


lessons.check("02/value", Value)

# %% [markdown]
# ## The real one
#
# The engine of this course does the same, with arrays for numbers. A slope for every pair of
# elements would be a giant table, so each operation brings a **rule** along, which carries a
# gradient back. `op`, in `autograd.py`, makes a function of tensors of it, which leaves a node on
# the **tape** whenever it runs. Here are the rule of the product, and the walk, from `tape.py`.
# Find your `+=` in it, and your `reversed`.

# %%
print(inspect.getsource(arithmetic.multiply))
print(inspect.getsource(tape.propagate))

# %% [markdown]
# (They are `have + share`, and `nodes.pop()`, which takes from the end.)
#
# ## Is it right?
#
# A rule is written by hand, so it may be wrong, and a network with a wrong gradient often still
# learns, only worse. **Differences** need no rule: move one element up a little, then down, and see
# how far the result moves.


# %%
def slopes(f, x, eps):
    """For each element of x: how much f(x) moves, per unit, around it."""
    found = np.zeros(x.shape)
    # BEGIN SOLUTION
    for place in np.ndindex(*x.shape):
        above, below = x.copy(), x.copy()
        above[place] += eps
        below[place] -= eps
        found[place] = (f(above) - f(below)) / (2 * eps)
    # END SOLUTION
    return found


lessons.check("02/slopes", slopes)

# %% [markdown]
# How little is a little? Which step gives the best slope of exp at 1, in float64: "1e-1", "1e-5"
# or "1e-14"?

# %%
my_guess = "1e-5"  # SOLUTION
lessons.predict("02/step", my_guess)

# %%
lessons.reveal("02/step")

# %%
steps = np.logspace(-15, 0, 200)
both = (np.exp(1 + steps) - np.exp(1 - steps)) / (2 * steps)
one = (np.exp(1 + steps) - math.e) / steps
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for name, slope, colour in [("one side", one, "#D55E00"), ("both sides", both, "#0072B2")]:
    ax.loglog(steps, np.abs(slope - math.e), color=colour, label=name)
ax.set(xlabel="step", ylabel="error of the slope", ylim=(1e-13, 10))
ax.legend()
plt.show()

# %% [markdown]
# From right to left: at first the curve is to blame, then rounding. Now compare a gradient with its
# differences, entry by entry. It must find a single entry that is 0.1 % off, and it must not fail
# for rounding.


# %%
def agree(analytic, numeric):
    """Whether every entry is as near as 1e-8 + 1e-5 * |numeric|."""
    # BEGIN SOLUTION
    near = np.abs(analytic - numeric) <= 1e-8 + 1e-5 * np.abs(numeric)
    return bool(near.all())
    # END SOLUTION


lessons.check("02/agree", agree)

# %% [markdown]
# `ms.gradcheck` does this for any function of tensors. (In `gradcheck.py`, `_differences` is your
# `slopes` and `_worst_entry` your `agree`.) Who checks the checker? You, with a rule that is wrong
# by 0.1 %. If that passed, no "True" of it would mean anything.


# %%
@op
def nearly_square(x: Array):
    return x * x, lambda grad: (grad * 2.002 * x,)


x = ms.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], dtype="float64", requires_grad=True)
print(ms.gradcheck(lambda x: x * x, x))
try:
    ms.gradcheck(nearly_square, x)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Ones hide errors
#
# What a rule gets from whatever used its result is called its **upstream** gradient. A lazy check
# sends ones. Here is a wrong rule for softmax: `p * (grad - mean of grad)`. Does a check with ones
# notice, "yes" or "no"?

# %%
my_guess = "no"  # SOLUTION
lessons.predict("02/ones", my_guess)

# %%
lessons.reveal("02/ones")


# %%
@op
def wrong_softmax(x: Array):
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    p = powers / powers.sum(axis=1, keepdims=True)
    return p, lambda grad: (p * (grad - grad.mean(axis=1, keepdims=True)),)


def gradient(function, upstream):
    x.grad = None
    function(x).backward(upstream)
    return x.grad


for upstream in (np.ones((2, 3)), np.array([[3.0, 1.0, 2.0], [0.0, 5.0, -1.0]])):
    right = gradient(lambda x: F.softmax(x, dim=1), upstream)
    wrong = gradient(wrong_softmax, upstream)
    print("upstream", *upstream.ravel(), "difference", np.abs(right - wrong).max().round(6))
try:
    ms.gradcheck(wrong_softmax, x)
except ValueError as error:
    print(error)

# %% [markdown]
# Write the right one. Two facts: if logit i rises, p_i rises by p_i * (1 - p_i), and every other
# p_j falls by p_i * p_j. Each p has its upstream gradient. Add up.


# %%
def softmax_rule(p, grad):
    """From probabilities (pixels, classes) and their gradient: the gradient of the logits."""
    # BEGIN SOLUTION
    return p * (grad - (p * grad).sum(axis=1, keepdims=True))
    # END SOLUTION


lessons.check("02/softmax-rule", softmax_rule)

# %% [markdown]
# ## Break it
#
# Say what will happen before you run each cell. A chain of 50,000 additions has no forks, so the
# plain walk is right about it, in principle:

# %%
end, engine_end = Value(1), ms.tensor(1.0, requires_grad=True)
start = engine_end
for _ in range(50_000):
    end, engine_end = end + Value(1), engine_end + 1
try:
    plain_walk(end)
except RecursionError as error:
    print("RecursionError:", error)
engine_end.backward()
print("the engine:", start.grad)
print(inspect.getsource(tape._topological_order))

# %% [markdown]
# The engine calls nobody: the list `stack` remembers where it has to go on. (Your `order` may call
# itself; the check is content with that.)
#
# Why not follow every way by itself, multiply, and add, as on paper? Count the ways:


# %%
def ways(value):
    return sum(ways(parent) for parent in value.parents) if value.parents else 1


value = Value(1)
for doublings in range(1, 16):
    value = value + value
    if doublings % 5 == 0:
        print(f"{doublings + 1} values, {ways(value)} ways")

# %% [markdown]
# Backward a second time. Two surprises:

# %%
x = ms.tensor(3.0, requires_grad=True)
for _ in range(2):
    y = x * x
    y.backward()
    print("gradient of x:", x.grad)
try:
    y.backward()
except RuntimeError as error:
    print(error)

# %% [markdown]
# Gradients add across calls too: clear them before each step. And a graph is let go as soon as it
# has been walked, for it holds a lot of memory.
#
# ## Questions
#
# Answer from memory, then look up what you missed with `lessons.solution(...)`.
#
# - `why-add`: a value is used twice: why do its gradients add? "average", "convention", "both ways
#   move y" or "the last one counts"
# - `why-order`: why topological order? "speed", "complete first", "memory" or "alphabetical"
# - `why-loop`: why a list, and no function that calls itself? "style", "deep graphs", "wrong order"
#   or "gradients add"
# - `why-random`: why does gradcheck send random numbers, not ones? "speed", "averaging", "float64"
#   or "ones hide errors"
# - `why-float64`: why does it insist on float64? "larger numbers", "differences cancel", "speed" or
#   "autograd needs it"
# - `twice`: backward on two batches without clearing: what is in `.grad`? "the sum", "the last",
#   "the mean" or "an error"

# %%
lessons.check_all(
    {
        "02/why-add": "both ways move y",  # SOLUTION
        "02/why-order": "complete first",  # SOLUTION
        "02/why-loop": "deep graphs",  # SOLUTION
        "02/why-random": "ones hide errors",  # SOLUTION
        "02/why-float64": "differences cancel",  # SOLUTION
        "02/twice": "the sum",  # SOLUTION
    }
)

# %%
lessons.report(2)
