"""Other people's detectors: with the post-process operator and without, TFLite, ONNX and SavedModel; and none at all."""

import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from galaxy_edge.export.bundle import export_run
from galaxy_edge.export.errors import ExportError, ExportUsage
from galaxy_edge.export.gates import int8_gate
from galaxy_edge.export.settings import Settings
from galaxy_edge.export.tflite.reader import TFLiteFile
from galaxy_edge.export.third_party import import_model, packed_labels
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.runtime.inference.detector import Detector
from helpers.command_line import galaxy_edge as command_line


@pytest.fixture(scope="module")
def made(tiny_runs, tmp_path_factory):
    """A folder with every form of the tiny detector, as files of somebody else."""
    folder = tmp_path_factory.mktemp("foreign") / "bundle"
    assert export_run(tiny_runs / "detector", folder, silent, Settings(("all",))).passed
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
    [
        ("int8_postprocess.tflite", "int8", False),
        ("int8.tflite", "int8", True),
        ("fp32.tflite", "fp32", True),
        ("fp32.onnx", "onnx_fp32", True),
        ("int8.onnx", "onnx_int8", True),
    ],
)
def test_a_file_is_wrapped_as_it_is(made, tmp_path, file, variant, anchors):
    result = import_model(
        made / file,
        tmp_path / "out",
        silent,
        own(),
        "detector",
        made / "labels.txt",
        made / "bundle.toml" if anchors else None,
        licence="MIT",
    )
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
    result = import_model(
        run / "saved_model",
        tmp_path / "out",
        silent,
        settings,
        "detector",
        made / "labels.txt",
        made / "bundle.toml",
        evaluation=run / "evaluation.npz",
    )
    assert result.passed, result.gates
    assert {"accuracy: int8", "parity: int8", "accuracy: onnx_int8", "really int8: int8"} <= {
        g.name for g in result.gates
    }
    assert all(found_in(tmp_path / "out", name).scores[0] > 0.98 for name in Bundle.load(tmp_path / "out").variants)


def test_a_conversion_that_nobody_can_judge_is_not_passed(made, tmp_path):
    # Without labelled pictures the accuracy of what was converted is not known: the gate does not guess.
    result = import_model(
        made / "fp32.tflite",
        tmp_path / "out",
        silent,
        own("tflite-int8"),
        "detector",
        made / "labels.txt",
        made / "bundle.toml",
    )
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
    result = import_model(tmp_path / "theirs.tflite", tmp_path / "out", silent, own(), "detector")
    assert result.passed and Bundle.load(tmp_path / "out").manifest["classes"] == ["galaxy"]
    assert found_in(tmp_path / "out", "int8").scores[0] > 0.98


def test_what_cannot_be_wrapped_is_told(made, tiny_models, tmp_path):
    labels, out = made / "labels.txt", tmp_path / "out"
    with pytest.raises(ExportUsage, match="its anchors are needed"):
        import_model(made / "int8.tflite", out, silent, own(), "detector", labels)
    with pytest.raises(ExportUsage, match="class names are needed"):
        import_model(made / "int8_postprocess.tflite", out, silent, own(), "detector")
    with pytest.raises(ExportUsage, match="say --task detector"):
        import_model(made / "int8.tflite", out, silent, own(), None, labels)
    with pytest.raises(ExportError, match="which output is which cannot be told: there are"):
        import_model(tiny_models / "galaxy-classifier" / "int8.tflite", out, silent, own(), "detector", labels)
    with pytest.raises(ExportError, match="has no saved_model"):
        import_model(tmp_path, out, silent, own(), "detector", labels)
    for name, content, reason in (
        ("x.tflite", b"junk", "does not begin as one"),
        ("x.onnx", b"junk", "not safe to load"),
        ("y.tflite", (made / "int8.tflite").read_bytes()[:900], "damaged"),
        ("z.onnx", b"", "not safe to load"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ExportError, match=reason):
            import_model(tmp_path / name, out, silent, own(), "detector", labels)
    assert not out.exists()


def test_the_command(made, tmp_path):
    done = command_line(
        "export",
        "--from",
        made / "int8_postprocess.tflite",
        "--task",
        "detector",
        "--labels",
        made / "labels.txt",
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


def bundled(made, out, *arguments):
    return command_line(
        "export",
        "--from",
        made / "int8.tflite",
        "--task",
        "detector",
        "--labels",
        made / "labels.txt",
        "--out",
        out,
        *arguments,
    )


def test_float_in_a_second_graph_is_found(made, tmp_path):
    """Branches and loops are graphs of their own: a whole float network could hide in one."""
    from tensorflow.lite.python.schema_py_generated import Model, ModelT
    from tensorflow.lite.tools import flatbuffer_utils

    def read(name):
        return ModelT.InitFromObj(Model.GetRootAsModel((made / name).read_bytes(), 0))

    whole, hidden = read("int8.tflite"), read("fp32.tflite").subgraphs[0]
    for tensor in hidden.tensors:
        tensor.buffer = 0
    whole.subgraphs.append(hidden)
    gate = int8_gate("int8", bytes(flatbuffer_utils.convert_object_to_bytearray(whole)))
    assert not gate.passed and "float tensors" in gate.measured


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_level = ", "max_level = 9 #", "anchors"),
        ("anchor_size = ", "anchor_size = -2.0 #", "anchor_size must"),
        ("min_level = ", "min_level = -400 #", "levels must be"),
        ("max_level = ", "#", "'max_level' is missing"),
        ("max_level = ", "levels = 3 #", "unknown key 'levels'"),
        ("scales_per_octave = ", 'scales_per_octave = "two" #', "type int"),
        ("[decode]", "decode = 3\n[other]", "must be a table"),
        ("[decode]", "outputs = 3\n[decode]", "must be a table of names"),
    ],
)
def test_anchors_that_are_not_the_networks_are_told(made, tmp_path, old, new, words):
    text = (made / "bundle.toml").read_text()
    table = text[text.index("[decode]") :].split("\n\n")[0]
    assert old in table
    (tmp_path / "decode.toml").write_text(table.replace(old, new, 1))
    done = bundled(made, tmp_path / "out", "--decode", tmp_path / "decode.toml")
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode in (1, 2) and words in told and "unexpected" not in told and not (tmp_path / "out").exists()
    assert done.returncode == 1 or str(tmp_path / "decode.toml") in told


