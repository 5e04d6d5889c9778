"""The networks on VGG-16 once more, in PyTorch, layer by layer as their authors list them.

Names of parameters are those of ``minisegnet.models``, so that a state dict fits; how the maps flow
is written from the authors' network files alone. Crop offsets are those in the files.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = [[1, 1], [2, 2], [4, 4, 4], [8, 8, 8], [8, 8, 8]]


def vgg_features(base, norm=False, first_padding=1, dilated=False, in_channels=3):
    """The layers of torchvision's vgg16 and vgg16_bn; poolings round up, as in Caffe."""
    layers, before = [], in_channels
    for number, block in enumerate(BLOCKS):
        for factor in block:
            rate = 2 if dilated and number == 4 else 1
            padding = rate if layers else first_padding
            layers.append(nn.Conv2d(before, factor * base, 3, padding=padding, dilation=rate))
            layers += [nn.BatchNorm2d(factor * base)] if norm else []
            layers.append(nn.ReLU())
            before = factor * base
        if dilated:
            stride = 2 if number < 3 else 1
            layers.append(nn.MaxPool2d(3, stride, padding=1, ceil_mode=True))
        else:
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True, return_indices=norm))
    return nn.Sequential(*layers)


def bilinear_weight(classes, size):
    """upsample_filt of the authors of FCN."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    row = 1 - abs(np.arange(size) - centre) / factor
    weight = np.zeros((classes, classes, size, size), dtype=np.float32)
    weight[range(classes), range(classes)] = row[:, None] * row
    return torch.from_numpy(weight)


class FCN(nn.Module):
    """voc-fcn32s, voc-fcn16s and voc-fcn8s."""

    def __init__(self, classes, base, skips):
        super().__init__()
        self.classes, self.skips = classes, skips
        self.features = vgg_features(base, first_padding=100)
        self.fc6 = nn.Conv2d(8 * base, 64 * base, 7)
        self.fc7 = nn.Conv2d(64 * base, 64 * base, 1)
        scored = [64 * base, 8 * base, 4 * base][: skips + 1]
        self.score = nn.ModuleList(nn.Conv2d(channels, classes, 1) for channels in scored)

    def up(self, x, kernel, stride):
        return F.conv_transpose2d(x, bilinear_weight(self.classes, kernel), stride=stride)

    def forward(self, x):
        rows, columns = x.shape[2:]
        pools, h = [], x
        for layer in self.features:
            h = layer(h)
            if isinstance(layer, nn.MaxPool2d):
                pools.append(h)
        h = self.score[0](F.relu(self.fc7(F.relu(self.fc6(h)))))
        if self.skips == 0:
            h = self.up(h, 64, 32)
            return h[:, :, 19 : 19 + rows, 19 : 19 + columns]
        h = self.up(h, 4, 2)
        h = h + self.score[1](pools[3])[:, :, 5 : 5 + h.shape[2], 5 : 5 + h.shape[3]]
        if self.skips == 1:
            h = self.up(h, 32, 16)
            return h[:, :, 27 : 27 + rows, 27 : 27 + columns]
        h = self.up(h, 4, 2)
        h = h + self.score[2](pools[2])[:, :, 9 : 9 + h.shape[2], 9 : 9 + h.shape[3]]
        h = self.up(h, 16, 8)
        return h[:, :, 31 : 31 + rows, 31 : 31 + columns]


class SameFCN8s(FCN):
    """FCN-8s where every map lies exactly over the next, for sides that 32 divides."""

    def __init__(self, classes, base):
        super().__init__(classes, base, skips=2)
        self.features = vgg_features(base)
        self.fc6 = nn.Conv2d(8 * base, 64 * base, 7, padding=3)

    def forward(self, x):
        pool3 = self.features[:17](x)
        pool4 = self.features[17:24](pool3)
        h = F.relu(self.fc7(F.relu(self.fc6(self.features[24:](pool4)))))
        h = self.double(self.score[0](h)) + self.score[1](pool4)
        h = self.double(h) + self.score[2](pool3)
        return F.conv_transpose2d(h, bilinear_weight(self.classes, 16), stride=8, padding=4)

    def double(self, x):
        return F.conv_transpose2d(x, bilinear_weight(self.classes, 4), stride=2, padding=1)


def down(features, x):
    """The encoder with pooling indices: the last map, and indices and size of each pooling."""
    marks = []
    for layer in features:
        if isinstance(layer, nn.MaxPool2d):
            size = x.shape[2:]
            x, indices = layer(x)
            marks.append((indices, size))
        else:
            x = layer(x)
    return x, marks


class SegNet(nn.Module):
    """segnet_train.prototxt."""

    def __init__(self, classes, base):
        super().__init__()
        self.features = vgg_features(base, norm=True)
        plan = [(8, [8, 8, 8]), (8, [8, 8, 4]), (4, [4, 4, 2]), (2, [2, 1]), (1, [1])]
        self.decoder = nn.ModuleList()
        for factor, outs in plan:
            block = nn.Sequential()
            for out in outs:
                block.append(nn.Conv2d(factor * base, out * base, 3, padding=1))
                block.append(nn.BatchNorm2d(out * base))
                block.append(nn.ReLU())
            self.decoder.append(block)
        self.classify = nn.Conv2d(base, classes, 3, padding=1)

    def forward(self, x):
        x, marks = down(self.features, x)
        for block in self.decoder:
            indices, size = marks.pop()
            x = block(F.max_unpool2d(x, indices, 2, 2, output_size=size))
        return self.classify(x)


class SegNetBasic(nn.Module):
    """segnet_basic_train.prototxt."""

    def __init__(self, classes, base):
        super().__init__()
        self.encoder = nn.ModuleList(self.block(3 if i == 0 else base, base) for i in range(4))
        self.decoder = nn.ModuleList(self.block(base, base) for _ in range(4))
        self.classify = nn.Conv2d(base, classes, 1)

    @staticmethod
    def block(before, after):
        return nn.Sequential(nn.Conv2d(before, after, 7, padding=3), nn.BatchNorm2d(after))

    def forward(self, x):
        x = F.local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=1.0)
        marks = []
        for block in self.encoder:
            x = torch.relu(block(x))
            size = x.shape
            x, indices = F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)
            marks.append((indices, size))
        for block in self.decoder:
            indices, size = marks.pop()
            x = block(F.max_unpool2d(x, indices, 2, 2, output_size=size))
        return self.classify(x)


class DeconvNet(nn.Module):
    """DeconvNet_inference_deploy.prototxt; ``border`` is around fc6."""

    def __init__(self, classes, base, border=0):
        super().__init__()
        self.features = vgg_features(base, norm=True)
        self.fc6 = self.layer(nn.Conv2d(8 * base, 64 * base, 7, padding=border))
        self.fc7 = self.layer(nn.Conv2d(64 * base, 64 * base, 1))
        self.fc6_deconv = self.layer(nn.ConvTranspose2d(64 * base, 8 * base, 7, padding=border))
        plan = [(8, [8, 8, 8]), (8, [8, 8, 4]), (4, [4, 4, 2]), (2, [2, 1]), (1, [1, 1])]
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *(
                    self.layer(nn.ConvTranspose2d(factor * base, out * base, 3, padding=1))
                    for out in outs
                )
            )
            for factor, outs in plan
        )
        self.classify = nn.Conv2d(base, classes, 1)

    @staticmethod
    def layer(convolution):
        return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())

    def forward(self, x):
        x, marks = down(self.features, x)
        x = self.fc6_deconv(self.fc7(self.fc6(x)))
        for block in self.decoder:
            indices, size = marks.pop()
            x = block(F.max_unpool2d(x, indices, 2, 2, output_size=size))
        return self.classify(x)


def vgg_head(base, classes, rate):
    """fc6, fc7 and fc8 of DeepLab; dropout does nothing in evaluation."""
    return nn.ModuleDict(
        {
            "fc6": nn.Conv2d(8 * base, 16 * base, 3, padding=rate, dilation=rate),
            "fc7": nn.Conv2d(16 * base, 16 * base, 1),
            "fc8": nn.Conv2d(16 * base, classes, 1),
        }
    )


def apply_head(head, x):
    return head["fc8"](F.relu(head["fc7"](F.relu(head["fc6"](x)))))


class DeepLabV1(nn.Module):
    """DeepLab-LargeFOV; the scores lie on every eighth pixel, for sides of 8k + 1 pixels."""

    def __init__(self, classes, base, rate):
        super().__init__()
        self.features = vgg_features(base, dilated=True)
        self.head = vgg_head(base, classes, rate)

    def forward(self, x):
        scores = apply_head(self.head, F.avg_pool2d(self.features(x), 3, 1, 1))
        return F.interpolate(scores, x.shape[2:], mode="bilinear", align_corners=True)


class DeepLabV2VGG(nn.Module):
    """DeepLab v2 ASPP on VGG-16, for sides of 8k + 1 pixels."""

    def __init__(self, classes, base, rates):
        super().__init__()
        self.features = vgg_features(base, dilated=True)
        self.heads = nn.ModuleList(vgg_head(base, classes, rate) for rate in rates)

    def forward(self, x):
        x, size = self.features(x), x.shape[2:]
        scores = sum(apply_head(head, x) for head in self.heads)
        return F.interpolate(scores, size, mode="bilinear", align_corners=True)
