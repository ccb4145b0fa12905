"""Third-party files that are refused, or whose conversions fail a gate."""

import io
import zipfile

import numpy as np
import pytest
from galaxy_edge.export.class_labels import packed_labels
from galaxy_edge.export.errors import ExportError, ExportUsage
from galaxy_edge.export.gates import int8_gate
from galaxy_edge.export.settings import Settings
from galaxy_edge.export.tflite.reader import TFLiteFile
from helpers.third_party import export_command, imported


def test_files_that_cannot_be_imported(foreign, tiny_models, tmp_path):
    """Each refusal names its reason, and nothing is written."""
    labels, out = foreign / "labels.txt", tmp_path / "out"
    with pytest.raises(ExportUsage, match="its anchors are needed"):
        imported(foreign / "int8.tflite", out, Settings(()), labels=labels)
    with pytest.raises(ExportUsage, match="class names are needed"):
        imported(foreign / "int8_postprocess.tflite", out, Settings(()))
    with pytest.raises(ExportUsage, match="add --task detector"):
        imported(foreign / "int8.tflite", out, Settings(()), task=None, labels=labels)
    with pytest.raises(ExportError, match="the outputs cannot be identified: there are"):
        imported(tiny_models / "galaxy-classifier" / "int8.tflite", out, Settings(()), labels=labels)
    with pytest.raises(ExportError, match="has no saved_model"):
        imported(tmp_path, out, Settings(()), labels=labels)
    for name, content, reason in (
        ("x.tflite", b"junk", "does not begin with TFL3"),
        ("x.onnx", b"junk", "not safe to load"),
        ("y.tflite", (foreign / "int8.tflite").read_bytes()[:900], "damaged"),
        ("z.onnx", b"", "not safe to load"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ExportError, match=reason):
            imported(tmp_path / name, out, Settings(()), labels=labels)
    assert not out.exists()


def test_a_conversion_without_labels_fails_the_accuracy_gate(foreign, tmp_path):
    """Without labelled images the accuracy of a conversion is unknown.

    The gate must not guess.
    """
    result = imported(
        foreign / "fp32.tflite",
        tmp_path / "out",
        Settings(("tflite-int8",)),
        labels=foreign / "labels.txt",
        decode=foreign / "bundle.toml",
    )
    assert result.bundle is None
    assert [gate.name for gate in result.gates if not gate.passed] == ["accuracy: int8"]


def test_a_network_that_finds_nothing_fails_the_parity_gate(foreign, tmp_path):
    """Agreement on no detections proves nothing."""
    done = imported(
        foreign / "fp32.tflite",
        tmp_path / "out",
        Settings(("tflite-int8",), calibration=dark_images(tmp_path)),
        labels=foreign / "labels.txt",
        decode=foreign / "bundle.toml",
    )
    assert not done.passed and "nothing to compare with" in {g.name: g.measured for g in done.gates}["parity: int8"]


def test_float_in_a_second_graph_is_found(foreign, tmp_path):
    """Branches and loops have graphs of their own.

    A whole float network could hide in one.
    """
    from tensorflow.lite.python.schema_py_generated import Model, ModelT
    from tensorflow.lite.tools import flatbuffer_utils

    def read(name):
        return ModelT.InitFromObj(Model.GetRootAsModel((foreign / name).read_bytes(), 0))

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
def test_anchors_that_do_not_fit_the_network(foreign, tmp_path, old, new, words):
    """A wrong --decode file is refused before anything is written.

    The message names the wrong key.
    """
    text = (foreign / "bundle.toml").read_text()
    table = text[text.index("[decode]") :].split("\n\n")[0]
    assert old in table
    (tmp_path / "decode.toml").write_text(table.replace(old, new, 1))
    done = export_command(foreign, tmp_path / "out", "--decode", tmp_path / "decode.toml")
    output = " ".join((done.stdout + done.stderr).split())
    assert (
        done.returncode in (1, 2) and words in output and "unexpected" not in output and not (tmp_path / "out").exists()
    )
    assert done.returncode == 1 or str(tmp_path / "decode.toml") in output


def test_several_lists_of_labels_are_ambiguous(foreign):
    """Choosing one of two lists would be a guess."""
    stream = io.BytesIO((foreign / "int8.tflite").read_bytes())
    with zipfile.ZipFile(stream, "a") as packed:
        packed.writestr("licence.txt", "Apache licence text")
        packed.writestr("labelmap.txt", "galaxy")
    with pytest.raises(ExportUsage, match=r"licence.txt, labelmap.txt: name the right one with --labels"):
        packed_labels(stream.getvalue(), TFLiteFile([], {"TFLITE_METADATA": 0}))


def test_damaged_labels_in_the_metadata(foreign):
    """A damaged archive must not end in a traceback."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("labelmap.txt", "galaxy\n" * 40)
    content = bytearray(stream.getvalue())
    content[45:50] = bytes(5)
    with pytest.raises(ExportUsage, match="give --labels"):
        packed_labels(bytes(content), TFLiteFile([], {"TFLITE_METADATA": 0}))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 32, 32, 3), np.uint8), "not uint8 (n, 64, 64, 3)"),
        (np.zeros((0, 64, 64, 3), np.uint8), "no images"),
    ],
)
def test_an_evaluation_share_of_another_network(foreign, tmp_path, images, words):
    """Images of another size would be measured wrongly."""
    np.savez(tmp_path / "e.npz", images=images)
    done = export_command(
        foreign, tmp_path / "out", "--decode", foreign / "bundle.toml", "--evaluation", tmp_path / "e.npz"
    )
    assert done.returncode == 1 and words in " ".join(done.stderr.split()) and not (tmp_path / "out").exists()


def test_weights_in_another_file(foreign, tmp_path):
    """A bundle contains one file per variant: external weights would be lost."""
    import onnx

    network = onnx.load(str(foreign / "fp32.onnx"))
    onnx.save_model(network, str(tmp_path / "part.onnx"), save_as_external_data=True, size_threshold=0)
    with pytest.raises(ExportError, match=r"keeps \d+ of its weights in another file"):
        imported(
            tmp_path / "part.onnx",
            tmp_path / "out",
            Settings(()),
            labels=foreign / "labels.txt",
            decode=foreign / "bundle.toml",
        )


def dark_images(folder):
    images = np.random.default_rng(1).integers(0, 20, (8, 64, 64, 3), np.uint8)
    np.savez(folder / "dark.npz", images=images)
    return folder / "dark.npz"
