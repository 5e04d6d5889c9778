"""Every network under one budget: as many parameters, and as long a training, on the same pictures.

Each network is a run like any other, in a folder of its own below the comparison's, and is trained
by a process of its own, so that the peak of its memory is its own and a network that fails takes
nobody with it. What is finished is written at once, and is skipped when the comparison is repeated.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from minisegnet import backend, checkpoint
from minisegnet.models import SegmentationModel, multiply_adds
from minisegnet.train import setup
from minisegnet.train.defaults import with_defaults
from minisegnet.train.inference import evaluate, input_size, predict_logits
from minisegnet.train.options import Given, OptionError, read_json
from minisegnet.train.run import Run
from minisegnet.train.saving import CONFIG, LAST
from minisegnet.train.sizing import Sized, common_crop, described, sized, skeleton

__all__ = ["DEFAULTS", "Comparison", "Result", "saved_result"]

SETTINGS, RESULT = "comparison.json", "result.json"
TIMED_PICTURES = 7
SECONDS_TO_SAVE = 10.0

DEFAULTS: Given = {
    "optimizer": "muon",
    "weight_decay": 0.01,
    "lr": 2e-2,
    "clip_grad": 1.0,
    "schedule": "onecycle",
}
"""Options of every run of a comparison, chosen so that networks without a norm learn too."""

PER_NETWORK = ("model", "base", "depth", "model_options", "out", "quiet")
"""What a comparison decides for each network itself."""


# ---------------------------------------------------------------------------- one row


@dataclass(frozen=True)
class Result:
    """What a network did with the budget; numbers are None where it failed.

    Attributes
    ----------
    model : str
    options : str
        Those that make its size.
    parameters, multiply_adds : int
        The latter of one picture of the validation.
    epochs, steps : int
    mean_iou, pixel_accuracy, boundary_f1 : float
        Of the best weights, on the validation pictures.
    seconds : float
        Of training, the scores after every epoch included.
    milliseconds : float
        Of one picture through the network, the median of some.
    memory : float
        The most that the process held, in MiB; None where it cannot be told.
    error : str
        Why there is no result; empty if there is one.
    """

    model: str
    options: str = ""
    parameters: int | None = None
    multiply_adds: int | None = None
    epochs: int | None = None
    steps: int | None = None
    mean_iou: float | None = None
    pixel_accuracy: float | None = None
    boundary_f1: float | None = None
    seconds: float | None = None
    milliseconds: float | None = None
    memory: float | None = None
    error: str = ""


def saved_result(folder: Path) -> Result | None:
    """The result in a network's folder; None if there is none that can be read."""
    try:
        table = read_json(folder / RESULT)
    except OptionError:
        return None
    known = {field.name for field in fields(Result)}
    return Result(**table) if set(table) <= known and "model" in table else None