def test_two_lists_in_the_metadata_are_not_chosen_from(made):
    stream = io.BytesIO((made / "int8.tflite").read_bytes())
    with zipfile.ZipFile(stream, "a") as packed:
        packed.writestr("licence.txt", "Apache licence text")
        packed.writestr("labelmap.txt", "galaxy")
    with pytest.raises(ExportUsage, match=r"licence.txt, labelmap.txt: name the right one with --labels"):
        packed_labels(stream.getvalue(), TFLiteFile([], {"TFLITE_METADATA": 0}))


def test_a_damaged_list_in_the_metadata_is_told(made):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("labelmap.txt", "galaxy\n" * 40)
    content = bytearray(stream.getvalue())
    content[45:50] = bytes(5)
    with pytest.raises(ExportUsage, match="give --labels"):
        packed_labels(bytes(content), TFLiteFile([], {"TFLITE_METADATA": 0}))


def test_all_forms_are_those_that_can_be_made(made, tmp_path):
    done = import_model(
        made / "fp32.tflite",
        tmp_path / "all",
        silent,
        own("all"),
        "detector",
        made / "labels.txt",
        made / "bundle.toml",
    )
    assert set(done.sizes) == {"fp32", "int8", "onnx_fp32", "onnx_int8"}
    given = bundled(made, tmp_path / "one", "--int8", "--decode", made / "bundle.toml")
    assert given.returncode == 0 and list(Bundle.load(tmp_path / "one").variants) == ["int8"]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 32, 32, 3), np.uint8), "not uint8 (n, 64, 64, 3)"),
        (np.zeros((0, 64, 64, 3), np.uint8), "no pictures"),
    ],
)
def test_an_evaluation_share_of_another_network(made, tmp_path, images, words):
    np.savez(tmp_path / "e.npz", images=images)
    done = bundled(made, tmp_path / "out", "--decode", made / "bundle.toml", "--evaluation", tmp_path / "e.npz")
    assert done.returncode == 1 and words in " ".join(done.stderr.split()) and not (tmp_path / "out").exists()


def test_weights_in_another_file_are_refused(made, tmp_path):
    import onnx

    network = onnx.load(str(made / "fp32.onnx"))
    onnx.save_model(network, str(tmp_path / "part.onnx"), save_as_external_data=True, size_threshold=0)
    with pytest.raises(ExportError, match=r"keeps \d+ of its weights in another file"):
        import_model(
            tmp_path / "part.onnx",
            tmp_path / "out",
            silent,
            own(),
            "detector",
            made / "labels.txt",
            made / "bundle.toml",
        )


def test_a_float_network_alone_can_be_run_and_says_where_it_is_from(made, tiny_models, tmp_path):
    shutil.copytree(tiny_models / "galaxy-classifier", tmp_path / "galaxy-classifier")
    import_model(
        made / "fp32.tflite",
        tmp_path / "galaxy-detector",
        silent,
        own(),
        "detector",
        made / "labels.txt",
        made / "bundle.toml",
        sources=["a survey"],
    )
    assert Bundle.load(tmp_path / "galaxy-detector").manifest["data"]["sources"] == ["a survey"]
    done = command_line("run", "--camera", "demo", "--models", tmp_path, "--max-frames", 2, "--out", tmp_path / "found")
    assert done.returncode == 0, done.stderr


def test_a_network_that_finds_nothing_is_not_passed(made, tmp_path):
    """Parity of nothing with nothing proves nothing."""
    done = import_model(
        made / "fp32.tflite",
        tmp_path / "out",
        silent,
        Settings(("tflite-int8",), calibration=nothing(tmp_path)),
        "detector",
        made / "labels.txt",
        made / "bundle.toml",
    )
    assert not done.passed and "nothing to compare with" in {g.name: g.measured for g in done.gates}["parity: int8"]


def nothing(folder):
    images = np.random.default_rng(1).integers(0, 20, (8, 64, 64, 3), np.uint8)
    np.savez(folder / "dark.npz", images=images)
    return folder / "dark.npz"
