"""Test the tests: put one fault at a time into a copy of the package, and see a test fail.

    python -m tests.faults              # all of them, about two minutes
    python -m tests.faults flip         # those whose name holds the word

Each fault is a classic mistake of engines like this one. The copy lives in a temporary folder.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Fault:
    """A piece of a file, what replaces it, and the tests that must notice."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


FAULTS = [
    Fault(
        "conv_transpose2d: kernel flipped up-down only",
        "ops/conv.py",
        "groups=groups), dims=(2, 3))",
        "groups=groups), dims=(2,))",
        "tests/test_conv.py",
    ),
    Fault(
        "conv_transpose2d: output_padding at the top and left",
        "ops/conv.py",
        "frame = (rows, rows + output_padding[0]), (columns, columns + output_padding[1])",
        "frame = (rows + output_padding[0], rows), (columns + output_padding[1], columns)",
        "tests/test_conv.py",
    ),
    Fault(
        "conv_transpose2d: padding ignores the dilation",
        "ops/conv.py",
        "(dilation[a] * (kernel[a] - 1) - padding[a] for a in (0, 1))",
        "((kernel[a] - 1) - padding[a] for a in (0, 1))",
        "tests/test_conv.py",
    ),
    Fault(
        "conv_transpose2d: groups not exchanged one by one",
        "kernels/correlate.py",
        "return grouped.swapaxes(1, 2).reshape(groups * per_group, out // groups, rows, columns)",
        "return w.swapaxes(0, 1).reshape(groups * per_group, out // groups, rows, columns)",
        "tests/test_conv.py",
    ),
    Fault(
        "correlate: stride and input dilation not exchanged in the gradient",
        "kernels/correlate.py",
        "phases(input_size, kernel_size, starts, input_dilation, stride, kernel_dilation)",
        "phases(input_size, kernel_size, starts, stride, input_dilation, kernel_dilation)",
        "tests/test_conv.py",
    ),
    Fault(
        "correlate: the gradient does not flip the kernel",
        "kernels/correlate.py",
        "exchange_channels(w, groups)[:, :, ::-1, ::-1]",
        "exchange_channels(w, groups)",
        "tests/test_conv.py",
    ),
    Fault(
        "correlate: dilation applied twice",
        "kernels/phases.py",
        "dilation=d * step // u,",
        "dilation=d * d * step // u,",
        "tests/test_conv.py",
    ),
    Fault(
        "correlate: the weight gradient of the last band only",
        "kernels/correlate.py",
        "total = part if total is None else total + part",
        "total = part",
        "tests/test_conv.py",
    ),
    Fault(
        "max_pool2d: = for += where windows overlap",
        "kernels/windows.py",
        "            if windows.overlap:\n                target[tap.cells] += share",
        "            if windows.overlap:\n                target[tap.cells] = share",
        "tests/test_pooling.py",
    ),
    Fault(
        "max_pool2d: the last of equal values wins",
        "kernels/windows.py",
        "better = seen > so_far",
        "better = seen >= so_far",
        "tests/test_pooling.py",
    ),
    Fault(
        "max_pool2d: padded with zeros",
        "kernels/windows.py",
        'return -float("inf")',
        "return 0.0",
        "tests/test_pooling.py",
    ),
    Fault(
        "interpolate: corners aligned where they should not be",
        "kernels/resample.py",
        "(np.arange(outputs) + 0.5) * step - 0.5",
        "np.arange(outputs) * step",
        "tests/test_upsampling.py",
    ),
    Fault(
        "softmax: the gradient of a uniform upstream only",
        "ops/activation.py",
        "pull = pull - scale_rows(powers, pull.sum(axis=1) / sums)",
        "pull = pull * 0",
        "tests/test_activation.py",
    ),
    Fault(
        "batch_norm: the running variance divided by n",
        "ops/normalisation.py",
        "variance * (count / (count - 1))",
        "variance",
        "tests/test_normalisation.py",
    ),
    Fault(
        "tape: a second use of a tensor overwrites its gradient",
        "tape.py",
        "share if have is None else add(have, share)",
        "share",
        "tests/test_autograd.py",
    ),
    Fault(
        "getitem: = for += where an index repeats",
        "arithmetic.py",
        "xp.add.at(spread, index, grad)",
        "spread[index] = grad",
        "tests/test_autograd.py",
    ),
    Fault(
        "division: the gradient lacks a factor 1/b",
        "arithmetic.py",
        "-grad * value / b",
        "-grad * value",
        "tests/test_autograd.py",
    ),
    Fault(
        "Adam: no bias correction of the second moment",
        "optim/adam.py",
        'math.sqrt(1 - group["betas"][1] ** state["step"])',
        "math.sqrt(1.0)",
        "tests/test_optim.py",
    ),
    Fault(
        "U-Net: upsampled map before the skip",
        "models/unet.py",
        "[_central_crop(skip, x.shape[2:]), x]",
        "[x, _central_crop(skip, x.shape[2:])]",
        "tests/test_models_unet.py",
    ),
    Fault(
        "multiply-adds: a transposed convolution counted by the cells that come out",
        "models/summary.py",
        'cells = x if name == "conv_transpose2d" else out',
        "cells = out",
        "tests/test_models_summary.py",
    ),
    Fault(
        "published weights: the maps of fc6 taken for its innermost axis",
        "models/weights.py",
        "return array.reshape(shape)",
        "return array.reshape(shape[0], *shape[2:], shape[1]).transpose(0, 3, 1, 2)",
        "tests/test_models_weights.py",
    ),
    Fault(
        "published weights: half a layer is filled",
        "models/weights.py",
        "if _layer(to) not in spoilt}",
        "if to not in wrong}",
        "tests/test_models_weights.py",
    ),
    Fault(
        "anomaly: gradients are not looked at",
        "anomaly.py",
        "_guard(event.node, _place())",
        "pass",
        "tests/test_anomaly.py",
    ),
    Fault(
        "errors: a layer does not sign",
        "nn/module.py",
        "            note_place(error, self)\n",
        "",
        "tests/test_places.py",
    ),
    Fault(
        "seeds: the upper half of a wide one is dropped",
        "data/streams.py",
        "spawn_key=upper",
        "spawn_key=[]",
        "tests/test_data_shapes.py",
    ),
    Fault(
        "resume: the generator is not restored",
        "train/loop.py",
        '        backend.generator().bit_generator.state = state["generator"]\n',
        "",
        "tests/test_resume.py",
    ),
    Fault(
        "checkpoint: a file is written in place",
        "checkpoint.py",
        'temporary = target.with_name(f".{target.name}.tmp")',
        "temporary = target",
        "tests/test_kills.py",
    ),
    Fault(
        "checkpoint: the history is written first",
        "train/saving.py",
        "        checkpoint.save(trainer.state_dict(), folder / LAST)\n"
        "        write_history(trainer.history, folder)",
        "        write_history(trainer.history, folder)\n"
        "        checkpoint.save(trainer.state_dict(), folder / LAST)",
        "tests/test_kills.py",
    ),
    Fault(
        "predict: an output is named after the whole path",
        "cli/score.py",
        "_short(path.stem) if number == 1",
        '_short(str(path.with_suffix(""))) if number == 1',
        "tests/test_bad_images.py",
    ),
    Fault(
        "gathering: overlapping windows ignore the stride",
        "kernels/gathering.py",
        "strides=(group, image, row * rows.stride, column, copy.itemsize)",
        "strides=(group, image, row, column, copy.itemsize)",
        "tests/test_fast_paths.py",
    ),
    Fault(
        "correlate: the kernel's gradient stays mirrored where both are computed at once",
        "kernels/correlate.py",
        "_mirrored(products, groups)",
        "exchange_channels(products, groups)",
        "tests/test_fast_paths.py",
    ),
    Fault(
        "relu: a gradient at 0 as well",
        "kernels/elementwise.py",
        "xp.greater(of, 0, out=mask)",
        "xp.greater_equal(of, 0, out=mask)",
        "tests/test_fast_paths.py",
    ),
    Fault(
        "batch_norm: bands put together without how far their means lie apart",
        "kernels/rows.py",
        "inside + rows * (of_band - wide_mean) ** 2",
        "inside",
        "tests/test_normalisation.py",
    ),
    Fault(
        "muon: the next square without the factor on its right",
        "kernels/orthogonal.py",
        "squared = matmul(matmul(factor, squared), factor)",
        "squared = matmul(factor, squared)",
        "tests/test_orthogonal.py",
    ),
    Fault(
        "muon: never looks ahead",
        "optim/muon.py",
        'if group["nesterov"] else buffer',
        'if not group["nesterov"] else buffer',
        "tests/test_optim.py",
    ),
    Fault(
        "muon: tall kernels step no farther",
        "optim/muon.py",
        "max(1.0, rows / columns)",
        "max(1.0, columns / rows)",
        "tests/test_optim.py",
    ),
]


def is_noticed(fault: Fault) -> bool:
    """Whether the fault's tests fail on a copy of the project that has it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("minisegnet", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        file = copy / "minisegnet" / fault.file
        text = file.read_text(encoding="utf-8")
        if text.count(fault.right) != 1:
            raise SystemExit(f"{fault.name}: {fault.right!r} is not once in {fault.file}")
        file.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not torch", fault.tests]
        run = subprocess.run(command, cwd=copy, capture_output=True, text=True)
        return run.returncode == 1


def main(words: list[str]) -> int:
    """Try the faults whose names hold one of the words; returns how many went unnoticed."""
    chosen = [f for f in FAULTS if not words or any(word in f.name for word in words)]
    unnoticed = 0
    for fault in chosen:
        noticed = is_noticed(fault)
        unnoticed += not noticed
        print(f"{'noticed  ' if noticed else 'UNNOTICED'}  {fault.name}", flush=True)
    print(f"{len(chosen) - unnoticed} of {len(chosen)} faults noticed")
    return unnoticed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
