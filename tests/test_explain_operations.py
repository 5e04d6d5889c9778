"""The operations by name, with their arguments as text."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from minisegnet import explain

EXAMPLES = {
    "conv": {"input": "1 2 3; 4 5 6", "kernel": "1 0; 2 -1", "bias": "5", "padding": "same"},
    "conv-transpose": {
        "input": "1 2; 3 4", "kernel": "1 0; 1 1", "stride": "2,1", "padding": "1",
        "output-padding": "1,0", "dilation": "1",
    },
    "max-pool": {"input": "1 2 3; 4 5 6", "kernel_size": "2", "stride": "1", "ceil-mode": "yes"},
    "max-unpool": {"input": "1 3; 2 4", "indices": "4 3; 8 15", "kernel-size": "2"},
    "bed-of-nails": {"input": "1 4; 3 2", "scale": "2,3"},
    "interpolate": {
        "input": "1 3; 2 0", "scale-factor": "1.5", "mode": "bilinear", "align-corners": "no",
    },
    "softmax": {"input": "2 30", "names": "cat, background"},
    "cross-entropy": {"input": "2 30; 1 1", "target": "0 1", "weight": "1 2"},
    "dice": {"prediction": "1 0; 1 1", "target": "1 1; 0 1"},
    "iou": {"prediction": "1 0; 1 1", "target": "1 1; 0 1", "positive": "0"},
    "confusion-matrix": {"prediction": "1 0; 2 1", "target": "1 1; 0 1", "num-classes": "3"},
}  # fmt: skip


@pytest.mark.parametrize("name", explain.OPERATIONS)
def test_every_operation_runs_from_text(name: str):
    operation = explain.operation(name)
    walk = operation.from_text(EXAMPLES[name])
    assert walk.op == operation.name
    assert explain.operation(operation.name) is operation
    assert str(walk)
    # The arguments are those of the function, in its words and with its defaults.
    parameters = inspect.signature(operation.function).parameters
    for argument in operation.arguments:
        parameter = parameters[argument.name]
        assert argument.is_required == (parameter.default is inspect.Parameter.empty)
        if not argument.is_required and argument.name != "dim":
            assert argument.default == parameter.default
    assert set(parameters) - {a.name for a in operation.arguments} <= {"groups"}


def test_the_values_arrive():
    walk = explain.operation("deconv").from_text(EXAMPLES["conv-transpose"])
    want = explain.conv_transpose2d(
        [[1, 2], [3, 4]], [[1, 0], [1, 1]], stride=(2, 1), padding=1, output_padding=(1, 0)
    )
    np.testing.assert_array_equal(walk.result, want.result)
    softmax = explain.operation("softmax").from_text(EXAMPLES["softmax"])
    assert "1 (background)" in str(softmax)
    cost = explain.operation("cross_entropy").from_text(EXAMPLES["cross-entropy"])
    assert float(cost.result) == pytest.approx((28 + 2 * np.log(2)) / 3)


@pytest.mark.parametrize(
    ("name", "texts", "message"),
    [
        ("convtranspose", {}, "unknown operation 'convtranspose': did you mean 'conv-transpose'"),
        ("conv", {"input": "1 2"}, "give --kernel, the kernel"),
        ("conv", {"input": "1 2; 3", "kernel": "1"}, "--input: row 2 of .* has 1 values and row 1"),
        ("conv", {"input": "1 x", "kernel": "1"}, "--input: 'x' in .* is not a number"),
        ("conv", {"input": "1;;2", "kernel": "1"}, "row 2 of .* is empty"),
        ("conv", {"strides": "1"}, "no option 'strides': did you mean 'stride'"),
        ("conv", {"stride": "a"}, '--stride: "a" is neither one whole number nor two'),
        ("conv", {"stride": "1,2,3"}, "neither one whole number nor two"),
        ("interpolate", {"mode": "bilinera"}, "--mode: .* did you mean 'bilinear'"),
        ("interpolate", {"align_corners": "perhaps"}, "neither yes nor no"),
        ("softmax", {"dim": "x"}, '--dim: "x" is not a whole number'),
    ],
)
def test_errors_name_the_option(name: str, texts: dict, message: str):
    with pytest.raises(ValueError, match=message):
        explain.operation(name).from_text(texts)


def test_matrices_and_cells_from_text():
    assert explain.parse_matrix("1 2; 3 4").dtype == np.int64
    assert explain.parse_matrix("1, 2.5;\n3, 4;").tolist() == [[1, 2.5], [3, 4]]
    assert explain.parse_matrix("-3").tolist() == [[-3]]
    assert explain.parsed_cell("1, 2") == (1, 2)
    with pytest.raises(ValueError, match="give a row and a column"):
        explain.parsed_cell("1")
