"""Edge TPU estimate: which operators would be mapped to it.

It is checked for our networks and for graphs with known defects.
"""

import os
import stat
from dataclasses import replace

import numpy as np
import pytest
from galaxy_edge.export.errors import ExportError
from galaxy_edge.export.tflite.edgetpu import compile_for_edgetpu, mappability, unsupported
from galaxy_edge.export.tflite.reader import Graph, Op, Tensor, read_tflite
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path


def tensor(shape, dtype="int8", constant=False):
    return Tensor(
        "t", tuple(shape), dtype, np.ones(1, np.float32), np.zeros(1, np.int64), 0, (0, 1) if constant else None
    )


def graph(op, *tensors, content=b"", **options):
    """A graph of one operator whose last tensor is its output.

    The values of its constants are `content`.
    """
    count = len(tensors)
    operator = Op(op, op.islower(), tuple(range(count - 1)), (count - 1,), options)
    return Graph(tensors, (operator,), (0,), (count - 1,), content)


def whole(values, dtype):
    """A constant tensor, and the bytes of its values."""
    content = np.asarray(values, dtype).tobytes()
    return replace(tensor([len(values)], dtype), constant=(0, len(content))), content


@pytest.mark.parametrize("name", ["galaxy-detector", "galaxy-classifier"])
def test_shipped_networks_are_mapped_completely(name):
    summary = mappability(read_tflite(Bundle.load(shipped_bundle_path(name)).read("int8.tflite")).graph).summary()
    assert (
        summary["mapped"] == summary["operators"] and summary["share_of_macs"] == 1.0 and summary["on_processor"] == []
    )


@pytest.mark.parametrize("name", ["galaxy-detector", "galaxy-classifier"])
def test_their_float_forms_are_not_mapped_at_all(name):
    summary = mappability(read_tflite(Bundle.load(shipped_bundle_path(name)).read("fp32.tflite")).graph).summary()
    assert summary["mapped"] == 0 and any("float32, not 8-bit" in line for line in summary["on_processor"])


