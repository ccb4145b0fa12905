"""ONNX Runtime as an engine: the same contract as TFLite's, and clear words where it is broken or missing."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.export.bundle import export_run
from galaxy_edge.export.settings import Settings
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.inference.load import load_engine, select_variant

pytest.importorskip("onnxruntime", reason="needs the onnx extra")


@pytest.fixture(scope="module")
def both(tiny_runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "bundle"
    settings = Settings(("tflite-int8", "onnx-fp32", "onnx-int8"))
    assert export_run(tiny_runs / "detector", folder, settings).passed
    return Bundle.load(folder)


def test_float_outputs_are_those_of_tflite(both):
    batch = both.golden()["inputs"][:1]
    one, other = load_engine(both, "fp32")(batch), load_engine(both, "onnx_fp32", threads=2)(batch)
    assert list(one) == list(other) == ["boxes", "scores"]
    for name in one:
        assert one[name].values.shape == other[name].values.shape
        np.testing.assert_allclose(one[name].values, other[name].values, atol=1e-4)


def test_the_engine_chooses_its_form(both, tiny_models):
    assert [select_variant(both, "int8", engine)[0].name for engine in (None, "litert", "onnxruntime")] == [
        "int8",
        "int8",
        "onnx_int8",
    ]
    assert select_variant(both, "onnx_fp32", "litert")[0].name == "fp32"
    assert select_variant(both, "onnx_fp32")[1] == "onnxruntime"
    assert Detector(both, engine="onnxruntime").engine.name == "onnxruntime"
    with pytest.raises(BundleError, match="no variant of 'int8' that onnxruntime runs"):
        load_engine(Bundle.load(tiny_models / "galaxy-detector"), "int8", "onnxruntime")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [('tensor = "scores"', 'tensor = "other"', "no output 'other'"), ("width = 64", "width = 65", "not one input of")],
)
def test_a_manifest_that_disagrees_is_refused(both, tmp_path, old, new, reason):
    copy = shutil.copytree(both.path, tmp_path / "bundle")
    (copy / "bundle.toml").write_text((copy / "bundle.toml").read_text().replace(old, new))
    with pytest.raises(BundleError, match=reason):
        load_engine(Bundle.load(copy), "onnx_int8")


def test_a_file_that_is_no_network_is_refused(both, tmp_path):
    from galaxy_edge.runtime.inference.onnx_engine import session

    for content in (b"", b"junk", both.read("fp32.onnx")[:-40]):
        with pytest.raises(BundleError, match="not a network that onnxruntime can run"):
            session(content, "x.onnx")


def test_a_form_that_nothing_here_runs_is_told(both, tmp_path):
    copy = shutil.copytree(both.path, tmp_path / "bundle")
    text = (copy / "bundle.toml").read_text()
    (copy / "bundle.toml").write_text(text.replace('runtime = "onnx"', 'runtime = "edgetpu"', 1))
    with pytest.raises(UsageError, match="'edgetpu'"):
        load_engine(Bundle.load(copy), "onnx_fp32")


def test_without_the_package_the_extra_is_named(both):
    script = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from galaxy_edge.models.bundle import Bundle\nfrom galaxy_edge.runtime.inference.load import load_engine\n"
        "from galaxy_edge.errors import UsageError\n"
        "try: load_engine(Bundle.load(sys.argv[1]), 'onnx_int8')\nexcept UsageError as problem: print(problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, both.path], capture_output=True, text=True)
    assert "pip install 'galaxy-edge[onnx]'" in done.stdout, done.stderr
