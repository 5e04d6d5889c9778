"""The fully connected field against its definition as loops, and its filters against theirs."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from scipy import ndimage

from minisegnet import tensor
from minisegnet.crf import DenseCRF, dense_crf
from minisegnet.kernels.gaussian import AllPairs, Grid
from minisegnet.kernels.lattice import Lattice
from minisegnet.kernels.reference_filtering import gaussian_sums

PARAMETERS = {
    "appearance_weight": 1.7,
    "smoothness_weight": 0.6,
    "theta_alpha": 2.5,
    "theta_beta": 0.3,
    "theta_gamma": 1.2,
}


def scene(seed=0, classes=3, channels=2, rows=3, columns=5):
    """Logits and an image of random numbers."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(classes, rows, columns)) * 1.5, rng.random((channels, rows, columns))


# ---------------------------------------------------------------------------- the definition


def coupling(image, normalize, **p):
    """The price of unlike labels for every pair of pixels, by loops: {(i, j): price}."""
    pixels = list(product(range(image.shape[1]), range(image.shape[2])))
    prices = dict.fromkeys(product(pixels, pixels), 0.0)
    for weight, kernel in ((p["appearance_weight"], 0), (p["smoothness_weight"], 1)):
        near = {}
        for a, b in prices:
            place = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
            colour = sum((float(c[a]) - float(c[b])) ** 2 for c in image)
            exponent = place / (2 * p["theta_gamma"] ** 2)
            if kernel == 0:
                exponent = place / (2 * p["theta_alpha"] ** 2) + colour / (2 * p["theta_beta"] ** 2)
            near[a, b] = math.exp(-exponent)
        total = {a: sum(near[a, b] for b in pixels) if normalize else 1.0 for a in pixels}
        for a, b in prices:
            prices[a, b] += weight * near[a, b] / math.sqrt(total[a] * total[b])
    return pixels, prices


def mean_field(logits, image, iterations, normalize=True, **p):
    """Algorithm 1 of the paper, message by message."""
    pixels, prices = coupling(image, normalize, **p)
    classes = range(len(logits))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=0)
    unary, q = -np.log(softmax), softmax
    for _ in range(iterations):
        after = np.zeros_like(q)
        for i in pixels:
            costs = [
                unary[(k, *i)]
                + sum(
                    prices[i, j] * q[(other, *j)]
                    for j in pixels
                    for other in classes
                    if j != i and other != k
                )
                for k in classes
            ]
            total = sum(math.exp(-cost) for cost in costs)
            for k in classes:
                after[(k, *i)] = math.exp(-costs[k]) / total
        q = after
    return q


def energy(logits, image, labels, normalize=True, **p):
    pixels, prices = coupling(image, normalize, **p)
    unary = -np.log(np.exp(logits) / np.exp(logits).sum(axis=0))
    pairs = sum(prices[a, b] for a, b in prices if a < b and labels[a] != labels[b])
    return sum(unary[(labels[a], *a)] for a in pixels) + pairs


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_mean_field_is_the_definition(backend, iterations, normalize):
    logits, image = scene()
    q = dense_crf(
        backend.asarray(logits),
        backend.asarray(image),
        iterations,
        exact=True,
        normalize=normalize,
        **PARAMETERS,
    )
    expected = mean_field(logits, image, iterations, normalize, **PARAMETERS)
    np.testing.assert_allclose(backend.numpy(q), expected, rtol=1e-9)


@pytest.mark.parametrize("normalize", [True, False])
def test_energy_is_the_definition(backend, normalize):
    logits, image = scene(1)
    field = DenseCRF(
        backend.asarray(logits),
        backend.asarray(image),
        exact=True,
        normalize=normalize,
        **PARAMETERS,
    )
    for labels in np.random.default_rng(2).integers(0, 3, (5, 3, 5)):
        expected = energy(logits, image, labels, normalize, **PARAMETERS)
        assert field.energy(backend.asarray(labels)) == pytest.approx(expected, rel=1e-12)


