"""The TFLite reader agrees with the interpreter and refuses damaged files."""

import json
import os
import signal
import time

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from galaxy_edge.benchmarks.robustness.fuzz_models import fuzz, mutations
from galaxy_edge.export.errors import ExportError
from galaxy_edge.export.tflite.reader import read_tflite
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.runtime.inference.sandbox import SandboxedLoader, check_model_loads
from galaxy_edge.runtime.system import isolated
from helpers.paths import REFERENCE


@pytest.fixture(scope="module")
def int8():
    return Bundle.load(shipped_bundle_path("galaxy-classifier")).read("int8.tflite")


def test_reader_agrees_with_the_interpreter(int8):
    interpreter = Interpreter(
        model_content=int8, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    graph = read_tflite(int8).graph
    assert list(graph.inputs) == [entry["index"] for entry in interpreter.get_input_details()]
    assert list(graph.outputs) == [found["index"] for found in interpreter.get_output_details()]
    # The interpreter adds scratch tensors of its own behind those of the file.
    for tensor, theirs in zip(graph.tensors, interpreter.get_tensor_details(), strict=False):
        assert (tensor.name, tensor.dtype) == (theirs["name"], np.dtype(theirs["dtype"]).name)
        assert list(tensor.shape) == theirs["shape"].tolist()
        np.testing.assert_array_equal(tensor.scales, theirs["quantization_parameters"]["scales"])
    assert [op.name for op in graph.ops] == [op["op_name"] for op in interpreter._get_ops_details()]


def test_file_that_is_not_tflite_is_refused(int8):
    for content in (b"", b"TFL3", b"PK\x03\x04" * 20, int8[4:]):
        with pytest.raises(ExportError, match="does not begin with TFL3"):
            read_tflite(content)
    for end in (24, 100, len(int8) // 2):
        with pytest.raises(ExportError, match="damaged"):
            read_tflite(int8[:end])


def test_a_length_beyond_the_file_is_not_looped_over():
    # A vector of 2**30 entries in a file of 64 bytes: a reader that believes it is busy for minutes.
    content = bytearray(64)
    content[0:8] = (32).to_bytes(4, "little") + b"TFL3"
    content[16:18], content[18:20], content[24:26] = b"\x0c\x00", b"\x08\x00", b"\x04\x00"  # vtable: subgraphs at 4
    content[32:36], content[36:40] = (16).to_bytes(4, "little"), (4).to_bytes(4, "little")
    content[40:44] = (2**30).to_bytes(4, "little")
    with pytest.raises(ExportError, match="damaged"):
        read_tflite(bytes(content))


def test_damaged_files_end_in_an_answer_or_a_refusal(int8):
    # The long run is `python -m galaxy_edge.benchmarks.robustness.fuzz_models`.
    result = fuzz([int8], 2100, seed=2)
    assert result["files"] == 2100 and result["read"] + result["refused"] == 2100 and result["hangs"] == 0
    assert sum(result["loads"].values()) == 2100 and set(result["kinds"].values()) == {300}


def test_committed_figures_are_of_a_complete_run():
    # What is said of 100,000 files must come from one run of them, each through reader and first load.
    kept = json.loads((REFERENCE / "fuzz-models.json").read_text())
    assert kept["files"] >= 100_000 and kept["read"] + kept["refused"] == sum(kept["loads"].values()) == kept["files"]
    assert kept["hangs"] == 0 and kept["slowest_read_s"] < 10


def test_the_same_seed_damages_the_same_way(int8):
    assert list(mutations([int8], 20, 3)) == list(mutations([int8], 20, 3))


def test_network_that_crashes_its_process_is_refused(int8, monkeypatch):
    check_model_loads(int8, "tflite", "x")
    with pytest.raises(BundleError, match="x is not safe to load"):
        check_model_loads(b"\x1c\0\0\0TFL3" + bytes(100), "tflite", "x")
    with SandboxedLoader("tflite") as loader:
        assert loader.try_load(int8) == ""
        loader.process._process.kill()  # as a crash inside the engine ends it
        assert "crashed" in loader.try_load(int8)
        assert loader.try_load(int8) == ""  # in a new one
        os.kill(loader.process._process.pid, signal.SIGSTOP)  # as a file that keeps the engine busy forever
        assert "still busy with it" in loader.try_load(int8, seconds=0.1)
        assert loader.try_load(int8) == ""


SERVE = isolated._serve


def late(*arguments):
    time.sleep(4.0)
    SERVE(*arguments)


def never(pipe, *_):
    pipe.poll(None)


def test_start_time_of_an_engine_does_not_count_for_the_file(int8, monkeypatch):
    monkeypatch.setattr(isolated, "_serve", late)
    check_model_loads(int8, "tflite", "x", seconds=3.5)
    monkeypatch.setattr(isolated, "_serve", never)
    monkeypatch.setattr(isolated, "START", 0.5)
    with pytest.raises(BundleError, match=r"had not started after 0\.5 s"):
        check_model_loads(int8, "tflite", "x")


def refuse():
    raise OSError("no process can be started")


def test_failed_process_start_is_not_blamed_on_the_file(int8, monkeypatch):
    with SandboxedLoader("tflite", "spawn") as loader:
        monkeypatch.setattr(loader.process._context, "Pipe", refuse)
        with pytest.raises(OSError, match="no process can be started"):
            loader.try_load(int8)
