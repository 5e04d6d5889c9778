"""The benchmark for GPUs, as far as it can be tried without one."""

from __future__ import annotations

import sys

import numpy as np
import PIL.Image
import pytest

from minisegnet import backend as libraries
from tests import strict_graph
from tests.benchmarks import gpu, gpu_camvid, gpu_engines, gpu_page
from tests.benchmarks.cases import OPERATIONS
from tests.strict_rules import counting

MADE_UP = gpu_page.Results(
    about=[("date", "2026-01-02"), ("card", "Made Up 9000, 80 GiB")],
    steps=[
        {
            "name": "UNet (base 8)",
            "images": 8,
            "memory": 3 << 20,
            "float32 eager": 12.0,
            "float32 captured": 4.0,
            "float32 PyTorch": 8.0,
            "tf32 eager": 10.0,
            "tf32 captured": "RuntimeError",
            "tf32 PyTorch": 5.0,
        }
    ],
    operations=[{"name": "relu", "float32": 0.25, "float32 PyTorch": 0.5, "tf32": 0.125}],
    camvid=[
        {
            "name": "tutorialfcn",
            "epochs": 3,
            "wanted": 200,
            "pixel_accuracy": 0.866,
            "mean_iou": 0.5,
            "images_per_second": 185.4,
            "minutes": 1.25,
        }
    ],
    tests=["12 passed"],
    notes=["Failed: the moon: ValueError: no cheese"],
)


def cells(page, name):
    row = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_the_page_holds_the_figures_and_what_failed(tmp_path):
    page = tmp_path / "gpu.md"
    page.write_text("before\n" + gpu_page.empty() + "after\n", encoding="utf-8")
    gpu_page.write(page, gpu_page.Results())
    gpu_page.write(page, MADE_UP)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n")
    assert text.count(gpu_page.BEGIN) == text.count(gpu_page.END) == 1
    assert gpu_page.NOT_MEASURED not in text
    assert "date: 2026-01-02; card: Made Up 9000, 80 GiB." in text
    # The best of ours (4 ms, 10 ms) to PyTorch's 8 and 5; 8 images in 4 ms are 2000 a second.
    steps = ["12", "4", "8", "10", "RuntimeError", "5", "0.50", "2.00", "2000", "3 MiB / -"]
    assert cells(text, "UNet (base 8)") == steps
    assert cells(text, "relu") == ["0.25", "0.5", "0.125", "-", "0.50", "-"]
    assert cells(text, "tutorialfcn") == ["3 of 200", "86.6 %", "50.0 %", "185", "1.2"]
    assert "- Failed: the moon: ValueError: no cheese" in text
    assert "    12 passed" in text


def test_a_page_without_marks_is_left_alone(tmp_path):
    page = tmp_path / "gpu.md"
    page.write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="has no place for the tables"):
        gpu_page.write(page, MADE_UP)
    assert page.read_text(encoding="utf-8") == "mine"


def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(libraries, "_by_device", {"cpu": libraries.library_for("cpu")})
    monkeypatch.setattr(libraries, "_cuda_problem", "the slot is empty")
    assert gpu.main(["--out", str(tmp_path / "out")]) == gpu.NO_GPU != 0
    assert capsys.readouterr().err == "error: no GPU to measure: the slot is empty\n"
    assert not (tmp_path / "out").exists()


@pytest.fixture
def measuring(tmp_path, monkeypatch):
    """The whole benchmark on the stand-in, without PyTorch."""
    strict_graph.install(monkeypatch)
    monkeypatch.setitem(sys.modules, "torch", None)

    class OnStandIn(gpu_engines.OnGpu):
        def __init__(self):
            before = libraries.library_for("cpu")
            assert before is not None
            import minisegnet

            self.library = minisegnet
            self.functional, self.optim = minisegnet.functional, minisegnet.optim
            self.device = "strict"

    monkeypatch.setattr(gpu, "OnGpu", OnStandIn)
    monkeypatch.setattr(gpu, "milliseconds", lambda work, wait: (work(), work(), work(), 2.5)[-1])
    return gpu.Measuring(tmp_path / "gpu.md", 60.0, None)