def test_the_lattice_gives_nearly_the_marginals_of_all_pairs(backend):
    logits, image = scene(3, rows=14, columns=19)
    maps = backend.asarray(logits), backend.asarray(image)
    near = backend.numpy(dense_crf(*maps, **PARAMETERS))
    exact = backend.numpy(dense_crf(*maps, exact=True, **PARAMETERS))
    assert abs(near - exact).max() < 0.1
    assert abs(near - exact).mean() < 0.01 < abs(exact - dense_crf(logits, image, 0)).mean()


def test_weakly_coupled_marginals_are_those_of_all_labellings():
    logits, image = scene(4, classes=2, rows=2, columns=4)
    weak = {**PARAMETERS, "appearance_weight": 0.3, "smoothness_weight": 0.2}
    field = DenseCRF(logits, image, exact=True, normalize=False, **weak)
    exact = np.zeros((2, 2, 4))
    for choice in product(range(2), repeat=8):
        labels = np.array(choice).reshape(2, 4)
        exact += math.exp(-field.energy(labels)) * (labels == np.arange(2)[:, None, None])
    exact /= exact.sum(axis=0)
    assert abs(field.marginals() - exact).max() < 0.02 < abs(field.marginals(0) - exact).max()


def test_the_smoothness_kernel_alone_is_a_gaussian_filter(backend):
    logits, image = scene(5, rows=9, columns=12)
    theta, weight = 1.3, 2.0
    q = np.exp(logits) / np.exp(logits).sum(axis=0)

    def blurred(maps):
        taps = np.exp(-(np.arange(-20, 21) ** 2) / (2 * theta**2))
        down = ndimage.convolve1d(maps, taps, axis=-2, mode="constant")
        return ndimage.convolve1d(down, taps, axis=-1, mode="constant")

    count = blurred(np.ones((9, 12)))
    heard = weight * (blurred(q / np.sqrt(count)) / np.sqrt(count) - q / count)
    expected = np.exp(logits + heard)
    found = dense_crf(
        backend.asarray(logits),
        backend.asarray(image),
        1,
        appearance_weight=0.0,
        smoothness_weight=weight,
        theta_gamma=theta,
    )
    np.testing.assert_allclose(backend.numpy(found), expected / expected.sum(axis=0), rtol=1e-9)


def test_every_iteration_brings_mean_field_nearer_to_the_field():
    logits, image = scene(6, rows=4, columns=6)
    field = DenseCRF(logits, image, exact=True, **PARAMETERS)
    _, prices = coupling(image, True, **PARAMETERS)

    def free_energy(q):
        """The expected energy less the entropy: what mean field makes small."""
        pairs = sum(
            price * (1 - q[(slice(None), *a)] @ q[(slice(None), *b)])
            for (a, b), price in prices.items()
            if a < b
        )
        return (q * field.unary).sum() + pairs + (q * np.log(q)).sum()

    values = [free_energy(field.marginals(n)) for n in range(6)]
    assert all(after < before for before, after in pairwise(values))


# ---------------------------------------------------------------------------- what it is for


def noisy_disk(rows=40, columns=56):
    """A disk and a bar on a ground, their true mask, and logits that are wrong about a fifth."""
    rng = np.random.default_rng(7)
    row, column = np.mgrid[:rows, :columns]
    mask = np.zeros((rows, columns), np.int64)
    mask[(row - 15) ** 2 + (column - 20) ** 2 < 100] = 1
    mask[28:35, 30:52] = 2
    colours = np.array([[0.2, 0.7, 0.5], [0.3, 0.2, 0.8], [0.6, 0.3, 0.1]])
    image = colours[:, mask] + rng.normal(0, 0.03, (3, rows, columns))
    heard = np.where(rng.random(mask.shape) < 0.3, rng.integers(0, 3, mask.shape), mask)
    logits = 2.0 * (heard == np.arange(3)[:, None, None]) + rng.normal(0, 0.2, (3, rows, columns))
    return mask, image.astype(np.float32), logits.astype(np.float32)


