r"""A fully connected conditional random field: labels made to follow the edges of the image.

A network's logits are coarse where its maps were small. The field keeps what they say (the *unary*
terms) and adds a price for every pair of pixels, near or far, that are alike and yet have different
labels (the *pairwise* terms) [1]_:

.. math:: E(x) = \sum_i \psi_u(x_i) + \sum_{i<j} [x_i \ne x_j] \left(
          w_1 e^{-\frac{|p_i-p_j|^2}{2\theta_\alpha^2} - \frac{|I_i-I_j|^2}{2\theta_\beta^2}}
          + w_2 e^{-\frac{|p_i-p_j|^2}{2\theta_\gamma^2}} \right)

with the place *p* of a pixel and its colour *I*. The first Gaussian is the appearance kernel:
pixels near each other and of one colour should be of one class. The second is the smoothness
kernel, which removes specks. The unary term is minus the logarithm of the network's probability.

The best labels cannot be searched for. Mean field takes the distribution of independent pixels
nearest to the field's, by going over the image a few times; every time, each pixel hears from all
others at once. That is a Gaussian filter, and filters are fast. DeepLab v1 and v2 end in this
[2]_. Nothing here has a gradient.

.. [1] P. Krähenbühl and V. Koltun, "Efficient inference in fully connected CRFs with Gaussian edge
   potentials", NIPS 2011, equations 1 to 3 and algorithm 1.
.. [2] L.-C. Chen, G. Papandreou, I. Kokkinos, K. Murphy and A. L. Yuille, "Semantic image
   segmentation with deep convolutional nets and fully connected CRFs", ICLR 2015, section 3.4.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module, is_array, to_numpy
from minisegnet.kernels.gaussian import AllPairs, Grid
from minisegnet.kernels.lattice import Lattice

__all__ = ["DenseCRF", "dense_crf"]


class DenseCRF:
    r"""The field over one image.

    Parameters
    ----------
    logits : array or Tensor (K, H, W)
        A network's output before the softmax. Of probabilities give the logarithm.
    image : array or Tensor (C, H, W)
        The image in floating point, 0 to 1.
    appearance_weight : float
        The weight :math:`w_1` of the kernel of place and colour.
    smoothness_weight : float
        The weight :math:`w_2` of the kernel of place alone.
    theta_alpha : float, optional
        How far the appearance kernel reaches, in pixels. By default a tenth of the longer side.
    theta_beta : float
        How unlike colours may be, in units of the image: 5/255 is five levels of a byte.
    theta_gamma : float, optional
        How far the smoothness kernel reaches, in pixels. By default the longer side over 160, but
        at least 1.
    normalize : bool
        Divide each kernel by :math:`\sqrt{n_i n_j}`, where :math:`n_i` is the sum of its weights at
        a pixel (itself included). The weights then mean the same in images of every size. The
        authors' program does so by default, and published values of :math:`w_1` and :math:`w_2` are
        for this. Without it the sums are as in the formula.
    exact : bool
        Sum the appearance kernel over all pairs, in time that grows with the square of the pixels,
        and not on a lattice, which approximates it: see the module ``kernels.lattice``. (On
        photographs of 90x120 pixels, 0.3 % of the labels differed.) The smoothness kernel is exact
        always.

    Raises
    ------
    ValueError
        If the shapes do not fit, a value is not finite, or a parameter makes no sense.
    TypeError
        If the image or the logits are not in floating point.

    Notes
    -----
    The defaults are of the kind that DeepLab chose for its networks on PASCAL VOC, whose pictures
    have some 500 pixels a side: weights of 4 and 3, reaches of 50 pixels or more, 5 levels of
    colour, and 3 pixels; here the pixels are in proportion to the image. A network with finer
    logits wants smaller weights, or thin things are lost. Choose them on validation images.

    Examples
    --------
    A dark part and a bright one. The network is right about all pixels but the one in the middle of
    the dark part:

    >>> image = np.array([[[0.1, 0.1, 0.1, 0.9, 0.9], [0.1, 0.1, 0.1, 0.9, 0.9]]])
    >>> dark, bright = [[2.0, 2, 2, 0, 0], [2, 0, 2, 0, 0]], [[0, 0, 0, 2, 2], [0, 1, 0, 2, 2]]
    >>> logits = np.array([dark, bright])
    >>> field = DenseCRF(logits, image)
    >>> field.marginals().argmax(axis=0)
    array([[0, 0, 0, 1, 1],
           [0, 0, 0, 1, 1]])
    >>> field.energy(logits.argmax(axis=0)) > field.energy(field.marginals().argmax(axis=0))
    True
    """

    def __init__(
        self,
        logits: Array | Tensor,
        image: Array | Tensor,
        *,
        appearance_weight: float = 4.0,
        smoothness_weight: float = 3.0,
        theta_alpha: float | None = None,
        theta_beta: float = 5 / 255,
        theta_gamma: float | None = None,
        normalize: bool = True,
        exact: bool = False,
    ) -> None:
        logits, image = _array("logits", logits), _array("image", image)
        _check_shapes(logits, image)
        longer = max(image.shape[1:])
        theta_alpha = longer / 10 if theta_alpha is None else theta_alpha
        theta_gamma = max(1.0, longer / 160) if theta_gamma is None else theta_gamma
        _check_positive(theta_alpha=theta_alpha, theta_beta=theta_beta, theta_gamma=theta_gamma)
        _check_weights(appearance_weight=appearance_weight, smoothness_weight=smoothness_weight)
        self._shape = tuple(int(side) for side in logits.shape)
        size = self._shape[1], self._shape[2]
        features = _features(image.astype(logits.dtype), theta_alpha, theta_beta)
        self._unary = -_log_softmax(logits.reshape(self._shape[0], -1).T)
        self._kernels: list[_Kernel] = []
        if appearance_weight:
            near: Any = AllPairs(features) if exact else Lattice(features)
            self._kernels.append(_Kernel(near, appearance_weight, features, normalize))
        if smoothness_weight:
            near = Grid(logits, size, theta_gamma)
            self._kernels.append(_Kernel(near, smoothness_weight, features, normalize))

    @property
    def unary(self) -> Array:
        """The price of each class at each pixel (K, H, W): minus the log of its probability."""
        return self._maps(self._unary)

    def marginals(self, iterations: int = 10) -> Array:
        """The probability of each class at each pixel, by mean field.

        All pixels are updated at once, from the softmax of the logits on (algorithm 1).

        Parameters
        ----------
        iterations : int
            How often. 0 gives the softmax of the logits; after 10 little changes.

        Returns
        -------
        array (K, H, W)
            In the dtype of the logits (float32 at least); the classes of a pixel sum to 1.
        """
        if isinstance(iterations, bool) or not isinstance(iterations, int | np.integer):
            raise TypeError(f"dense_crf: iterations is {iterations!r}: give an integer")
        if iterations < 0:
            raise ValueError(f"dense_crf: iterations is {iterations}: give 0 or more")
        xp = array_module(self._unary)
        marginals = xp.exp(_log_softmax(-self._unary))
        for _ in range(iterations):
            # A class costs what the other classes hear. As what all hear together is the same for
            # every class, that is, up to a constant, minus what the class hears itself.
            heard: Any = sum(kernel.from_others(marginals) for kernel in self._kernels)
            marginals = xp.exp(_log_softmax(heard - self._unary))
        return self._maps(marginals)

    def energy(self, labels: Array | Tensor) -> float:
        """What a labelling costs: the unary terms and every pair of unlike labels, once.

        Parameters
        ----------
        labels : integer array or Tensor (H, W)
            A class from 0 to K-1 for every pixel.

        Raises
        ------
        ValueError
            If the labels have another size, or name a class that there is not.
        """
        held = labels.data if isinstance(labels, Tensor) else labels
        chosen = self._one_hot(held if is_array(held) else np.asarray(held))
        xp = array_module(chosen, self._unary)
        # A class of probability 0 costs infinity if it is chosen, and nothing otherwise.
        cost = xp.sum(xp.where(chosen > 0, self._unary, 0))
        ones = xp.ones_like(chosen[:, :1])
        for kernel in self._kernels:
            pairs = xp.sum(kernel.from_all(ones)) - xp.sum(chosen * kernel.from_all(chosen))
            cost = cost + pairs / 2
        return float(cost)

    def _one_hot(self, labels: Array) -> Array:
        if tuple(labels.shape) != self._shape[1:] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"DenseCRF.energy: labels are {labels.dtype} of shape {tuple(labels.shape)}: give "
                f"integers of the image's size {self._shape[1:]}"
            )
        if int(labels.min()) < 0 or int(labels.max()) >= self._shape[0]:
            raise ValueError(
                f"DenseCRF.energy: labels go from {int(labels.min())} to {int(labels.max())}, but "
                f"the logits have classes 0 to {self._shape[0] - 1}"
            )
        classes = array_module(labels).arange(self._shape[0])
        return (labels.reshape(-1, 1) == classes).astype(self._unary.dtype)

    def _maps(self, rows: Array) -> Array:
        """Rows of one value a class (H*W, K) as maps (K, H, W)."""
        return array_module(rows).ascontiguousarray(rows.T).reshape(self._shape)


def dense_crf(
    logits: Array | Tensor, image: Array | Tensor, iterations: int = 10, **parameters: Any
) -> Array:
    """Marginal probabilities of the fully connected field, for one image or a batch.

    Parameters
    ----------
    logits : array or Tensor (K, H, W) or (N, K, H, W)
        A network's output before the softmax. Of probabilities give the logarithm.
    image : array or Tensor (C, H, W) or (N, C, H, W)
        The images in floating point, 0 to 1.
    iterations : int
        Of mean field; 0 gives the softmax of the logits.
    **parameters
        Weights and reaches, as :class:`DenseCRF` names them.

    Returns
    -------
    array of the logits' shape
        In their dtype (float32 at least). The classes of a pixel sum to 1, and the largest one
        names its label.

    Raises
    ------
    ValueError
        If the shapes do not fit, a value is not finite, or a parameter makes no sense.
    TypeError
        If the image or the logits are not in floating point.

    Examples
    --------
    The logits know nothing about the last column but its colour is that of the column before:

    >>> image = np.array([[[0.2, 0.2, 0.7, 0.7], [0.2, 0.2, 0.7, 0.7]]])
    >>> logits = np.array([[[3.0, 3, 0, 0], [3, 3, 0, 0]], [[0, 0, 3, 0], [0, 0, 3, 0]]])
    >>> dense_crf(logits, image, theta_alpha=5.0)[1].round(2)
    array([[0.  , 0.  , 1.  , 0.99],
           [0.  , 0.  , 1.  , 0.99]])
    """
    shapes = tuple(getattr(logits, "shape", ())), tuple(getattr(image, "shape", ()))
    if len(shapes[0]) != 4:
        return DenseCRF(logits, image, **parameters).marginals(iterations)
    if len(shapes[1]) != 4 or shapes[0][0] != shapes[1][0]:
        raise ValueError(
            f"dense_crf: logits of shape {shapes[0]} are a batch, and image has shape {shapes[1]}: "
            f"give {shapes[0][0]} images (N, C, H, W), or take one map of logits"
        )
    logits, images = _array("logits", logits), _array("image", image)
    pairs = zip(logits, images, strict=True)
    each = [DenseCRF(maps, image, **parameters).marginals(iterations) for maps, image in pairs]
    return array_module(logits).stack(each)


class _Kernel:
    """One of the two Gaussians, with its weight and its normalisation."""

    def __init__(self, near: Any, weight: float, points: Array, normalize: bool) -> None:
        xp = array_module(points)
        ones = xp.ones((len(points), 1), dtype=points.dtype)
        self._near, self._weight = near, weight
        self._scale = 1 / xp.sqrt(near.sums(ones)) if normalize else ones

    def from_all(self, values: Array) -> Array:
        """What every pixel hears from all, itself included: values (H*W, K) to the same."""
        return self._weight * self._scale * self._near.sums(self._scale * values)

    def from_others(self, values: Array) -> Array:
        """The same without what a pixel tells itself."""
        own = self._weight * self._scale * self._scale * self._near.own[:, None]
        return self.from_all(values) - own * values


def _features(image: Array, theta_alpha: float, theta_beta: float) -> Array:
    """Place and colour of every pixel (H*W, 2+C), each over its standard deviation."""
    xp = array_module(image)
    channels, rows, columns = image.shape
    row = xp.repeat(xp.arange(rows, dtype=image.dtype), columns)
    column = xp.tile(xp.arange(columns, dtype=image.dtype), rows)
    places = xp.stack([row, column], axis=1) / theta_alpha
    return xp.concatenate([places, image.reshape(channels, -1).T / theta_beta], axis=1)


def _log_softmax(rows: Array) -> Array:
    """Over the classes of each pixel; a class of probability 0 stays at minus infinity."""
    xp = array_module(rows)
    shifted = rows - rows.max(axis=1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


# ---------------------------------------------------------------------------- what is accepted


def _array(name: str, given: Any) -> Array:
    values = given.data if isinstance(given, Tensor) else given
    if not is_array(values):
        raise TypeError(f"dense_crf: {name} is a {type(given).__name__}: give an array or a Tensor")
    if values.dtype.kind != "f":
        advice = "divide bytes by 255" if name == "image" else "give a network's output"
        raise TypeError(f"dense_crf: {name} is {values.dtype}, not floating point: {advice}")
    # Halves are too coarse for the sums over many pixels.
    return values.astype(np.promote_types(values.dtype, np.float32), copy=False)


def _check_shapes(logits: Array, image: Array) -> None:
    xp = array_module(logits, image)
    shapes = tuple(logits.shape), tuple(image.shape)
    if logits.ndim != 3 or image.ndim != 3 or shapes[0][1:] != shapes[1][1:] or 0 in shapes[0]:
        raise ValueError(
            f"dense_crf: logits have shape {shapes[0]} and image {shapes[1]}: give (K, H, W) and "
            "(C, H, W) of the same H and W; F.interpolate brings logits to the image's size"
        )
    if shapes[0][0] == 1:
        raise ValueError(
            "dense_crf: logits have a single map: give one for each class; of a sigmoid's logit z "
            "that is stack([zeros_like(z), z])"
        )
    if not bool(to_numpy(xp.isfinite(image).all())):
        raise ValueError("dense_crf: image holds a value that is not finite")
    best = logits.max(axis=0)
    if not bool(to_numpy(xp.isfinite(best).all())):
        raise ValueError(
            "dense_crf: a pixel has a logit that is not a number or is plus infinity, or minus "
            "infinity for every class: the network has diverged, or it is the logarithm of 0"
        )


def _check_positive(**thetas: float) -> None:
    for name, theta in thetas.items():
        if not (theta > 0 and math.isfinite(theta)):
            raise ValueError(f"dense_crf: {name} is {theta}: give a finite value above 0")


def _check_weights(**weights: float) -> None:
    for name, weight in weights.items():
        if not (weight >= 0 and math.isfinite(weight)):
            raise ValueError(f"dense_crf: {name} is {weight}: give 0 (without it) or more")