def test_steps_are_timed_both_ways(measuring, monkeypatch):
    monkeypatch.setattr(gpu, "SIZES", [(2, 1, 2, 8)])
    monkeypatch.setattr(gpu, "TUTORIAL", ())
    measuring.part("steps", measuring.steps)
    text = measuring.page.read_text(encoding="utf-8")
    found = cells(text, "UNet (base 2, depth 1), 2 x 3x8x8")
    assert found[:6] == ["2.5", "2.5", "-", "2.5", "2.5", "-"]
    assert found[8] == "800"
    assert "Failed" not in text and "Without PyTorch" in text
    assert strict_graph.events.count("begin") == 2
    assert strict_graph.events.count("launch") == 2


@pytest.mark.parametrize("case", [*OPERATIONS, *gpu.ALONE], ids=lambda case: case.name)
def test_every_operation_runs_on_the_stand_in_and_never_waits(measuring, monkeypatch, case):
    small = {name: getattr(case, name) for name in getattr(case, "__dataclass_fields__", {})}
    if "shapes" in small:
        first, *others = small["shapes"]
        case = type(case)(**{**small, "shapes": ((1, first[1], 6, 6), *others)})
    monkeypatch.setattr(gpu, "OPERATIONS", [case])
    monkeypatch.setattr(gpu, "ALONE", [])

    def watched(work, wait):
        work()
        with counting() as seen:
            work()
        assert (seen.synchronisations, seen.uploads) == (0, 0)
        return 2.5

    monkeypatch.setattr(gpu, "milliseconds", watched)
    measuring.part("operations", measuring.operations)
    assert cells(measuring.page.read_text("utf-8"), case.name) == ["2.5", "-", "2.5", "-", "-", "-"]


def test_a_part_that_fails_does_not_stop_the_others(measuring):
    def broken():
        raise ArithmeticError("two and two")

    measuring.part("first", broken)
    measuring.end = 0.0
    measuring.part("second", broken)
    text = measuring.page.read_text(encoding="utf-8")
    assert "Failed: first: ArithmeticError: two and two" in text
    assert "no time left: second" in text


def test_milliseconds_are_those_of_one_call():
    import time

    found = gpu.milliseconds(lambda: time.sleep(0.004), lambda: None, seconds=0.1)
    assert 3.9 < found < 40


def test_training_on_camvid_stops_in_time(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    for split, count in (("train", 5), ("val", 2)):
        for folder, high in ((split, 256), (f"{split}annot", 12)):
            (tmp_path / folder).mkdir()
            for number in range(count):
                shape = (36, 48, 3) if high == 256 else (36, 48)
                values = rng.integers(0, high, shape, dtype=np.uint8)
                PIL.Image.fromarray(values).save(tmp_path / folder / f"{number}.png")
    for name, options in gpu_camvid.RUNS.items():
        small = {**options, "base": 2, "batch_size": 2, "crop": "32x48"}
        monkeypatch.setitem(gpu_camvid.RUNS, name, small)
        found = gpu_camvid.train(name, str(tmp_path), seconds=0.0, device="cpu")
        assert (found["epochs"], found["wanted"]) == (1, 200)
        assert 0 <= found["pixel_accuracy"] <= 1 and found["images_per_second"] > 0


@pytest.mark.torch
@pytest.mark.parametrize(("skips", "weights"), [(False, 1_384_652), (True, 1_554_636)])
def test_the_tutorial_in_pytorch_is_the_tutorial(skips, weights):
    torch = pytest.importorskip("torch")
    from minisegnet.models import TutorialFCN, TutorialUNet

    model = gpu_engines.tutorial(torch, 12, skips)
    assert sum(p.numel() for p in model.parameters()) == weights
    ours = (TutorialUNet if skips else TutorialFCN)()
    rng = np.random.default_rng(2)
    x = rng.standard_normal((1, 3, 16, 32)).astype(np.float32)
    theirs = dict(model.named_parameters())
    for name, parameter in ours.named_parameters():
        theirs[name].data = torch.from_numpy(np.array(parameter.data))
    import minisegnet as ms

    expected = model(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours(ms.tensor(x)).numpy(), expected, atol=1e-4)
