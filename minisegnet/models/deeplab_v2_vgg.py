"""DeepLab v2 on VGG-16: four fields of view of different widths, their scores added."""

from __future__ import annotations

from collections.abc import Sequence

from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.models.common import SegmentationModel
from minisegnet.models.deeplab_v1 import enlarge_eightfold, field_of_view
from minisegnet.models.vgg import VGG16
from minisegnet.nn.options import require_positive


class DeepLabV2VGG(SegmentationModel):
    """DeepLab v2 of Chen et al. on VGG-16 (ASPP-L): :class:`DeepLabV1` with four heads.

    Each head has its own fc6, fc7 and fc8, and differs from the others in the dilation of fc6: one
    sees small things, another large ones. Their scores are added and enlarged.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the first block of the encoder; fc6 and fc7 of each head have ``16 * base``.
    rates : sequence of int
        Dilation of fc6 in each head; see ``rate`` of :class:`DeepLabV1`. The paper's ASPP-S has
        (2, 4, 8, 12).
    dropout : float
        Probability of dropping a value after fc6 and after fc7, in training.

    Notes
    -----
    Takes images of any size. 37,877,652 parameters with 3 channels and 21 classes. Other than in
    v1, no averaging stands between the encoder and the heads.

    References
    ----------
    .. [1] L.-C. Chen, G. Papandreou, I. Kokkinos, K. Murphy, A. L. Yuille, "DeepLab: semantic
       image segmentation with deep convolutional nets, atrous convolution, and fully connected
       CRFs", PAMI 2018, arXiv:1606.00915, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> model = DeepLabV2VGG(in_channels=3, num_classes=5, base=2, rates=(1, 2))
    >>> model(Tensor(np.zeros((1, 3, 45, 60), dtype=np.float32))).shape
    (1, 5, 45, 60)
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 21,
        base: int = 64,
        rates: Sequence[int] = (6, 12, 18, 24),
        dropout: float = 0.5,
    ) -> None:
        require_positive(
            "DeepLabV2VGG", in_channels=in_channels, num_classes=num_classes, base=base
        )
        if not rates:
            raise ValueError("DeepLabV2VGG: rates is empty: give at least one dilation")
        super().__init__(in_channels, num_classes)
        self.features = VGG16(in_channels, base, output_stride=8)
        self.heads = nn.ModuleList(
            field_of_view(8 * base, 16 * base, num_classes, rate, dropout) for rate in rates
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the number of channels is not the network's.
        """
        self.check_input(x)
        deepest = self.features(x)[-1].maps
        first, *others = self.heads
        scores = first(deepest)
        for head in others:
            scores = scores + head(deepest)
        return enlarge_eightfold(scores, x.shape[2:])
