"""Hostile bundles: no outside file is read, memory is bounded, nothing blocks."""

import hashlib
import io
import os
import re
import shutil
import zipfile

import numpy as np
import pytest
from galaxy_edge.models import bundle as bundles
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.runtime.inference.golden import GoldenMismatch, check_golden
from helpers.command_line import galaxy_edge_in_process


@pytest.fixture
def bundle(tiny_models, tmp_path):
    return shutil.copytree(tiny_models / "galaxy-classifier", tmp_path / "galaxy-classifier")


def put(bundle, file, content):
    """Put a file into a bundle with the right hash: its maker signs what it likes."""
    (bundle / file).write_bytes(content)
    text = (bundle / "bundle.toml").read_text()
    digest = hashlib.sha256(content).hexdigest()
    (bundle / "bundle.toml").write_text(re.sub(rf'"{file}" = "\w+"', f'"{file}" = "{digest}"', text))


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "sub/x", "..", ".", "bundle.toml"])
def test_names_that_lead_elsewhere_are_refused(bundle, name):
    text = (bundle / "bundle.toml").read_text()
    (bundle / "bundle.toml").write_text(text.replace("[files]", f'[files]\n"{name}" = "{"0" * 64}"'))
    with pytest.raises(BundleError, match="is not a plain file name"):
        Bundle.load(bundle)


def test_links_are_not_followed(bundle, tmp_path):
    content = (bundle / "int8.tflite").read_bytes()
    (tmp_path / "elsewhere").write_bytes(content)
    (bundle / "int8.tflite").unlink()
    (bundle / "int8.tflite").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="it is a link"):
        Bundle.load(bundle)


def test_a_pipe_is_not_waited_for(bundle):
    (bundle / "int8.tflite").unlink()
    os.mkfifo(bundle / "int8.tflite")
    with pytest.raises(BundleError, match="is not a regular file"):
        Bundle.load(bundle)


def test_a_file_too_large_is_not_read(bundle, monkeypatch):
    with (bundle / "bundle.toml").open("ab") as stream:
        stream.truncate(2**24 + 1)  # sparse
    with pytest.raises(BundleError, match="the maximum for this file is"):
        Bundle.load(bundle)


def test_golden_vectors_that_would_unpack_to_much_are_not_unpacked(bundle, monkeypatch):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("inputs.npy", bytes(2**22))
    put(bundle, "golden.npz", stream.getvalue())
    monkeypatch.setattr(bundles, "MAX_FILE_BYTES", 2**21)
    with pytest.raises(BundleError, match="would unpack to 4 MB; the maximum is 2 MB"):
        Bundle.load(bundle).golden()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_invalid_golden_vectors_are_refused(bundle, content):
    put(bundle, "golden.npz", content)
    with pytest.raises(BundleError, match="has no inputs" if content.startswith(b"PK") else "cannot be read"):
        Bundle.load(bundle).golden()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"inputs": np.zeros((8, 9, 9, 3), np.uint8)}, "has no inputs of uint8"),
        ({"inputs": np.zeros((0, 16, 16, 3), np.uint8)}, "has no inputs of uint8"),
        ({"int8.logits": np.zeros((3, 9), np.int8)}, "does not have one output for each input"),
    ],
)
def test_golden_vectors_of_another_network(bundle, change, reason):
    stream = io.BytesIO()
    np.savez(stream, **Bundle.load(bundle).golden() | change)
    put(bundle, "golden.npz", stream.getvalue())
    with pytest.raises(BundleError, match=reason):
        Bundle.load(bundle).golden()


def test_a_bundle_without_golden_outputs_is_not_verified(bundle):
    stream = io.BytesIO()
    np.savez(stream, inputs=Bundle.load(bundle).golden()["inputs"])
    put(bundle, "golden.npz", stream.getvalue())
    with pytest.raises(GoldenMismatch, match="no golden outputs of fp32: logits"):
        check_golden(Bundle.load(bundle))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("classes = [", "classes = [3, ", "'classes' must be a list of strings"),
        ("[metrics.int8]", "[metrics]\nother = 3\n\n[metrics.int8]", "must be a table"),
        ('licence = "Apache-2.0"', r'licence = "\u001b[31mMIT"', "cannot be printed"),
        ("shape = [", 'shape = ["x", ', "is not a list of integers"),
        ("width = 16", "width = 0", "at least 1"),
        ("temperature = ", "temperature = inf #", "must be of type float"),
        ("format = 1", "x = " + "[" * 5000 + "\nformat = 1", "nested too deeply"),
    ],
)
def test_a_manifest_of_strange_values_is_refused(bundle, old, new, reason):
    text = (bundle / "bundle.toml").read_text()
    assert old in text
    (bundle / "bundle.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(BundleError, match=reason):
        Bundle.load(bundle)


def test_brackets_in_a_manifest_are_printed_as_they_are(bundle):
    text = (bundle / "bundle.toml").read_text()
    (bundle / "bundle.toml").write_text(text.replace('licence = "Apache-2.0"', 'licence = "[/x] [red]"', 1))
    info = galaxy_edge_in_process("bundle", "info", bundle)
    assert info.returncode == 0 and "[/x] [red]" in info.stdout


def test_pickles_are_not_run(bundle):
    stream = io.BytesIO()
    np.savez(stream, inputs=np.array([{"a": 1}], dtype=object))
    put(bundle, "golden.npz", stream.getvalue())
    with pytest.raises(BundleError, match="cannot be read"):
        Bundle.load(bundle).golden()


def test_an_unknown_runtime_is_refused(bundle):
    text = (bundle / "bundle.toml").read_text()
    (bundle / "bundle.toml").write_text(text.replace('runtime = "tflite"', 'runtime = "pickle"', 1))
    with pytest.raises(BundleError, match="unknown runtime 'pickle'"):
        Bundle.load(bundle)
