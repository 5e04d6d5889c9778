"""A run: made from options, taken up again from its folder, scored and applied to new pictures."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minisegnet import backend, checkpoint
from minisegnet.backend import Array, device_of, to_device, to_numpy
from minisegnet.data import DataLoader, Dataset, read_image, resize_image, transforms
from minisegnet.data.dataset import ImageArray, MaskArray
from minisegnet.models import LoadedWeights, SegmentationModel
from minisegnet.train import network, objective, setup
from minisegnet.train.defaults import absolute, with_defaults
from minisegnet.train.field import by_field
from minisegnet.train.inference import Batch, Evaluation, Loss, evaluate, largest, predict_logits
from minisegnet.train.loop import Epoch, Progress, Trainer
from minisegnet.train.options import Given, OptionError
from minisegnet.train.run_folder import (
    RUNS,
    new_folder,
    quoted,
    read_config,
    refuse_used,
    require_writable,
    write_config,
)
from minisegnet.train.saving import BEST, CONFIG, LAST, remove_leftovers, restore, save_epoch
from minisegnet.train.schedules import build_schedule
from minisegnet.train.state import check_weights

__all__ = ["Run"]


class Run:
    """A training run and its folder.

    Make one with :meth:`start`, or :meth:`open` the folder of one.

    Attributes
    ----------
    folder : Path
    options : dict
        Every option of the run by its name, resolved.
    found : dict
        What was found in the data.
    """

    def __init__(self, folder: Path, options: Given, found: setup.Facts) -> None:
        self.folder, self.options, self.found = folder, options, found
        #: What came of ``weights`` when the run began; None later, and where there are none.
        self.loaded_weights: LoadedWeights | None = None
        self._data: dict[str, Dataset] = {}

    # ------------------------------------------------------------------ beginning and opening

    @classmethod
    def start(cls, given: Given) -> Run:
        """Make the folder of a new run, with its ``config.json`` and a checkpoint of epoch 0.

        Parameters
        ----------
        given : dict
            Options by name, checked (:func:`minisegnet.train.options.check_option`); those left
            out, or None, get their defaults.

        Raises
        ------
        OptionError, ValueError
            If the options, the data and the network do not fit each other.
        """
        options = with_defaults(given)
        require_writable(Path(options["out"] or RUNS))
        if options["out"] is not None:
            refuse_used(Path(options["out"]))
        options["device"] = setup.choose_device(options["device"])
        setup.check_capture(options)
        train, val = (setup.open_data(options, None, split) for split in ("train", "val"))
        run = cls(Path(), options, setup.facts_of(options, train, val))
        run._data = {"train": train, "val": val}
        options["classes"] = train.num_classes
        options["ignore_index"] = run.found["void_value"]
        side = setup.smallest_side(train)
        if options["size"] is None:
            options["size"] = side
        model = network.build_model(options, train.channels)
        if options["weights"] is not None:
            model.load_torch_weights(options["weights"])
        if options["crop"] is None:
            options["crop"] = network.default_crop(model, side)
        network.check_crop(model, options["crop"])
        run.loss(train.ignore_index)
        run.folder = new_folder(options)
        run._write_config()
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """A run from its folder, wherever that was moved.

        Raises
        ------
        OptionError
            If there is no run, or its ``config.json`` is damaged.
        """
        folder = Path(folder)
        return cls(folder, *read_config(folder))

    def _write_config(self) -> None:
        """Write ``config.json``; ``out`` is the folder's name now, for the reader only."""
        self.options["out"] = str(self.folder)
        write_config(self.folder, self.options, self.found)

    # ------------------------------------------------------------------ training

    def change(
        self, epochs: int | None = None, data: str | None = None, device: str | None = None
    ) -> None:
        """What may change when a run goes on; None leaves it as it was.

        It is written down when the training goes on, or by :meth:`record_data`.

        Parameters
        ----------
        epochs : int
            In all, those that are done included.
        data : str
            Where the folder of pictures is now.
        device : "auto", "cpu" or "cuda"
        """
        options = self.options
        if data is not None and (data == setup.SHAPES) != setup.is_shapes(options):
            raise OptionError(f"--data {data}: this run is on {options['data']}: name it, or none")
        if data is not None and data != setup.SHAPES:
            options["data"] = absolute(data)
        options["epochs"] = epochs or options["epochs"]
        options["device"] = setup.choose_device(device or options["device"])

    def record_data(self) -> None:
        """Write into ``config.json`` where the pictures are now, and nothing else that changed."""
        options, found = read_config(self.folder)
        write_config(self.folder, {**options, "data": self.options["data"]}, found)

    def trainer(self) -> Trainer:
        """The trainer where the last checkpoint left it; at epoch 0 if there is none.

        ``history.csv`` is brought in line with that checkpoint.

        Raises
        ------
        ValueError
            If the checkpoint is damaged or does not fit ``config.json``.
        """
        options = self.options
        remove_leftovers(self.folder)
        backend.manual_seed(options["seed"])
        backend.set_tf32(options["precision"] == "tf32")
        model = network.build_model(options, self.found["channels"])
        model.to(setup.choose_device(options["device"]))
        optimizer = objective.build_optimizer(options, model)
        void = self.data("train").ignore_index
        trainer = Trainer(
            model,
            self.loss(void),
            optimizer,
            num_classes=options["classes"],
            schedule=build_schedule(options, optimizer, self.steps_per_epoch),
            schedule_every="step",
            ignore_index=void,
            clip_grad=options["clip_grad"],
            # A run that was begun on a GPU may go on without one.
            capture=options["capture"] and options["device"] != "cpu",
        )
        if (self.folder / LAST).exists():
            restore(trainer, self.folder)
        else:
            if options["weights"] is not None:
                self.loaded_weights = model.load_torch_weights(options["weights"])
            save_epoch(trainer, self.folder)
        return trainer

    def train(
        self,
        trainer: Trainer,
        on_step: Callable[[Progress], object] | None = None,
        on_epoch: Callable[[Epoch], object] | None = None,
    ) -> list[Epoch]:
        """Train to ``options["epochs"]``, saving after every epoch, before ``on_epoch``.

        Raises
        ------
        DivergedError
            If the loss is no longer finite; the files hold the epoch before.
        OSError
            If the folder cannot be written to.
        """
        self._write_config()

        def finish(row: Epoch) -> None:
            save_epoch(trainer, self.folder)
            if on_epoch is not None:
                on_epoch(row)

        return trainer.fit(
            self._train_loader(),
            self.batches(self.data("val")),
            epochs=self.options["epochs"],
            on_step=on_step,
            on_epoch=finish,
        )

    def loss(self, void: int | None) -> Loss:
        """The objective, for masks whose void label is ``void``.

        Raises
        ------
        OptionError
            If it is for two classes and there are more.
        """
        weights = self.found.get("class_weights")
        return objective.build_loss(self.options["loss"], self.options["classes"], void, weights)

    def data(self, split: str) -> Dataset:
        """The training ("train") or validation ("val") part of the run's data.

        Raises
        ------
        ValueError
            If the folder of pictures is not where it was, or has changed.
        """
        if split not in self._data:
            self._require_pictures()
            self._data[split] = setup.open_data(self.options, self.found, split)
        return self._data[split]

    def _require_pictures(self) -> None:
        pictures = self.options["data"]
        if not setup.is_shapes(self.options) and not Path(pictures).exists():
            raise OptionError(
                f"{pictures} does not exist: put this run's pictures back, or say where they are "
                f"now: minisegnet resume {quoted(self.folder)} --data PATH"
            )

    def batches(self, dataset: Dataset) -> setup.WholeImages:
        """Whole pictures in the form the network was trained on."""
        return setup.WholeImages(dataset, self.options["batch_size"], self.normalize)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self._train_loader())

    def first_batches(self, count: int) -> list[Batch]:
        """The first training batches of the first epoch, at most so many."""
        return list(itertools.islice(self._train_loader(), count))

    def _train_loader(self) -> DataLoader:
        return setup.train_loader(self.options, self.data("train"), self.normalize)

    @property
    def normalize(self) -> transforms.Normalize:
        """The centring and scaling by the training pictures."""
        return transforms.Normalize(self.found["mean"], self.found["std"])

    # ------------------------------------------------------------------ using the result

    def best_model(self, device: str = "auto") -> SegmentationModel:
        """The network with the weights of its best epoch.

        Raises
        ------
        ValueError
            If there are none yet, or they do not fit ``config.json``.
        """
        path = self.folder / BEST
        if not path.exists():
            raise OptionError(
                f"{self.folder} has no weights yet: finish an epoch with minisegnet resume "
                f"{quoted(self.folder)}"
            )
        model = network.build_model(self.options, self.found["channels"])
        state = checkpoint.load(path)
        try:
            model.load_state_dict(state)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} does not fit {CONFIG}: {error}") from error
        check_weights(state, str(path))
        model.to(setup.choose_device(device))
        return model

    def evaluate(
        self, data: str | None = None, device: str = "auto", crf: bool = False
    ) -> Evaluation:
        """Score the best weights on the validation part, or on other data.

        Parameters
        ----------
        data : str, optional
            A folder of images and masks, read with the run's scale and classes; of one with a
            split of its own, the validation part.
        device : "auto", "cpu" or "cuda"
        crf : bool
            Pass the logits through a fully connected random field (:mod:`minisegnet.crf`) first.
        """
        dataset = (
            self.data("val") if data is None else setup.other_data(self.options, self.found, data)
        )
        model = self.best_model(device)
        return evaluate(
            model,
            self.batches(dataset),
            num_classes=self.options["classes"],
            loss=self.loss(dataset.ignore_index),
            ignore_index=dataset.ignore_index,
            class_names=self.found["class_names"],
            shapes=True,
            refine=self._by_field if crf else None,
        )

    def predict(self, model: SegmentationModel, image: ImageArray, crf: bool = False) -> MaskArray:
        """The class of every pixel of one picture, at its own size.

        The network sees the picture at the scale of the training; the logits are brought back to
        the picture's size by bilinear interpolation, and the largest one names the class.

        Parameters
        ----------
        model : SegmentationModel
            Of :meth:`best_model`.
        image : array (C, H, W), float32 in 0..1
        crf : bool
            Pass the logits through a fully connected random field, at the training's scale.

        Returns
        -------
        array (H, W), int64
        """
        scaled = resize_image(image, self.options["size"]) if self.found["resize"] else image
        logits = self._logits(model, scaled, crf)
        size = (int(image.shape[1]), int(image.shape[2]))
        return to_numpy(largest(logits, size))[0].astype(np.int64)

    def classes_at_scale(self, model: SegmentationModel, image: ImageArray) -> MaskArray:
        """The class of every pixel of a picture that has the training's scale already."""
        return to_numpy(self._logits(model, image).argmax(axis=1))[0].astype(np.int64)

    def _logits(self, model: SegmentationModel, image: ImageArray, crf: bool = False) -> Array:
        nothing = np.zeros(image.shape[1:], np.int64)
        prepared, _ = self.normalize(image, nothing, np.random.default_rng(0))
        logits = predict_logits(model, prepared[None])
        if not crf:
            return logits
        return self._by_field(logits, to_device(prepared[None], device_of(logits)))

    def _by_field(self, logits: Array, images: Array) -> Array:
        return by_field(logits, images, self.found["mean"], self.found["std"])

    def read_image(self, path: str | Path) -> ImageArray:
        """A picture with as many channels as the network takes."""
        return read_image(path, channels=self.found["channels"])