def test_a_noisy_labelling_of_flat_regions_becomes_right(backend):
    mask, image, logits = noisy_disk()
    field = DenseCRF(
        backend.asarray(logits),
        backend.asarray(image),
        theta_alpha=20.0,
        theta_beta=0.1,
        theta_gamma=1.0,
    )
    before, after = (field.marginals(n) for n in (0, 10))
    assert after.dtype == np.float32
    labels = [backend.numpy(maps).argmax(axis=0) for maps in (before, after)]
    assert (labels[0] == mask).mean() < 0.85
    assert (labels[1] == mask).mean() > 0.995
    np.testing.assert_allclose(backend.numpy(after).sum(axis=0), 1, rtol=1e-5)
    costs = [field.energy(backend.asarray(some)) for some in labels]
    assert costs[1] < 0.8 * costs[0]


def test_labels_stop_where_colours_change_and_not_before():
    image = np.zeros((1, 3, 8))
    image[..., 5:] = 1.0
    logits = np.zeros((2, 3, 8))
    logits[0, 1, 0], logits[1, 1, 7] = 4.0, 4.0
    found = dense_crf(logits, image, theta_alpha=6.0, theta_beta=0.1, smoothness_weight=0.0)
    assert (found.argmax(axis=0) == (np.arange(8) >= 5)).all()


# ---------------------------------------------------------------------------- filters


def points(backend, dims, count=150, spread=3.0, dtype=np.float64):
    rng = np.random.default_rng(dims)
    features = (rng.random((count, dims)) * spread).astype(dtype)
    values = rng.random((count, 4)).astype(dtype)
    values[:, 1] = features[:, 0] > spread / 3
    return features, values, backend.asarray(features), backend.asarray(values)


@pytest.mark.parametrize("dims", [1, 2, 5])
def test_all_pairs_are_the_definition(backend, dims):
    features, values, f, v = points(backend, dims)
    found = backend.numpy(AllPairs(f).sums(v))
    np.testing.assert_allclose(found, gaussian_sums(values, features), rtol=1e-12)


def test_all_pairs_in_several_blocks(backend, monkeypatch):
    features, values, f, v = points(backend, 3)
    monkeypatch.setattr("minisegnet.kernels.gaussian.BLOCK", 7 * 150 + 3)
    found = backend.numpy(AllPairs(f).sums(v))
    np.testing.assert_allclose(found, gaussian_sums(values, features), rtol=1e-12)


def test_the_grid_is_the_definition(backend):
    rows, columns, theta = 6, 11, 1.7
    places = np.array(list(product(range(rows), range(columns)))) / theta
    values = np.random.default_rng(8).random((rows * columns, 3))
    found = Grid(backend.asarray(values), (rows, columns), theta).sums(backend.asarray(values))
    np.testing.assert_allclose(backend.numpy(found), gaussian_sums(values, places), rtol=1e-12)


@pytest.mark.parametrize("dims", [1, 2, 3, 5, 6])
def test_the_lattice_is_nearly_the_definition(backend, dims):
    features, values, f, v = points(backend, dims, dtype=np.float32)
    sums = Lattice(f).sums(v)
    assert sums.dtype == np.float32
    exact, found = gaussian_sums(values, features), backend.numpy(sums)
    error = np.sqrt(((found - exact) ** 2).mean(axis=0) / (exact**2).mean(axis=0))
    assert error.max() < 0.08
    ones = np.ones((len(features), 1), np.float32)
    means = found / backend.numpy(Lattice(f).sums(backend.asarray(ones)))
    exact_means = exact / gaussian_sums(ones, features)
    assert np.sqrt(((means - exact_means) ** 2).mean()) < 0.04


