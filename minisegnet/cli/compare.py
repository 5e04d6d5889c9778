"""``minisegnet compare``: every network under one budget, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from minisegnet import plot
from minisegnet.cli.checked import checked, checked_by
from minisegnet.cli.display import counted
from minisegnet.cli.errors import FAILED, INTERRUPTED, Command
from minisegnet.cli.pictures import colours
from minisegnet.models import names
from minisegnet.train import Run
from minisegnet.train.compare import DEFAULTS, Comparison, Result
from minisegnet.train.compare_files import (
    CSV,
    FIGURE,
    MARKDOWN,
    PREDICTIONS,
    table_rows,
    write_csv,
    write_markdown,
)
from minisegnet.train.defaults import absolute, typed_over
from minisegnet.train.option_checks import real, whole
from minisegnet.train.options import check_option
from minisegnet.train.recipes import options_of
from minisegnet.train.setup import SHAPES

SECONDS = 60.0
PARAMETERS = 300_000


def _models(ctx: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    """The names between commas, checked; all of them for "all"."""
    if value.strip().lower() == "all":
        return names()
    given = [check_option("model", each.strip(), "--models") for each in value.split(",")]
    if len(set(given)) < len(given):
        raise click.BadParameter(f"{value!r} names a network twice", ctx, parameter)
    return given


def _count(value: str) -> int:
    """A whole number, which may be written with commas."""
    return int(whole(1)(value.replace(",", "")))


@click.command(cls=Command)
@click.option(
    "--data",
    metavar="shapes|PATH",
    callback=checked("data"),
    help="Procedural shapes, or a folder of images and masks.  [default: shapes]",
)
@click.option(
    "--models",
    metavar="all|A,B,...",
    default="all",
    callback=_models,
    help="The networks, see 'minisegnet models'.  [default: all]",
)
@click.option(
    "--parameters",
    metavar="N",
    default=str(PARAMETERS),
    callback=checked_by(_count),
    help=f"Bring every network near so many.  [default: {PARAMETERS:,}]",
)
@click.option(
    "--seconds",
    metavar="X",
    callback=checked_by(real("give a number above 0, say 60", lambda x: x > 0)),
    help=f"Train every network about so long.  [default: {SECONDS:g}, without --epochs]",
)
@click.option(
    "--epochs",
    metavar="N",
    callback=checked("epochs"),
    help="Train every network on the same pictures, so many times through them.",
)
@click.option("--size", metavar="N", callback=checked("size"), help="Shorter side of the pictures.")
@click.option(
    "--lr",
    metavar="X",
    callback=checked("lr"),
    help=f"Learning rate.  [default: {DEFAULTS['lr']}, or that of --config]",
)
@click.option(
    "--config",
    metavar="FILE.toml|NAME",
    help="Options of training from a file or a recipe: all but the network's.",
)
@click.option(
    "--out",
    metavar="DIR",
    callback=checked("out"),
    help="Folder of the comparison.  [default: runs/comparison-<data>]",
)
@click.option(
    "--seed",
    metavar="N",
    callback=checked("seed"),
    help="The same for every network.  [default: 0]",
)
@click.option(
    "--device",
    metavar="auto|cpu|cuda",
    callback=checked("device"),
    help="Where to compute.  [default: auto]",
)
def compare(
    models: list[str],
    parameters: int,
    seconds: float | None,
    epochs: int | None,
    config: str | None,
    out: str | None,
    **given: Any,
) -> int:
    """Train networks of one size for one time on the same pictures, and compare them.

    Each is brought near --parameters by its width, and trained with the same optimizer and
    schedule. Repeated with the same --out, it goes on: what is finished is not trained again.
    """
    if seconds is None and epochs is None:
        seconds = SECONDS
    typed = {name: value for name, value in given.items() if value is not None}
    options = typed_over({} if config is None else options_of(config), typed)
    folder = Path(out or _default_folder(options.get("data", SHAPES)))
    comparison = Comparison(folder, options, models, parameters, seconds, epochs)
    click.echo(_told(comparison))
    try:
        for name in comparison.names:
            _train(comparison, name)
    except KeyboardInterrupt:
        _leave(comparison)
        done = sum(not row.error for row in comparison.results())
        click.echo(
            f"interrupted: {done} of {len(models)} networks are done and kept in {folder}. To go "
            "on, give the same command again"
        )
        return INTERRUPTED
    _leave(comparison)
    results = comparison.results()
    if all(row.error for row in results):
        click.echo(f"every network failed: {folder / MARKDOWN} says why")
        return FAILED
    click.echo(f"{folder} holds {CSV}, {MARKDOWN}, {FIGURE}, {PREDICTIONS}, and a run a network")
    return 0


def _default_folder(data: str) -> Path:
    return Path("runs") / f"comparison-{_name_of(data)}"


def _name_of(data: str) -> str:
    """The last part of a path, also of one such as "." or ".."."""
    return data if data == SHAPES else Path(absolute(data)).name


def _told(comparison: Comparison) -> str:
    """What is done, in a sentence: the head of the table too."""
    budget = (
        f"about {comparison.seconds:g} s"
        if comparison.seconds is not None
        else counted(comparison.epochs or 0, "epoch")
    )
    options = comparison.options
    return (
        f"Networks of about {comparison.parameters:,} parameters, trained for {budget} each on "
        f"{_name_of(options.get('data', SHAPES))}: {options['optimizer']}, learning rate "
        f"{options['lr']:g}, schedule {options['schedule']}, crop {_crop(options['crop'])}, seed "
        f"{options.get('seed', 0)}."
    )


def _crop(crop: int | list[int]) -> str:
    return "x".join(map(str, crop)) if isinstance(crop, list) else f"{crop}x{crop}"


def _train(comparison: Comparison, name: str) -> None:
    """Train one network, or take its result, and show a line."""
    known = comparison.finished(name)
    if known is None:
        plan = comparison.plan(name)
        off = 100 * (plan.parameters / comparison.parameters - 1)
        click.echo(f"{name}: {plan.parameters:,} parameters ({off:+.1f} %), training")
    result = comparison.train(name)
    if result.error:
        click.echo(f"{name}: failed: {result.error}")
        return
    again = ", done before" if known is not None else ""
    click.echo(
        f"{name}: mean IoU {result.mean_iou:.4f}, pixel accuracy {result.pixel_accuracy:.4f}, "
        f"{counted(result.epochs or 0, 'epoch')} in {result.seconds:.0f} s{again}"
    )


def _leave(comparison: Comparison) -> None:
    """Write tables and pictures of what is done, and show the table."""
    results = comparison.results()
    if not results:
        return
    write_csv(results, comparison.folder / CSV)
    write_markdown(results, comparison.folder / MARKDOWN, _told(comparison))
    done = [row for row in results if not row.error]
    if done:
        plot.comparison(
            [(row.model, row.milliseconds or 0.0, row.mean_iou or 0.0) for row in done],
            comparison.folder / FIGURE,
            xlabel="milliseconds a picture",
        )
        _draw_predictions(comparison, done)
    _show(table_rows(results))


def _show(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        click.echo(f"{first:{widths[0]}}  {'  '.join(cells)}")


def _draw_predictions(comparison: Comparison, done: Sequence[Result]) -> None:
    """One picture of the validation, and what every network makes of it."""
    predicted: dict[str, np.ndarray] = {}
    for row in done:
        run = Run.open(comparison.run_folder(row.model))
        val = run.data("val")
        image, truth = val[len(val) // 2]
        model = run.best_model(run.options["device"])
        predicted[f"{row.model}\nmean IoU {row.mean_iou:.3f}"] = run.classes_at_scale(model, image)
    plot.side_by_side(
        image,
        {"truth": truth, **predicted},
        comparison.folder / PREDICTIONS,
        class_names=run.found["class_names"],
        ignore_index=val.ignore_index,
        palette=colours(run),
    )
