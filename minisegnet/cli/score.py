"""``minisegnet evaluate`` and ``minisegnet predict``."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from minisegnet import plot
from minisegnet.checkpoint import atomic_write
from minisegnet.cli.checked import checked
from minisegnet.cli.display import counted, score
from minisegnet.cli.errors import Command
from minisegnet.cli.pictures import colours
from minisegnet.data.layouts import image_files
from minisegnet.train import Evaluation, Run
from minisegnet.train.run_folder import require_writable

LONGEST_STEM = 200
"""Bytes of a picture's name that the names of its mask and overlay take over."""

DEVICE_OPTION = click.option(
    "--device",
    metavar="auto|cpu|cuda",
    default="auto",
    callback=checked("device"),
    help="Where to compute.  [default: auto]",
)
CRF_OPTION = click.option(
    "--crf",
    is_flag=True,
    help="Pass the network's output through a fully connected conditional random field (10 rounds "
    "of mean field), which makes labels follow the edges of the picture and removes specks. "
    "Whether that helps, 'minisegnet evaluate' tells, with and without it.",
)


@click.command(cls=Command)
@click.argument("folder", metavar="DIR")
@click.option(
    "--data",
    metavar="PATH",
    callback=checked("data"),
    help="Another folder of images and masks.  [default: the run's validation pictures]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
@CRF_OPTION
@DEVICE_OPTION
def evaluate(folder: str, data: str | None, as_json: bool, crf: bool, device: str) -> None:
    """Score the best weights of the run in DIR.

    On the run's own validation pictures, or on those of another folder: on its validation part if
    it has one of its own, else on all of it.
    """
    run = Run.open(folder)
    scores = run.evaluate(data, device, crf)
    if as_json:
        click.echo(json.dumps(_as_json(run, scores), indent=2))
        return
    where = data or f"the validation part of {run.options['data']}"
    click.echo(f"{run.folder} on {counted(scores.images, 'picture')} of {where}")
    click.echo(scores.matrix.table())
    click.echo(_summary(scores))


def _summary(scores: Evaluation) -> str:
    """The figures that papers give, a line each."""
    matrix, boundary, rand = scores.matrix, scores.boundary, scores.rand
    lines = [
        ("global accuracy", matrix.pixel_accuracy(), "pixels that are right"),
        ("class average", matrix.mean_class_accuracy(), "mean recall of the classes"),
        ("mean IoU", matrix.mean_iou(), ""),
    ]
    if boundary is not None:
        lines.append(("boundary F1", boundary.mean(), "edges, to 0.75 % of the diagonal"))
    if rand is not None:
        told = (
            f"pieces of {matrix.class_names[1]}: split {score(rand.split())}, merge "
            f"{score(rand.merge())}; adjusted Rand index {score(rand.adjusted())}"
        )
        lines.append(("Rand F-score", rand.f_score(), told))
    return "\n".join(f"{name:16} {score(value)}  {told}".rstrip() for name, value, told in lines)


def _as_json(run: Run, scores: Evaluation) -> dict[str, Any]:
    """Scores as fractions; null where a class is absent."""
    matrix = scores.matrix
    names = matrix.class_names

    def by_class(values: Iterable[float]) -> dict[str, float | None]:
        return {name: _or_null(value) for name, value in zip(names, values, strict=True)}

    table = {
        "mean_iou": _or_null(matrix.mean_iou()),
        "pixel_accuracy": _or_null(matrix.pixel_accuracy()),
        "mean_class_accuracy": _or_null(matrix.mean_class_accuracy()),
        "mean_dice": _or_null(matrix.mean_dice()),
        "loss": _or_null(scores.loss),
        "iou": by_class(matrix.iou()),
        "dice": by_class(matrix.dice()),
        "class_accuracy": by_class(matrix.class_accuracy()),
        "images": scores.images,
    }
    if scores.boundary is not None:
        table["mean_boundary_f1"] = _or_null(scores.boundary.mean())
        table["boundary_f1"] = by_class(scores.boundary.by_class())
    if scores.rand is not None:
        table["rand_f_score"] = _or_null(scores.rand.f_score())
        table["rand_split"] = _or_null(scores.rand.split())
        table["rand_merge"] = _or_null(scores.rand.merge())
        table["adjusted_rand_index"] = _or_null(scores.rand.adjusted())
    return table


def _or_null(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


@click.command(cls=Command)
@click.argument("folder", metavar="DIR")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option(
    "--out",
    metavar="DIR",
    default="predictions",
    callback=checked("out"),
    help="Folder for the masks.  [default: predictions]",
)
@CRF_OPTION
@DEVICE_OPTION
def predict(folder: str, images: tuple[str, ...], out: str, crf: bool, device: str) -> None:
    """Label every pixel of pictures by the run in DIR.

    Of each IMAGE (a folder stands for all the pictures in it) come NAME.png, one channel of class
    indices, and NAME-overlay.png, both at the picture's own size. A picture that cannot be read is
    left out and named at the end.
    """
    run = Run.open(folder)
    require_writable(Path(out))
    paths = _pictures(images)
    model = run.best_model(device)
    targets = _targets(paths, Path(out))
    bad: list[str] = []
    for path, (mask_path, overlay_path) in zip(paths, targets, strict=True):
        try:
            image = run.read_image(path)
        except (ValueError, OSError) as error:
            bad.append(str(error))
            continue
        try:
            mask = run.predict(model, image, crf)
        except MemoryError:
            size = "x".join(map(str, image.shape[1:]))
            bad.append(f"{path} of {size} needs too much memory: shrink it, or cut it into tiles")
            continue
        Path(out).mkdir(parents=True, exist_ok=True)
        _write_png(mask.astype(np.uint8), mask_path)
        _write_png(plot.overlay(image, mask, palette=colours(run)), overlay_path)
        click.echo(f"{path} -> {mask_path}, {overlay_path.name}")
    if bad:
        rest = len(paths) - len(bad)
        written = f" ({rest} of {counted(len(paths), 'picture')} done, see {out})" if rest else ""
        raise ValueError("; ".join(bad) + written)


def _pictures(given: Sequence[str]) -> list[Path]:
    """The pictures named, those of a folder in natural order."""
    paths: list[Path] = []
    for name in given:
        if not name.strip():
            raise ValueError("IMAGE is empty: give the path of a picture, or . for this folder's")
        path = Path(name)
        inside = image_files(path) if path.is_dir() else [path]
        if not inside:
            raise ValueError(f"{path} holds no pictures: name a folder that does, or files")
        paths += inside
    return paths


def _targets(paths: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Where each picture's mask and overlay go: no two the same, none over a picture.

    Raises
    ------
    ValueError
        If a file to be written is one of the pictures.
    """
    sources = {os.path.realpath(path) for path in paths}
    taken: set[str] = set()
    targets = []
    for path in paths:
        number = 1
        while True:
            stem = _short(path.stem) if number == 1 else f"{_short(path.stem)}-{number}"
            names = f"{stem}.png", f"{stem}-overlay.png"
            # Some file systems take X and x for the same name.
            if taken.isdisjoint(name.casefold() for name in names):
                break
            number += 1
        taken.update(name.casefold() for name in names)
        for name in names:
            if os.path.realpath(out / name) in sources:
                raise ValueError(
                    f"--out {out}: {out / name} is one of the pictures and would be overwritten: "
                    "name another folder"
                )
        targets.append((out / names[0], out / names[1]))
    return targets


def _short(stem: str) -> str:
    """A stem that leaves room for an ending: file systems take names of up to 255 bytes."""
    name = os.fsencode(stem)
    return stem if len(name) <= LONGEST_STEM else name[:LONGEST_STEM].decode("utf-8", "ignore")


def _write_png(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    """Write bytes (H, W) or (H, W, 3); a link of that name is replaced, not followed."""
    from PIL import Image  # imported here because reading it takes a while

    if path.is_symlink():
        path.unlink()
    with atomic_write(path, "wb") as file:
        Image.fromarray(pixels).save(file, format="PNG")
