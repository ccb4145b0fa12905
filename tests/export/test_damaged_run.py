"""Damaged run folders: a one-line message names the file, and nothing is written."""

import json
import shutil

import numpy as np
import pytest
from galaxy_edge.export.bundle import export_run
from galaxy_edge.export.calibration_images import read_arrays
from galaxy_edge.export.errors import ExportError
from galaxy_edge.training.run import RunError
from helpers.command_line import galaxy_edge_in_process as command_line


@pytest.fixture
def classifier(tiny_runs, tmp_path):
    return shutil.copytree(tiny_runs / "classifier", tmp_path / "run")


@pytest.fixture
def detector(tiny_runs, tmp_path):
    return shutil.copytree(tiny_runs / "detector", tmp_path / "run")


def refused(run, words):
    with pytest.raises((ExportError, RunError)) as caught:
        export_run(run, run.parent / "bundle")
    assert words in str(caught.value) and str(run) in str(caught.value)
    assert sorted(path.name for path in run.parent.iterdir()) == ["run"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("task", "paint", "its task is 'paint'"),
        ("data", None, "'data'"),
        ("data", {}, "'data.hash'"),
        ("finished", 3, "'finished'"),
        ("model.input", {"width": 16}, "'model.input.height'"),
        ("model.classes", [], "'model.classes'"),
        ("model.outputs", [3], "'model.outputs'"),
        ("model.macs", True, "'model.macs'"),
    ],
)
def test_a_record_that_lacks_something(classifier, key, value, words):
    record = json.loads((classifier / "run.json").read_text())
    table = record
    *steps, last = key.split(".")
    for step in steps:
        table = table[step]
    table[last] = value
    (classifier / "run.json").write_text(json.dumps(record))
    refused(classifier, words)


def test_a_record_of_fewer_classes_than_the_network_has(classifier):
    record = json.loads((classifier / "run.json").read_text())
    record["model"]["classes"] = record["model"]["classes"][:4]
    (classifier / "run.json").write_text(json.dumps(record))
    with np.load(classifier / "evaluation.npz") as arrays:
        few = {name: arrays[name][arrays["labels"] < 4] for name in arrays.files}
    np.savez(classifier / "evaluation.npz", **few)
    done = command_line("export", "--int8", classifier, "--out", classifier.parent / "bundle")
    assert done.returncode == 1 and "there are 4 classes" in " ".join(done.stdout.split())
    assert not (classifier.parent / "bundle").exists()


def changed(run, **arrays):
    """Write an evaluation share again with other arrays; None takes one out."""
    with np.load(run / "evaluation.npz") as before:
        kept = {name: before[name] for name in before.files} | arrays
    np.savez(run / "evaluation.npz", **{name: value for name, value in kept.items() if value is not None})


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((90, 16, 16, 3), np.float32)}, "are float32"),
        ({"images": np.zeros((90, 20, 16, 3), np.uint8)}, "not uint8 (n, 16, 16, 3)"),
        ({"images": np.zeros((0, 16, 16, 3), np.uint8)}, "holds no images"),
        ({"images": None}, "holds no images"),
        ({"labels": None}, "no array 'labels'"),
        ({"labels": np.zeros(89, int)}, "not an integer for each of 90"),
        ({"labels": np.full(90, 0.5)}, "float64"),
        ({"labels": np.full(90, 9)}, "labels are 9 to 9, and there are 9 classes"),
        ({"labels": np.full(90, -1)}, "labels are -1"),
        ({"labels": np.full(90, "spiral")}, "not an integer"),
    ],
)
def test_invalid_evaluation_share_of_a_classifier_is_refused(classifier, arrays, words):
    changed(classifier, **arrays)
    refused(classifier, words)


@pytest.mark.parametrize(
    ("array", "change", "words"),
    [
        ("boxes", lambda boxes: None, "no array boxes"),
        ("set", lambda sets: None, "no array set"),
        ("boxes", lambda boxes: np.c_[boxes, boxes[:, :1]], "not finite numbers (m, 4)"),
        ("boxes", lambda boxes: np.full_like(boxes, np.nan), "not finite numbers"),
        ("box_frame", lambda frames: frames[:-1], "not an image index for each"),
        ("box_frame", lambda frames: frames + 10_000, "images that do not exist"),
        ("complete", lambda complete: complete[:-1], "complete is bool"),
    ],
)
def test_invalid_evaluation_share_of_a_detector_is_refused(detector, array, change, words):
    with np.load(detector / "evaluation.npz") as arrays:
        before = arrays[array]
    changed(detector, **{array: change(before)})
    refused(detector, words)


def test_arrays_whose_bytes_were_changed(classifier):
    np.savez_compressed(
        classifier / "calibration.npz", images=np.arange(90 * 768, dtype=np.uint8).reshape(90, 16, 16, 3)
    )
    content = bytearray((classifier / "calibration.npz").read_bytes())
    content[60:200] = bytes(140)
    (classifier / "calibration.npz").write_bytes(content)
    refused(classifier, "cannot be read")


def test_a_header_that_claims_more_than_there_is(tmp_path):
    np.savez(tmp_path / "many.npz", images=np.zeros((4, 4), np.uint8))
    content = (tmp_path / "many.npz").read_bytes()
    (tmp_path / "many.npz").write_bytes(content.replace(b"(4, 4), }    ", b"(4, 9999999),"))
    with pytest.raises(ExportError, match="cannot be read"):
        read_arrays(tmp_path / "many.npz")


def test_weights_that_were_cut(classifier):
    weights = next((classifier / "saved_model" / "variables").glob("*.data-*"))
    weights.write_bytes(weights.read_bytes()[:4])
    refused(classifier, "cannot be converted")
