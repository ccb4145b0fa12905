"""Third-party detectors.

With the post-processing operator and without, as TFLite, ONNX and SavedModel.
"""

import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from galaxy_edge.export.class_labels import packed_labels
from galaxy_edge.export.settings import Settings
from galaxy_edge.export.tflite.reader import TFLiteFile
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.runtime.inference.detector import Detector
from helpers.command_line import galaxy_edge
from helpers.command_line import galaxy_edge_in_process as command_line
from helpers.third_party import export_command, imported


def detections_in(bundle, variant):
    """Return the detections of a bright square in a dark image."""
    image = np.zeros((128, 128, 3), np.uint8)
    image[32:48, 80:96] = 250
    return Detector(Bundle.load(bundle), variant)(image)


@pytest.mark.parametrize(
    ("file", "variant", "anchors"),
    [
        ("int8_postprocess.tflite", "int8", False),
        ("int8.tflite", "int8", True),
        ("fp32.tflite", "fp32", True),
        ("fp32.onnx", "onnx_fp32", True),
        ("int8.onnx", "onnx_int8", True),
    ],
)
def test_the_given_file_is_kept_unchanged(foreign, tmp_path, file, variant, anchors):
    """Whatever its format, the file in the bundle is the given one, and it works."""
    result = imported(
        foreign / file,
        tmp_path / "out",
        Settings(()),
        labels=foreign / "labels.txt",
        decode=foreign / "bundle.toml" if anchors else None,
        licence="MIT",
    )
    assert result.passed, result.gates
    bundle = Bundle.load(tmp_path / "out", "detect")
    assert list(bundle.variants) == [variant] and bundle.manifest.licence == "MIT"
    assert bundle.read(bundle.variant(variant).file) == (foreign / file).read_bytes()
    assert (bundle.manifest.detector_decode.anchors is not None) == anchors
    found = detections_in(tmp_path / "out", variant)
    assert found.boxes == pytest.approx(np.array([[72, 24, 104, 56]]), abs=1) and found.scores[0] > 0.98


def test_other_formats_are_built_and_gated(tiny_runs, foreign, tmp_path):
    """A SavedModel with labelled images gets every format.

    Each format passes the same gates as that of our own networks.
    """
    run = tiny_runs / "detector"
    settings = Settings(("tflite-int8", "onnx-fp32", "onnx-int8"), calibration=run / "calibration.npz")
    result = imported(
        run / "saved_model",
        tmp_path / "out",
        settings,
        labels=foreign / "labels.txt",
        decode=foreign / "bundle.toml",
        evaluation=run / "evaluation.npz",
    )
    assert result.passed, result.gates
    assert {"accuracy: int8", "parity: int8", "accuracy: onnx_int8", "really int8: int8"} <= {
        g.name for g in result.gates
    }
    assert all(
        detections_in(tmp_path / "out", name).scores[0] > 0.98 for name in Bundle.load(tmp_path / "out").variants
    )


def test_labels_in_the_metadata_are_found(foreign):
    """A zip archive counts only if the flatbuffer announces metadata."""
    stream = io.BytesIO((foreign / "int8_postprocess.tflite").read_bytes())
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a") as packed:
        packed.writestr("labelmap.txt", "galaxy\nstar\n")
    content = stream.getvalue()
    assert packed_labels(content, TFLiteFile((), {"TFLITE_METADATA": b"x"})) == "galaxy\nstar\n"
    assert packed_labels(content, TFLiteFile((), {})) == ""


def test_a_file_with_metadata_needs_no_labels(foreign, tmp_path):
    """TensorFlow's metadata writer adds an entry in the flatbuffer and a zip.

    The zip, which follows the flatbuffer, holds the labels.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf((foreign / "int8_postprocess.tflite").read_bytes(), 0)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data, entry.name, entry.buffer = np.frombuffer(b"M001", np.uint8), b"TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(2**20)
    builder.Finish(model.Pack(builder), b"TFL3")
    stream = io.BytesIO(bytes(builder.Output()))
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a") as packed:
        packed.writestr("labelmap.txt", "galaxy\n")
    (tmp_path / "theirs.tflite").write_bytes(stream.getvalue())
    result = imported(tmp_path / "theirs.tflite", tmp_path / "out", Settings(()))
    assert result.passed and Bundle.load(tmp_path / "out").classes == ("galaxy",)
    assert detections_in(tmp_path / "out", "int8").scores[0] > 0.98


def test_the_command(foreign, tmp_path):
    """`export --from` writes bundle and report, and its usage errors are one line."""
    done = command_line(
        "export",
        "--from",
        foreign / "int8_postprocess.tflite",
        "--task",
        "detector",
        "--labels",
        foreign / "labels.txt",
        "--out",
        tmp_path / "out",
        "--json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bundle"] == str(tmp_path / "out")
    assert (tmp_path / "export-report.html").read_text().startswith("<!DOCTYPE html>")
    assert command_line("bundle", "verify", tmp_path / "out").returncode == 0
    for arguments, message in (
        (("--from", "x.tflite"), "needs --out"),
        ((), "name a run folder, or a file"),
        (("--from", "nothing.tflite", "--out", "o", "--task", "detector"), "cannot be read"),
    ):
        bad = command_line("export", *(arguments or ("--int8",)), cwd=tmp_path)
        assert bad.returncode in (1, 2) and message in bad.stderr and "Traceback" not in bad.stderr


def test_all_builds_the_formats_that_are_possible(foreign, tmp_path):
    """`all` must not fail on formats that cannot be derived from the given one."""
    done = imported(
        foreign / "fp32.tflite",
        tmp_path / "all",
        Settings(("all",)),
        labels=foreign / "labels.txt",
        decode=foreign / "bundle.toml",
    )
    assert set(done.sizes) == {"fp32", "int8", "onnx_fp32", "onnx_int8"}
    given = export_command(foreign, tmp_path / "one", "--int8", "--decode", foreign / "bundle.toml")
    assert given.returncode == 0 and list(Bundle.load(tmp_path / "one").variants) == ["int8"]


def test_a_float_network_alone_can_be_run(foreign, tiny_models, tmp_path):
    """A bundle without int8 works on a device.

    It records the sources of its training data.
    """
    shutil.copytree(tiny_models / "galaxy-classifier", tmp_path / "galaxy-classifier")
    imported(
        foreign / "fp32.tflite",
        tmp_path / "galaxy-detector",
        Settings(()),
        labels=foreign / "labels.txt",
        decode=foreign / "bundle.toml",
        sources=("a survey",),
    )
    assert Bundle.load(tmp_path / "galaxy-detector").manifest.data.sources == ("a survey",)
    done = galaxy_edge("run", "--camera", "demo", "--models", tmp_path, "--max-frames", 2, "--out", tmp_path / "found")
    assert done.returncode == 0, done.stderr
