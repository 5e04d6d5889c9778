"""``minisegnet train`` and ``minisegnet resume``."""

from __future__ import annotations

from typing import Any

import click

from minisegnet.cli.checked import checked
from minisegnet.cli.display import Display, counted, score
from minisegnet.cli.errors import INTERRUPTED, Command
from minisegnet.cli.pictures import draw_curves, draw_predictions
from minisegnet.train import DivergedError, Run, Trainer
from minisegnet.train.defaults import described_default, typed_over
from minisegnet.train.options import OPTIONS, Option
from minisegnet.train.recipes import options_of
from minisegnet.train.run_folder import quoted
from minisegnet.train.saving import BEST, CONFIG, CURVES, HISTORY, LAST, PREDICTIONS, saved_history

QUIET_HELP = "Print only the result."


def _click_option(option: Option) -> click.Option:
    default = described_default(option.name)
    return click.Option(
        [option.flag],
        is_flag=not option.metavar,
        default=None,
        metavar=option.metavar or None,
        callback=checked(option.name),
        help=option.help + (f"  [default: {default}]" if default else ""),
    )


@click.command(cls=Command, params=[_click_option(option) for option in OPTIONS])
@click.option(
    "--config",
    metavar="FILE.toml|NAME",
    help="Read options from a file, or follow a recipe (see 'minisegnet recipes'); those typed "
    "here win.",
)
def train(config: str | None, **given: Any) -> int:
    """Train a network and score it on pictures that it has not seen.

    Without options: a toy U-Net on procedural 64x64 shapes, within a minute.
    """
    typed = {name: value for name, value in given.items() if value is not None}
    run = Run.start(typed_over({} if config is None else options_of(config), typed))
    return _train(run, run.trainer(), run.options["quiet"])


@click.command(cls=Command)
@click.argument("folder", metavar="DIR")
@click.option("--epochs", metavar="N", callback=checked("epochs"), help="Epochs in all.")
@click.option(
    "--data", metavar="PATH", callback=checked("data"), help="Where the folder of pictures is now."
)
@click.option(
    "--device",
    metavar="auto|cpu|cuda",
    callback=checked("device"),
    help="Where to compute.  [default: as before]",
)
@click.option("--quiet", is_flag=True, help=QUIET_HELP)
def resume(
    folder: str, epochs: int | None, data: str | None, device: str | None, quiet: bool
) -> int:
    """Go on with the run in DIR, to N epochs in all.

    The result is that of a run which was never interrupted. A run that is finished takes note of
    --data, and no more.
    """
    run = Run.open(folder)
    run.change(epochs=epochs, data=data, device=device)
    trainer = run.trainer()
    if trainer.epoch >= run.options["epochs"]:
        if data is not None:
            run.record_data()
        return _already_finished(run, trainer)
    if not quiet:
        done = f"epoch {trainer.epoch} is done" if trainer.epoch else "no epoch is done yet"
        click.echo(f"resuming {run.folder}: {done}, going on to {run.options['epochs']}")
    return _train(run, trainer, quiet)


def _already_finished(run: Run, trainer: Trainer) -> int:
    """Say so, and draw again what an interruption may have left out of date."""
    _draw(run, trainer)
    done = trainer.epoch
    click.echo(
        f"{run.folder} is finished: {counted(done, 'epoch')} done, {run.options['epochs']} wanted. "
        f"To go on: minisegnet resume {quoted(run.folder)} --epochs {2 * done}"
    )
    return 0


def _train(run: Run, trainer: Trainer, quiet: bool) -> int:
    """Train, save, draw, and say what came out."""
    if not quiet:
        click.echo(_heading(run, trainer))
        if run.loaded_weights is not None:
            click.echo(run.loaded_weights)
    try:
        with Display(run.options["epochs"], trainer.history, quiet) as display:
            run.train(trainer, display.step, display.epoch)
        _draw(run, trainer)
    except KeyboardInterrupt:
        return _interrupted(run, trainer)
    except DivergedError as error:
        lr = run.options["lr"]
        raise DivergedError(
            f"{error.what}: train again with a lower learning rate, say --lr "
            f"{lr / 10:g} instead of {lr:g}; what was saved before is in {run.folder}"
        ) from error
    click.echo(_summary(run, trainer))
    return 0


def _interrupted(run: Run, trainer: Trainer) -> int:
    """Say what is saved; the files of the last complete epoch are there already."""
    history = saved_history(run.folder)
    click.echo(
        f"interrupted: {len(history)} of {run.options['epochs']} epochs are saved in {run.folder}. "
        f"To go on: minisegnet resume {quoted(run.folder)}"
    )
    if history:
        draw_curves(history, run.folder / CURVES)
    return INTERRUPTED


def _heading(run: Run, trainer: Trainer) -> str:
    weights = sum(parameter.size for parameter in trainer.model.parameters())
    train, val = counted(len(run.data("train")), "picture"), len(run.data("val"))
    return (
        f"{run.options['model']} of {weights:,} weights on {run.options['device']}; "
        f"{run.options['data']}: {run.options['classes']} classes, {train} to learn from, {val} to "
        "score on; "
        f"writing to {run.folder}"
    )


def _draw(run: Run, trainer: Trainer) -> None:
    draw_curves(trainer.history, run.folder / CURVES)
    draw_predictions(run, run.folder / PREDICTIONS)


def _summary(run: Run, trainer: Trainer) -> str:
    best = trainer.history[trainer.best_epoch - 1]
    seconds = sum(row.seconds for row in trainer.history)
    files = (
        (CONFIG, "the options"),
        (HISTORY, "losses and scores by epoch"),
        (BEST, f"the weights of epoch {best.epoch}, the best"),
        (LAST, "everything to go on from"),
        (CURVES, "the history as curves"),
        (PREDICTIONS, "pictures, truth, predictions, errors"),
    )
    lines = [
        f"{counted(trainer.epoch, 'epoch')} in {seconds:.0f} s. On "
        f"{counted(len(run.data('val')), 'mask')} it has not seen: mean IoU "
        f"{score(best.mean_iou)}, pixel accuracy {score(best.pixel_accuracy)} (epoch "
        f"{best.epoch})",
        f"{run.folder} holds",
        *(f"  {name:18} {what}" for name, what in files),
        f"next: minisegnet evaluate {quoted(run.folder)}",
    ]
    return "\n".join(lines)
