"""Datasets, batches and augmentation: everything between files on a disk and arrays for a network.

`Shapes` draws pictures as they are asked for, `Folder` reads images and masks, `DataLoader` makes
batches of either; the transforms move image and mask together.
"""

from minisegnet.data.dataset import Dataset
from minisegnet.data.files import MAX_PIXELS, ImageError, image_size
from minisegnet.data.folder import Folder
from minisegnet.data.images import (
    read_image,
    read_mask,
    resize_image,
    resize_mask,
    resized_shape,
    set_channels,
)
from minisegnet.data.layouts import Pair, split_names
from minisegnet.data.loader import DataLoader
from minisegnet.data.shapes import MAX_CLASSES, Shapes
from minisegnet.data.stats import (
    ClassCounts,
    class_counts,
    mean_std,
    median_frequency_weights,
    one_hot,
)
from minisegnet.data.transforms import (
    Brightness,
    CenterCrop,
    CentreCrop,
    Compose,
    Contrast,
    GaussianNoise,
    Normalize,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRot90,
    RandomScale,
    RandomScaledCrop,
    RandomVerticalFlip,
    Saturation,
    Transform,
)

__all__ = [
    "MAX_CLASSES",
    "MAX_PIXELS",
    "Brightness",
    "CenterCrop",
    "CentreCrop",
    "ClassCounts",
    "Compose",
    "Contrast",
    "DataLoader",
    "Dataset",
    "Folder",
    "GaussianNoise",
    "ImageError",
    "Normalize",
    "Pad",
    "Pair",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRot90",
    "RandomScale",
    "RandomScaledCrop",
    "RandomVerticalFlip",
    "Saturation",
    "Shapes",
    "Transform",
    "class_counts",
    "image_size",
    "mean_std",
    "median_frequency_weights",
    "one_hot",
    "read_image",
    "read_mask",
    "resize_image",
    "resize_mask",
    "resized_shape",
    "set_channels",
    "split_names",
]
