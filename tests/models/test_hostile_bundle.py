"""Bundles that mean harm: nothing outside their folder is read, nothing grows without bound, nothing waits for ever."""

import hashlib
import io
import os
import re
import shutil
import zipfile

import numpy as np
import pytest
from galaxy_edge.models import bundle as bundles
from galaxy_edge.models.bundle import Bundle, BundleError


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
    with pytest.raises(BundleError, match="is no plain file"):
        Bundle.load(bundle)


def test_a_file_too_large_is_not_read(bundle, monkeypatch):
    with (bundle / "bundle.toml").open("ab") as stream:
        stream.truncate(2**24 + 1)  # sparse
    with pytest.raises(BundleError, match="no such file of a bundle has more than"):
        Bundle.load(bundle)


def test_golden_vectors_that_would_unpack_to_much_are_not_unpacked(bundle, monkeypatch):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("inputs.npy", bytes(2**22))
    put(bundle, "golden.npz", stream.getvalue())
    monkeypatch.setattr(bundles, "LARGEST_FILE", 2**21)
    with pytest.raises(BundleError, match="would unpack to 4 MB"):
        Bundle.load(bundle).golden()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_golden_vectors_that_are_none(bundle, content):
    put(bundle, "golden.npz", content)
    loaded = Bundle.load(bundle)
    if content.startswith(b"PK"):
        assert loaded.golden() == {}
    else:
        with pytest.raises(BundleError, match="cannot be unpacked"):
            loaded.golden()


def test_pickles_are_not_run(bundle):
    stream = io.BytesIO()
    np.savez(stream, inputs=np.array([{"a": 1}], dtype=object))
    put(bundle, "golden.npz", stream.getvalue())
    with pytest.raises(BundleError, match="cannot be unpacked"):
        Bundle.load(bundle).golden()


def test_an_unknown_runtime_is_refused(bundle):
    text = (bundle / "bundle.toml").read_text()
    (bundle / "bundle.toml").write_text(text.replace('runtime = "tflite"', 'runtime = "pickle"', 1))
    with pytest.raises(BundleError, match="unknown runtime 'pickle'"):
        Bundle.load(bundle)