A, B, W = tensor([1, 8, 8, 4]), tensor([1, 8, 8, 4]), tensor([4, 3, 3, 4], constant=True)
FOUR, STRIDES = whole([0, 0, 0, 4], "int8"), whole([1, 2, 2, 1], "int32")
BAD = [
    (graph("EXP", A, B), "not in the table"),
    (graph("LEAKY_RELU", A, B), "not in the table"),
    (graph("TRANSPOSE", A, B), "not in the table"),
    (graph("tflite_detection_postprocess", A, B), "custom operators"),
    (graph("ADD", A, tensor([1, 8, 8, 4], "int16"), B), "int16, not 8-bit"),
    (graph("RELU", tensor([1, -1, 8, 4]), B), "size is not fixed"),
    (graph("RELU", tensor([2, 8, 8, 4]), tensor([2, 8, 8, 4])), "more than three dimensions"),
    (graph("CONV_2D", A, tensor([4, 3, 3, 4]), B), "not constant"),
    (graph("CONV_2D", A, W, B, DilationWFactor=2, DilationHFactor=1), "dilation differs"),
    (graph("MAX_POOL_2D", A, B, FusedActivationFunction=1), "fused activation"),
    (graph("CONCATENATION", A, A, W, tensor([1, 8, 8, 12]), FusedActivationFunction=0), "joins a constant"),
    (graph("FULLY_CONNECTED", tensor([8, 16]), tensor([4, 16], constant=True), tensor([8, 4])), "not one-dimensional"),
    (graph("RESIZE_BILINEAR", tensor([1, 256, 256, 64]), tensor([1, 512, 512, 64])), "large"),
    (graph("PACK", A, A, tensor([2, 1, 8, 8, 4]), Axis=0), "dimensions above 1|packs"),
    (graph("CONCATENATION", A, FOUR[0], B, content=FOUR[1], FusedActivationFunction=0), "not all zeros"),
    (graph("SOFTMAX", tensor([1, 8, 9]), tensor([1, 8, 9])), "not one-dimensional"),
    (graph("SOFTMAX", tensor([1, 20_000]), tensor([1, 20_000])), "more than 16000"),
    (graph("STRIDED_SLICE", A, STRIDES[0], STRIDES[0], STRIDES[0], B, content=STRIDES[1]), "a stride is not 1"),
    (graph("SUM", tensor([2, 8]), tensor([2], "int32", constant=True), tensor([8])), "reduces the batch"),
    (graph("MEAN", tensor([1, 8, 6]), tensor([1], "int32", constant=True), tensor([1, 8])), "not a multiple of 4"),
    (graph("SPLIT", tensor([1], "int32", constant=True), tensor([4, 8]), tensor([2, 8])), "splits the batch"),
    (graph("SQUEEZE", tensor([1, 8, 1]), tensor([1, 8])), "dimensions other than leading"),
    (graph("PRELU", A, tensor([8, 8, 4], constant=True), B), "alpha"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD, ids=[case[0].ops[0].name + " " + case[1] for case in BAD])
def test_unsupported_operators_are_reported(bad, reason):
    import re

    assert re.search(reason, unsupported(bad, bad.ops[0]))


def test_supported_variants_of_these_operators_are_mapped():
    zeros, ones = whole([0] * 4, "int8"), whole([1] * 4, "int32")
    for good in (
        graph("CONCATENATION", A, zeros[0], B, content=zeros[1], FusedActivationFunction=0),
        graph("SOFTMAX", tensor([1, 1000]), tensor([1, 1000])),
        graph("STRIDED_SLICE", A, ones[0], ones[0], ones[0], B, content=ones[1]),
        graph("MEAN", tensor([1, 8, 8]), tensor([1], "int32", constant=True), tensor([1, 8])),
        graph("SQUEEZE", tensor([1, 1, 8]), tensor([8])),
    ):
        assert unsupported(good, good.ops[0]) == ""


def test_what_comes_after_an_unmapped_operator_stays_on_the_processor():
    # conv, exp, conv: the compiler maps one run of operators from the input on.
    tensors = (A, W, B, B, W, B)
    ops = (
        Op("CONV_2D", False, (0, 1), (2,), {}),
        Op("EXP", False, (2,), (3,), {}),
        Op("CONV_2D", False, (3, 4), (5,), {}),
    )
    result = mappability(Graph(tensors, ops, (0,), (5,)))
    assert [bool(op.reason) for op in result.ops] == [False, True, True]
    assert "comes after" in result.ops[2].reason
    assert result.summary()["share_of_macs"] == 0.5 and result.ops[0].macs == 8 * 8 * 4 * 3 * 3 * 4
    assert "command" in result.summary() and replace(result.ops[0], reason="x").reason == "x"


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A function that puts a stand-in for edgetpu_compiler on PATH.

    Its form is the real one's, its work is not.
    """

    def install(script):
        path = tmp_path / "bin" / "edgetpu_compiler"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")

    return install


def test_the_compiler_is_called_as_its_manual_says(compiler):
    # edgetpu_compiler --show_operations --out_dir DIR int8.tflite writes DIR/int8_edgetpu.tflite.
    compiler(
        '[ "$1 $2" = "--show_operations --out_dir" ] && cp "$4" "$3/int8_edgetpu.tflite" && echo x >> "$3/int8_edgetpu.tflite"'
    )
    assert compile_for_edgetpu(b"network ") == b"network x\n"


def test_a_compiler_that_fails_or_is_missing(compiler, monkeypatch, caplog):
    """A missing compiler is reported with the command for later.

    One that fails ends the export.
    """
    caplog.set_level("INFO", "galaxy_edge")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert compile_for_edgetpu(b"network") is None
    assert "edgetpu_compiler --show_operations int8.tflite" in caplog.messages[0]
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    compiler("echo Invalid model >&2; exit 1")
    with pytest.raises(ExportError, match="edgetpu_compiler failed: Invalid model"):
        compile_for_edgetpu(b"network")
