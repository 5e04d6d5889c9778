"""Training: one loop for notebooks and the command line, run folders, scoring and prediction.

In a notebook::

    trainer = Trainer(model, losses.cross_entropy, optimizer, num_classes=4)
    trainer.fit(train_loader, val_loader, epochs=10)

On the command line, ``minisegnet train``, which is :meth:`Run.start`, :meth:`Run.trainer` and
:meth:`Run.train`.
"""

from minisegnet.train.inference import (
    DivergedError,
    Evaluation,
    centre_crop,
    evaluate,
    input_size,
    predict_logits,
)
from minisegnet.train.loop import Epoch, Progress, Trainer
from minisegnet.train.options import OptionError
from minisegnet.train.run import Run
from minisegnet.train.saving import restore, save_epoch

__all__ = [
    "DivergedError",
    "Epoch",
    "Evaluation",
    "OptionError",
    "Progress",
    "Run",
    "Trainer",
    "centre_crop",
    "evaluate",
    "input_size",
    "predict_logits",
    "restore",
    "save_epoch",
]
