"""Check that ONNX Runtime obeys TFLite's contract and gives clear errors."""

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
def bundle(tiny_runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "bundle"
    settings = Settings(("tflite-int8", "onnx-fp32", "onnx-int8"))
    assert export_run(tiny_runs / "detector", folder, settings).passed
    return Bundle.load(folder)


def test_float_outputs_equal_those_of_tflite(bundle):
    batch = bundle.golden()["inputs"][:1]
    tflite, onnx = (
        load_engine(bundle, "fp32")(batch),
        load_engine(bundle, "onnx_fp32", threads=2)(batch),
    )
    assert list(tflite) == list(onnx) == ["boxes", "scores"]
    for name in tflite:
        assert tflite[name].values.shape == onnx[name].values.shape
        np.testing.assert_allclose(tflite[name].values, onnx[name].values, atol=1e-4)


def test_engine_selects_the_variant_it_can_run(bundle, tiny_models):
    selected = [select_variant(bundle, "int8", engine)[0].name for engine in (None, "litert", "onnxruntime")]
    assert selected == ["int8", "int8", "onnx_int8"]
    assert select_variant(bundle, "onnx_fp32", "litert")[0].name == "fp32"
    assert select_variant(bundle, "onnx_fp32")[1] == "onnxruntime"
    assert Detector(bundle, engine="onnxruntime").engine.name == "onnxruntime"
    with pytest.raises(BundleError, match="no variant of 'int8' that onnxruntime runs"):
        load_engine(Bundle.load(tiny_models / "galaxy-detector"), "int8", "onnxruntime")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [('tensor = "scores"', 'tensor = "other"', "no output 'other'"), ("width = 64", "width = 65", "not one input of")],
)
def test_manifest_that_disagrees_with_the_network_is_refused(bundle, tmp_path, old, new, reason):
    edited_bundle = shutil.copytree(bundle.path, tmp_path / "bundle")
    (edited_bundle / "bundle.toml").write_text((edited_bundle / "bundle.toml").read_text().replace(old, new))
    with pytest.raises(BundleError, match=reason):
        load_engine(Bundle.load(edited_bundle), "onnx_int8")


def test_file_that_is_not_a_network_is_refused(bundle, tmp_path):
    from galaxy_edge.runtime.inference.onnx_engine import session

    for content in (b"", b"junk", bundle.read("fp32.onnx")[:-40]):
        with pytest.raises(BundleError, match="not a network that onnxruntime can run"):
            session(content, "x.onnx")


def test_variant_that_no_installed_engine_runs_is_refused(bundle, tmp_path):
    edited_bundle = shutil.copytree(bundle.path, tmp_path / "bundle")
    text = (edited_bundle / "bundle.toml").read_text()
    (edited_bundle / "bundle.toml").write_text(text.replace('runtime = "onnx"', 'runtime = "edgetpu"', 1))
    with pytest.raises(UsageError, match="'edgetpu'"):
        load_engine(Bundle.load(edited_bundle), "onnx_fp32")


def test_missing_package_error_names_the_extra_to_install(bundle):
    script = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from galaxy_edge.models.bundle import Bundle\nfrom galaxy_edge.runtime.inference.load import load_engine\n"
        "from galaxy_edge.errors import UsageError\n"
        "try: load_engine(Bundle.load(sys.argv[1]), 'onnx_int8')\nexcept UsageError as error: print(error)\n"
    )
    completed = subprocess.run([sys.executable, "-c", script, bundle.path], capture_output=True, text=True)
    assert "pip install 'galaxy-edge[onnx]'" in completed.stdout, completed.stderr
