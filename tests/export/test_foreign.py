"""Other people's detectors: with the post-process operator and without, TFLite, ONNX and SavedModel; and none at all."""

import io
import json
import zipfile

import numpy as np
import pytest
from conftest import galaxy_edge as command_line
from galaxy_edge.export.bundle import export
from galaxy_edge.export.errors import ExportError, ExportUsage
from galaxy_edge.export.foreign import packed_labels, wrap
from galaxy_edge.export.settings import Settings
from galaxy_edge.export.tflite_file import TFLiteFile
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.runtime.detect import Detector


@pytest.fixture(scope="module")
def made(tiny_runs, tmp_path_factory):
    """A folder with every form of the tiny detector, as files of somebody else."""
    folder = tmp_path_factory.mktemp("foreign") / "bundle"
    assert export(tiny_runs / "detector", folder, silent, Settings(("all",))).passed
    (folder / "labels.txt").write_text("galaxy\n")
    return folder


def silent(_):
    pass


def own(*formats):
    return Settings(formats)


def found_in(bundle, variant):
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[32:48, 80:96] = 250
    return Detector(Bundle.load(bundle), variant)(picture)


@pytest.mark.parametrize(
    ("file", "variant", "anchors"),
    [("int8_postprocess.tflite", "int8", False), ("int8.tflite", "int8", True), ("fp32.tflite", "fp32", True),
     ("fp32.onnx", "onnx_fp32", True), ("int8.onnx", "onnx_int8", True)],
)
def test_a_file_is_wrapped_as_it_is(made, tmp_path, file, variant, anchors):
    result = wrap(made / file, tmp_path / "out", silent, own(), "detector", made / "labels.txt",
                  made / "bundle.toml" if anchors else None, licence="MIT")
    assert result.passed, result.gates
    bundle = Bundle.load(tmp_path / "out", "detect")
    assert list(bundle.variants) == [variant] and bundle.manifest["licence"] == "MIT"
    assert bundle.read(bundle.variant(variant).file) == (made / file).read_bytes()
    assert ("min_level" in bundle.manifest["decode"]) == anchors
    found = found_in(tmp_path / "out", variant)
    assert found.boxes == pytest.approx(np.array([[72, 24, 104, 56]]), abs=1) and found.scores[0] > 0.98


def test_other_forms_are_made_and_gated(tiny_runs, made, tmp_path):
    run = tiny_runs / "detector"
    settings = Settings(("tflite-int8", "onnx-fp32", "onnx-int8"), calibration=run / "calibration.npz")
    result = wrap(run / "saved_model", tmp_path / "out", silent, settings, "detector", made / "labels.txt",
                  made / "bundle.toml", evaluation=run / "evaluation.npz")
    assert result.passed, result.gates
    assert {"accuracy: int8", "parity: int8", "accuracy: onnx_int8", "really int8: int8"} <= {g.name for g in result.gates}
    assert all(found_in(tmp_path / "out", name).scores[0] > 0.98 for name in Bundle.load(tmp_path / "out").variants)


def test_a_conversion_that_nobody_can_judge_is_not_passed(made, tmp_path):
    # Without labelled pictures the accuracy of what was converted is not known: the gate does not guess.
    result = wrap(made / "fp32.tflite", tmp_path / "out", silent, own("tflite-int8"), "detector", made / "labels.txt",
                  made / "bundle.toml")
    assert result.bundle is None
    assert [gate.name for gate in result.gates if not gate.passed] == ["accuracy: int8"]


def test_labels_of_the_metadata_are_found(made):
    stream = io.BytesIO((made / "int8_postprocess.tflite").read_bytes())
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a") as packed:
        packed.writestr("labelmap.txt", "galaxy\nstar\n")
    content = stream.getvalue()
    assert packed_labels(content, TFLiteFile((), {"TFLITE_METADATA": b"x"})) == "galaxy\nstar\n"
    assert packed_labels(content, TFLiteFile((), {})) == ""


def test_a_file_with_metadata_needs_no_list(made, tmp_path):
    # As TensorFlow's metadata writer leaves it: an entry in the flatbuffer, and the list in a zip behind it.
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf((made / "int8_postprocess.tflite").read_bytes(), 0)
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
    result = wrap(tmp_path / "theirs.tflite", tmp_path / "out", silent, own(), "detector")
    assert result.passed and Bundle.load(tmp_path / "out").manifest["classes"] == ["galaxy"]
    assert found_in(tmp_path / "out", "int8").scores[0] > 0.98


def test_what_cannot_be_wrapped_is_told(made, tiny_models, tmp_path):
    labels, out = made / "labels.txt", tmp_path / "out"
    with pytest.raises(ExportUsage, match="its anchors are needed"):
        wrap(made / "int8.tflite", out, silent, own(), "detector", labels)
    with pytest.raises(ExportUsage, match="class names are needed"):
        wrap(made / "int8_postprocess.tflite", out, silent, own(), "detector")
    with pytest.raises(ExportUsage, match="say --task detector"):
        wrap(made / "int8.tflite", out, silent, own(), None, labels)
    with pytest.raises(ExportError, match="which output is which cannot be told: there are"):
        wrap(tiny_models / "galaxy-classifier" / "int8.tflite", out, silent, own(), "detector", labels)
    with pytest.raises(ExportError, match="has no saved_model"):
        wrap(tmp_path, out, silent, own(), "detector", labels)
    for name, content, reason in (
        ("x.tflite", b"junk", "does not begin as one"), ("x.onnx", b"junk", "not safe to load"),
        ("y.tflite", (made / "int8.tflite").read_bytes()[:900], "damaged"), ("z.onnx", b"", "not safe to load"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ExportError, match=reason):
            wrap(tmp_path / name, out, silent, own(), "detector", labels)
    assert not out.exists()


def test_the_command(made, tmp_path):
    done = command_line("export", "--from", made / "int8_postprocess.tflite", "--task", "detector", "--labels",
                        made / "labels.txt", "--out", tmp_path / "out", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bundle"] == str(tmp_path / "out")
    assert (tmp_path / "export-report.html").read_text().startswith("<!DOCTYPE html>")
    assert command_line("bundle", "verify", tmp_path / "out").returncode == 0
    for arguments, message in ((("--from", "x.tflite"), "needs --out"), ((), "name a run folder, or a file"),
                               (("--from", "nothing.tflite", "--out", "o", "--task", "detector"), "cannot be read")):
        bad = command_line("export", *(arguments or ("--int8",)), cwd=tmp_path)
        assert bad.returncode in (1, 2) and message in bad.stderr and "Traceback" not in bad.stderr
