"""Optimisers, learning-rate schedules and gradient clipping, with PyTorch's names and formulas."""

from __future__ import annotations

from minisegnet.optim.adam import Adam, AdamW
from minisegnet.optim.clip import clip_grad_norm_, clip_grad_norm_on_device_
from minisegnet.optim.muon import Muon
from minisegnet.optim.one_cycle import OneCycleLR
from minisegnet.optim.optimizer import Optimizer
from minisegnet.optim.rmsprop import RMSprop
from minisegnet.optim.schedules import (
    CosineAnnealingLR,
    MultiStepLR,
    PolynomialLR,
    Schedule,
    StepLR,
)
from minisegnet.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "MultiStepLR",
    "Muon",
    "OneCycleLR",
    "Optimizer",
    "PolynomialLR",
    "RMSprop",
    "Schedule",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_norm_on_device_",
]