def test_the_lattice_is_nearly_the_definition_on_an_image():
    row, column = np.mgrid[:23, :31]
    image = np.stack([(row > 9) * 0.4, (column > 12) * 0.5 + row / 60, column / 40])
    image += np.random.default_rng(9).normal(0, 0.03, image.shape)
    features = np.concatenate([np.stack([row, column]) / 8.0, image / 0.15]).reshape(5, -1).T
    values = np.stack([image[1].ravel() > 0.4, np.ones(23 * 31)], axis=1).astype(float)
    exact, found = AllPairs(features).sums(values), Lattice(features).sums(values)
    assert np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean()) < 0.07
    means = [sums[:, 0] / sums[:, 1] for sums in (exact, found)]
    assert np.sqrt(((means[1] - means[0]) ** 2).mean()) < 0.04


@pytest.mark.parametrize("length", [20.0, 20.3, 20.6, 20.9])
def test_far_points_of_a_lattice_do_not_hear_each_other(backend, length):
    # Along a line on which the lattice's second coordinate stays as it is: the ends would meet if
    # a step beyond the last number of one row were taken for the first of the next.
    rng = np.random.default_rng(15)
    features = rng.random((250, 1)) * length * [0.5, math.sqrt(0.75)] + rng.random((250, 2)) * 0.7
    near = Lattice(backend.asarray(features))
    matrix = backend.numpy(near.sums(backend.asarray(np.eye(250))))
    distance = np.sqrt(((features[:, None] - features) ** 2).sum(axis=-1))
    # The corners a blur reaches, and the points between them, are no further away than this.
    assert not matrix[distance > 6].any()
    assert (matrix[distance < 0.5] > 0.5).all()


@pytest.mark.parametrize("dims, allowed", [(1, 1e-12), (2, 1e-12), (4, 0.03), (5, 0.05)])
def test_a_lattice_knows_what_a_point_tells_itself(dims, allowed):
    features = np.random.default_rng(dims).random((70, dims)) * 2
    near = Lattice(features)
    assert abs(np.diag(near.sums(np.eye(70))) - near.own).max() < allowed
    assert 0.7 < near.own.mean() < 1.1


def test_a_lattice_too_fine_to_number_is_refused():
    features = np.random.default_rng(0).random((6, 5)) * 1e5
    with pytest.raises(ValueError, match="enlarge the standard deviations"):
        Lattice(features)


# ---------------------------------------------------------------------------- what is accepted


def test_a_batch_is_its_images_one_by_one(backend):
    maps = [scene(seed) for seed in (10, 11)]
    logits, images = (np.stack(some).astype(np.float32) for some in zip(*maps, strict=True))
    together = dense_crf(backend.tensor(logits), backend.tensor(images), 3, **PARAMETERS)
    assert together.dtype == np.float32
    for i in range(2):
        alone = dense_crf(backend.asarray(logits[i]), backend.asarray(images[i]), 3, **PARAMETERS)
        np.testing.assert_array_equal(backend.numpy(together[i]), backend.numpy(alone))
    assert not np.allclose(backend.numpy(together[0]), backend.numpy(together[1]), atol=0.1)


def test_log_probabilities_are_logits_and_may_be_minus_infinity():
    logits, image = scene(12)
    q = np.exp(logits) / np.exp(logits).sum(axis=0)
    field, same = (DenseCRF(maps, image, **PARAMETERS) for maps in (logits, np.log(q)))
    np.testing.assert_allclose(field.marginals(), same.marginals(), rtol=1e-9)
    logits[2, 1, 3] = -np.inf
    field = DenseCRF(logits, image, **PARAMETERS)
    marginals = field.marginals()
    assert marginals[2, 1, 3] == 0 and np.isfinite(marginals).all()
    labels = np.zeros((3, 5), np.int64)
    assert math.isfinite(field.energy(labels))
    labels[1, 3] = 2
    assert field.energy(labels) == math.inf


def test_without_pairwise_weights_only_the_softmax_is_left():
    logits, image = scene(13)
    field = DenseCRF(logits, image, appearance_weight=0.0, smoothness_weight=0.0)
    np.testing.assert_allclose(field.marginals(), np.exp(-field.unary), rtol=1e-12)
    labels = logits.argmax(axis=0)
    assert field.energy(labels) == pytest.approx(field.unary.min(axis=0).sum())


