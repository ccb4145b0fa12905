"""A training end to end on a few drawn galaxies.

Record, log, arrays and saved network.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from galaxy_edge.export.tflite.convert import input_is_raw
from galaxy_edge.models.decode import softmax
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.training.classifier.fit import fit
from galaxy_edge.training.classifier.keras_utils import multiply_adds
from galaxy_edge.training.classifier.recipe import build
from galaxy_edge.training.run import RunRecord, read_record
from helpers.drawn_galaxies import TRAIN, VALIDATION, read_log, train_tiny
from helpers.tflite import float_tensors, to_tflite
from helpers.tiny_recipe import TINY


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("runs"))


def test_the_record_holds_what_export_needs(run):
    """The record equals the one on disk, and describes the network that was trained."""
    out, record, _ = run
    assert read_record(out) == RunRecord.from_dict(json.loads(json.dumps(record.to_dict())))
    assert record.task == "classify"
    assert record.settings == {
        **TINY.to_dict(),
        "seed": 3,
        "threads": 1,
        "taught": False,
        "weights": None,
        "teachers": [],
        "start": None,
    }
    model = record.model
    assert model["input"] == {"width": 48, "height": 48}
    assert model["preprocess"] == {"kind": "crop", "margin": TINY.margin}
    assert (model["outputs"], model["classes"]) == (["logits"], list(CLASSES))
    assert 0.2 <= model["decode"]["temperature"] <= 5
    network = build(TINY, 9)
    assert (model["parameters"], model["macs"]) == (network.count_params(), multiply_adds(network))
    metrics = record.metrics
    assert 0 <= metrics["macro_f1"] <= 1 and set(metrics["recall"]) == set(CLASSES)
    assert {name: part["images"] for name, part in metrics["sets"].items()} == {"efigi": 18, "gz_frames": 2}
    assert record.data["sets"] == {"efigi": 36, "gz_frames": 6}
    assert record.data["split"] == {"seed": 1, "hash": "5" * 64, "train": 42, "validation": 20}


def test_every_epoch_is_reported_and_logged(run):
    """Progress bar, log and plots get the same numbers."""
    out, _, reports = run
    assert [report["epoch"] for report in reports] == [1, 2]
    assert {"epoch", "epochs", "loss", "macro_f1"} <= set(reports[0])
    assert [line["loss"] for line in read_log(out)] == [report["loss"] for report in reports]
    assert all((out / name).stat().st_size > 1000 for name in ("learning.png", "confusion.png", "reliability.png"))
    assert list((out / "tensorboard").iterdir())


def test_arrays_for_export_are_raw_network_inputs(run):
    """Calibration uses only training images, and evaluation only validation images."""
    out, _, _ = run
    with np.load(out / "evaluation.npz") as held, np.load(out / "calibration.npz") as calibration:
        assert np.array_equal(held["images"], VALIDATION.images(48)) and np.array_equal(
            held["labels"], VALIDATION.labels
        )
        assert held["images"].dtype == calibration["images"].dtype == np.uint8
        assert list(held["set"]) == list(VALIDATION.sources)
        trained_on = {image.tobytes() for image in TRAIN.take(TRAIN.labelled).images(48)}
        assert {image.tobytes() for image in calibration["images"]} == trained_on
        assert not trained_on & {image.tobytes() for image in held["images"]}


def test_predictions_are_those_of_the_saved_model(run):
    """Ensembles are weighted by these predictions without running the network again."""
    out, record, _ = run
    model = keras.saving.load_model(out / "model.keras", compile=False)
    logits = np.asarray(model(VALIDATION.images(48).astype(np.float32), training=False))
    with np.load(out / "predictions.npz") as kept:
        assert kept["logits"] == pytest.approx(logits, abs=1e-4)
        assert tuple(kept["ids"]) == VALIDATION.ids
    # The score in the record is that of these predictions, computed by scikit-learn.
    sklearn = pytest.importorskip("sklearn.metrics")
    f1 = sklearn.f1_score(
        VALIDATION.labels, logits.argmax(axis=1), average="macro", labels=np.unique(VALIDATION.labels)
    )
    assert record.metrics["macro_f1"] == pytest.approx(f1)
    losses = [-np.log(softmax(logits, t)[np.arange(20), VALIDATION.labels]).mean()
              for t in record.model["decode"]["temperature"] * np.array([0.97, 1, 1.03])]  # fmt: skip
    assert losses[1] <= min(losses) + 1e-6  # the temperature is a local optimum


def test_the_saved_network_takes_levels_and_returns_named_logits(run):
    """Export expects raw levels in and an output called logits, without a softmax."""
    out, _, _ = run
    signature = tf.saved_model.load(out / "saved_model").signatures["serving_default"]
    (spec,) = signature.structured_input_signature[1].values()
    assert (tuple(spec.shape), spec.dtype) == ((1, 48, 48, 3), tf.float32)
    logits = signature(image=tf.constant(VALIDATION.images(48)[:1].astype(np.float32)))["logits"].numpy()
    assert logits.shape == (1, 9)
    assert logits.sum() != pytest.approx(1)  # no softmax inside
    with np.load(out / "predictions.npz") as kept:
        assert logits == pytest.approx(kept["logits"][:1], abs=1e-4)


def test_other_classes_are_calibrated_without_views(tmp_path):
    """A recipe with telescope views failed at its end with other classes."""
    classes = tuple(f"kind_{number}" for number in range(9))
    recipe = replace(TINY, views="telescopes", epochs=1, refit=False)
    record = fit(recipe, replace(TRAIN, classes=classes), replace(VALIDATION, classes=classes), tmp_path / "run")
    assert record.is_finished and record.model["classes"] == list(classes)
    assert record.model["decode"].keys() == {"temperature"} and "sure" not in record.metrics


@pytest.mark.slow
def test_the_network_converts_to_full_int8(run):
    """A float tensor would keep an accelerator from running the network."""
    pytest.importorskip("ai_edge_litert")
    with np.load(run[0] / "calibration.npz") as calibration:
        content = to_tflite(run[0] / "saved_model", calibration["images"])
    assert float_tensors(content) == []
    assert input_is_raw(content)
