"""A bundle is used only if every byte agrees with its manifest."""

import shutil
import tracemalloc

import numpy as np
import pytest
from galaxy_edge.models.bundle import MAX_FILE_BYTES, Bundle, read_plain
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.runtime.inference.load import load_engine


@pytest.fixture
def bundle(tiny_models, tmp_path):
    """A copy of a small detector's bundle, to be spoilt."""
    return shutil.copytree(tiny_models / "galaxy-detector", tmp_path / "galaxy-detector")


def edit(bundle, old, new):
    text = (bundle / "bundle.toml").read_text()
    assert old in text
    (bundle / "bundle.toml").write_text(text.replace(old, new, 1))


def test_complete_bundle_loads(bundle):
    loaded = Bundle.load(bundle, "detect")
    assert loaded.input_size == (64, 64) and loaded.classes == ("galaxy",)
    assert set(loaded.variants) == {"int8", "fp32"}
    assert len(loaded.hash) == 64


def test_the_hash_names_the_content(bundle):
    before = Bundle.load(bundle).hash
    edit(bundle, 'version = "0.1.0"', 'version = "0.1.1"')
    assert Bundle.load(bundle).hash != before


@pytest.mark.parametrize("file", ["int8.tflite", "fp32.tflite", "golden.npz"])
def test_a_missing_file_is_named(bundle, file):
    (bundle / file).unlink()
    with pytest.raises(BundleError, match=f"lacks the file {file}"):
        Bundle.load(bundle)


@pytest.mark.parametrize("file", ["int8.tflite", "fp32.tflite", "golden.npz"])
def test_a_changed_byte_is_found(bundle, file):
    content = bytearray((bundle / file).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / file).write_bytes(content)
    with pytest.raises(BundleError, match=f"{file} was changed"):
        Bundle.load(bundle)


def test_reading_a_small_file_needs_little_memory(tmp_path):
    """A computer with less than 2 GiB, the largest file allowed, loads bundles."""
    (tmp_path / "file").write_bytes(b"content")
    tracemalloc.start()
    try:
        assert read_plain(tmp_path / "file", MAX_FILE_BYTES) == b"content"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_file_changed_after_loading_never_reaches_the_interpreter(bundle):
    loaded = Bundle.load(bundle)
    (bundle / "int8.tflite").write_bytes(b"something else")
    with pytest.raises(BundleError, match="was changed"):
        load_engine(loaded)


def test_a_wrong_task_is_refused(bundle):
    with pytest.raises(BundleError, match="task 'detect', not 'classify'"):
        Bundle.load(bundle, "classify")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("format = 1", "format = 2", r"line 1: format 2 is not known"),
        ('licence = "Apache-2.0"', 'licence = "Apache-2.0"\ncolour = 3', r"line 7: unknown key 'colour'"),
        ("fill = 0", "fill = 0\nmargin = 0.2", r"unknown key 'margin' in \[preprocess\]"),
        ("width = 64", 'width = "64"', r"'width' in \[input\] must be of type int, not str"),
        ("width = 64\n", "", r"\[input\] lacks the key 'width'"),
        ('task = "detect"', 'task = "guess"', r"unknown task 'guess'"),
        ('task = "detect"', 'task = "classify"', r"kind must be 'crop'"),
        ('"golden.npz" =', '"../golden.npz" =', r"lacks golden.npz"),
        ('"int8.tflite" =', '"../int8.tflite" =', r"names the file 'int8.tflite', which has no hash"),
        ("[files]", '[files]\n"/etc/passwd" = "00"', r"'/etc/passwd' in \[files\] is not a plain file name"),
        ("[files]", '[files]\n"a.bin" = "00"', r"hash of 'a.bin' in \[files\] is not a SHA-256"),
        ("fill = 0", "fill = ", r"not valid TOML"),
    ],
)
def test_a_wrong_manifest_says_where(bundle, old, new, reason):
    edit(bundle, old, new)
    with pytest.raises(BundleError, match=reason):
        Bundle.load(bundle)


def test_folders_that_are_not_bundles_are_refused(tmp_path):
    with pytest.raises(BundleError, match="is not a folder"):
        Bundle.load(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"has no bundle\.toml"):
        Bundle.load(tmp_path)
    (tmp_path / "bundle.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match="not valid TOML"):
        Bundle.load(tmp_path)


def test_golden_vectors_hold_to_the_bit(bundle):
    loaded = Bundle.load(bundle)
    golden = loaded.golden()
    engine = load_engine(loaded, "int8")
    for number, image in enumerate(golden["inputs"]):
        raw = engine(image[None])
        assert all(np.array_equal(raw[name].values, golden[f"int8.{name}"][number]) for name in raw)


def test_a_manifest_that_disagrees_with_the_network_is_refused(bundle):
    edit(bundle, "width = 64", "width = 96")
    with pytest.raises(BundleError, match=r"not one input of \(1, 64, 96, 3\)"):
        load_engine(Bundle.load(bundle))


def test_the_probability_to_be_sure_is_optional(tiny_models, tmp_path):
    from galaxy_edge.runtime.inference.classifier import Classifier

    copy = shutil.copytree(tiny_models / "galaxy-classifier", tmp_path / "galaxy-classifier")
    assert Classifier(Bundle.load(copy)).abstain_below is None
    edit(copy, "temperature = 1.0", "temperature = 1.0\nabstain = 0.6")
    assert Classifier(Bundle.load(copy)).abstain_below == 0.6
    edit(copy, "abstain = 0.6", "abstain = 0.6\n[decode.groups]\nspiral = 0.9\nsmoth = 0.9")
    with pytest.raises(BundleError, match=r"unknown key 'smoth' in \[decode.groups\]"):
        Bundle.load(copy)
    edit(copy, "\n[decode.groups]\nspiral = 0.9\nsmoth = 0.9", "")
    edit(copy, "abstain = 0.6", 'abstain = "high"')
    with pytest.raises(BundleError, match=r"'abstain' in \[decode\] must be of type float"):
        Bundle.load(copy)