@pytest.mark.parametrize(
    "size, reaches",
    [((6, 320), {"theta_alpha": 32.0, "theta_gamma": 2.0}), ((30, 20), {"theta_alpha": 3.0})],
)
def test_reaches_are_in_proportion_to_the_image(size, reaches):
    logits, image = scene(16, rows=size[0], columns=size[1])
    given = {"theta_gamma": 1.0, **reaches, "theta_beta": 0.4}
    found = dense_crf(logits, image, 2, theta_beta=0.4)
    np.testing.assert_array_equal(found, dense_crf(logits, image, 2, **given))
    assert not np.allclose(found, dense_crf(logits, image, 2, **given | {"theta_alpha": 7.0}))
    assert not np.allclose(found, dense_crf(logits, image, 2, **given | {"theta_gamma": 1.5}))


def test_halves_are_computed_in_single_precision():
    logits, image = (maps.astype(np.float16) for maps in scene(14))
    assert dense_crf(logits, image).dtype == np.float32


GOOD = (np.zeros((2, 3, 4)), np.zeros((1, 3, 4)))


@pytest.mark.parametrize(
    "logits, image, message",
    [
        (np.zeros((2, 3, 4)), np.zeros((1, 4, 3)), r"\(2, 3, 4\) and image \(1, 4, 3\)"),
        (np.zeros((3, 4)), np.zeros((1, 3, 4)), r"give \(K, H, W\)"),
        (np.zeros((2, 2, 3, 4)), np.zeros((1, 3, 4)), "give 2 images"),
        (np.zeros((2, 2, 3, 4)), np.zeros((3, 1, 3, 4)), "give 2 images"),
        (np.zeros((1, 3, 4)), np.zeros((1, 3, 4)), "single map"),
        (np.full((2, 3, 4), np.nan), np.zeros((1, 3, 4)), "diverged"),
        (np.full((2, 3, 4), -np.inf), np.zeros((1, 3, 4)), "diverged"),
        (np.zeros((2, 3, 4)), np.full((1, 3, 4), np.inf), "image holds"),
    ],
)
def test_maps_that_do_not_fit_are_refused(logits, image, message):
    with pytest.raises(ValueError, match=message):
        dense_crf(logits, image)


def test_images_of_bytes_are_refused_with_advice():
    with pytest.raises(TypeError, match="image is uint8, not floating point: divide bytes by 255"):
        dense_crf(GOOD[0], np.zeros((1, 3, 4), np.uint8))
    with pytest.raises(TypeError, match="logits is int64"):
        dense_crf(np.zeros((2, 3, 4), np.int64), GOOD[1])
    with pytest.raises(TypeError, match="image is a list"):
        dense_crf(GOOD[0], [[0.0]])
    with pytest.raises(TypeError, match="'cpu' and another on"):
        dense_crf(GOOD[0], tensor(GOOD[1], device="strict"))


@pytest.mark.parametrize(
    "name, value",
    [
        ("theta_alpha", 0.0),
        ("theta_beta", math.inf),
        ("theta_gamma", -1.0),
        ("appearance_weight", -1.0),
        ("smoothness_weight", math.nan),
    ],
)
def test_parameters_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        dense_crf(*GOOD, **{name: value})


def test_iterations_are_counted():
    with pytest.raises(ValueError, match="iterations is -1"):
        dense_crf(*GOOD, -1)
    with pytest.raises(TypeError, match=r"iterations is 2\.5"):
        dense_crf(*GOOD, 2.5)


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.zeros((4, 3), np.int64), r"shape \(4, 3\)"),
        (np.zeros((3, 4)), "float64"),
        (np.full((3, 4), 2), "from 2 to 2, but the logits have classes 0 to 1"),
        (np.full((3, 4), -1), "from -1 to -1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        DenseCRF(*GOOD).energy(labels)