def _save(result: Result, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with checkpoint.atomic_write(folder / RESULT) as file:
        json.dump(asdict(result), file, indent=2)
        file.write("\n")


# ---------------------------------------------------------------------------- the comparison


class Comparison:
    """A folder in which networks are compared.

    Parameters
    ----------
    folder : path
        A new one, or that of a comparison with the same settings.
    given : dict
        Options of a run, checked, that hold for all networks: data, size, optimizer, ...
    names : sequence of str
        The networks, of ``models.names()``.
    parameters : int
        The number that all are brought near.
    seconds, epochs : float, int
        How long each is trained; one of the two.

    Raises
    ------
    OptionError, ValueError
        If the options and the data do not fit each other, or the folder holds a comparison with
        other settings.
    """

    def __init__(
        self,
        folder: Path,
        given: Given,
        names: Sequence[str],
        parameters: int,
        seconds: float | None = None,
        epochs: int | None = None,
    ) -> None:
        if (seconds is None) == (epochs is None):
            raise OptionError("give --seconds or --epochs, one of the two")
        self.folder, self.names, self.parameters = Path(folder), list(names), parameters
        self.seconds, self.epochs = seconds, epochs
        shared = {name: value for name, value in given.items() if name not in PER_NETWORK}
        if epochs is not None:
            shared |= {"epochs": epochs, "schedule_epochs": epochs}
        self.options = {**DEFAULTS, **shared}
        self._check_folder()
        self._open_data()

    def _open_data(self) -> None:
        """Look at the data: channels, classes, and the crop that suits the networks."""
        options = with_defaults({**self.options, "model": self.names[0]})
        train = setup.open_data(options, None, "train")
        self.channels, self.classes = train.channels, train.num_classes
        if options["crop"] is None:
            candidates = [
                skeleton(name, self.plan(name).options, self.channels, self.classes)
                for name in self.names
            ]
            self.options["crop"] = common_crop(candidates, setup.smallest_side(train))

    @property
    def settings(self) -> Given:
        """What all results of a folder have in common."""
        return {"parameters": self.parameters, "seconds": self.seconds, **self.options}

    def _check_folder(self) -> None:
        """Take the crop from the folder, and refuse one reached under other settings."""
        path = self.folder / SETTINGS
        if not path.is_file():
            return
        theirs = read_json(path)
        if "crop" not in self.options and "crop" in theirs:
            self.options["crop"] = theirs["crop"]  # whatever suits the networks of today
        mine = self.settings
        others = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
        if others:
            name = others[0]
            raise OptionError(
                f"--out {self.folder} holds a comparison with other settings: {name} is "
                f"{theirs.get(name)} there and {mine.get(name)} here; name another folder"
            )

    def _write_settings(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / SETTINGS
        if not path.is_file():
            with checkpoint.atomic_write(path) as file:
                json.dump(self.settings, file, indent=2)
                file.write("\n")

    def plan(self, name: str) -> Sized:
        """The width at which a network enters."""
        return sized(name, self.parameters, self.channels, self.classes)

    def run_folder(self, name: str) -> Path:
        """Where the run of a network lies."""
        return self.folder / name

    def results(self) -> list[Result]:
        """The networks that are done, or have failed, in the order of the names."""
        found = (saved_result(self.run_folder(name)) for name in self.names)
        return [result for result in found if result is not None]

    def finished(self, name: str) -> Result | None:
        """The result of a network, unless it has none or failed."""
        result = saved_result(self.run_folder(name))
        return result if result is not None and not result.error else None

    def train(self, name: str) -> Result:
        """Train a network in a process of its own, or take its result if it has one.

        Ctrl-C reaches that process too; a network that is interrupted has no result, and goes on
        from its last epoch the next time.
        """
        if (done := self.finished(name)) is not None:
            return done
        self._write_settings()
        folder = self.run_folder(name)
        (folder / RESULT).unlink(missing_ok=True)
        job = {
            "options": {**self.options, "model": name, "out": str(folder)},
            "parameters": self.parameters,
            "channels": self.channels,
            "classes": self.classes,
            "seconds": self.seconds,
        }
        code = _in_a_process(job)
        result = saved_result(folder)
        if result is None:
            if code == _INTERRUPTED:
                raise KeyboardInterrupt
            result = Result(name, error=_how_it_ended(code))
            _save(result, folder)
        return result

    def __iter__(self) -> Iterator[Result]:
        return (self.train(name) for name in self.names)


_INTERRUPTED = 130


def _in_a_process(job: dict[str, Any]) -> int | None:
    """Do the work in a new process, and give its exit code."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=(job,))
    process.start()
    try:
        process.join()
    except KeyboardInterrupt:
        process.join(SECONDS_TO_SAVE)  # a terminal sends Ctrl-C to it as well
        process.terminate()
        process.join()
        raise
    return process.exitcode


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was ended by signal {-code}: there may be too little memory"
    return f"its process ended with exit code {code}"


# ---------------------------------------------------------------------------- in the process


def work(job: dict[str, Any]) -> None:
    """Train one network and write its result: what the process of a network does."""
    folder = Path(job["options"]["out"])
    name = job["options"]["model"]
    warnings.simplefilter("ignore")  # overflow is found by the trainer, and told as a failure
    try:
        result = _measured(job)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(_INTERRUPTED)
    except Exception as error:
        if os.environ.get("MINISEGNET_DEBUG"):
            traceback.print_exc()
        result = Result(name, error=" ".join(f"{error}".split()) or type(error).__name__)
    _save(result, folder)


def _measured(job: dict[str, Any]) -> Result:
    plan = sized(job["options"]["model"], job["parameters"], job["channels"], job["classes"])
    folder = Path(job["options"]["out"])
    begun = (folder / CONFIG).is_file()
    run = Run.open(folder) if begun else Run.start({**job["options"], **plan.options})
    trainer = run.trainer()
    if not trainer.epoch and job["seconds"] is not None:
        epochs = max(1, round(job["seconds"] / seconds_of_epoch(run)))
        run.options |= {"epochs": epochs, "schedule_epochs": epochs}
        (folder / LAST).unlink()  # it holds a schedule of another length
        trainer = run.trainer()
    run.train(trainer)
    model = run.best_model(run.options["device"])
    val = run.data("val")
    scores = evaluate(
        model,
        run.batches(val),
        num_classes=run.options["classes"],
        ignore_index=val.ignore_index,
        shapes=True,
    )
    image = next(iter(run.batches(val)))[0][:1]
    assert scores.boundary is not None  # asked for
    return Result(
        model=run.options["model"],
        options=described(plan.options),
        parameters=plan.parameters,
        multiply_adds=multiply_adds(model, input_size(model, image.shape[2:])),
        epochs=trainer.epoch,
        steps=trainer.epoch * run.steps_per_epoch,
        mean_iou=scores.matrix.mean_iou(),
        pixel_accuracy=scores.matrix.pixel_accuracy(),
        boundary_f1=scores.boundary.mean(),
        seconds=round(sum(row.seconds for row in trainer.history), 3),
        milliseconds=round(1000 * seconds_of_picture(model, image), 2),
        memory=peak_memory(),
    )


def seconds_of_epoch(run: Run) -> float:
    """How long an epoch of a run takes, from a few of its steps and a batch of its validation."""
    trainer = run.trainer()
    batches = run.first_batches(3)
    trainer.fit(batches[:1], epochs=1)  # the first step has buffers to make
    trainer.fit(batches[1:] or batches, epochs=2)
    per_step = trainer.history[1].seconds / len(batches[1:] or batches)
    val = run.data("val")
    batch = next(iter(run.batches(val)))
    start = time.perf_counter()
    evaluate(
        trainer.model, [batch], num_classes=run.options["classes"], ignore_index=val.ignore_index
    )
    per_picture = (time.perf_counter() - start) / len(batch[0])
    return per_step * run.steps_per_epoch + per_picture * len(val)


def seconds_of_picture(model: SegmentationModel, image: Any) -> float:
    """How long one picture takes through the network: the median, after one to warm up."""
    device = next(iter(model.parameters())).device
    times = []
    for _ in range(1 + TIMED_PICTURES):
        start = time.perf_counter()
        predict_logits(model, image)
        backend.synchronize(device)
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[TIMED_PICTURES // 2]


def peak_memory() -> float | None:
    """The most memory that this process has held, in MiB; None where that cannot be told."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it made this process
        lines = status.read_text().splitlines()
        peak = next((line for line in lines if line.startswith("VmHWM:")), None)
        if peak is not None:
            return round(int(peak.split()[1]) / 2**10, 1)
    try:
        import resource  # there is none on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
