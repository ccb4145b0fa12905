"""A training end to end on a few drawn galaxies, and what a stop may not change."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from galaxy_edge.export.tflite.convert import input_is_raw
from galaxy_edge.models.decode import softmax
from galaxy_edge.models.labels import CLASSES, coarse_group
from galaxy_edge.training.classifier.attributes import ATTRIBUTES
from galaxy_edge.training.classifier.dataset import GalaxyDataset
from galaxy_edge.training.classifier.fit import fit
from galaxy_edge.training.classifier.keras_utils import multiply_adds, refresh_normalisation
from galaxy_edge.training.classifier.recipe import RECIPES, build
from galaxy_edge.training.classifier.schedules import Plateau
from galaxy_edge.training.data.sample import DataError
from galaxy_edge.training.mobilenet.pretrained_weights import WeightsError
from galaxy_edge.training.run import RunError, RunRecord, lock_run_folder, read_record, write_json
from helpers.networks import classifier_network
from helpers.tflite import float_tensors, to_tflite
from helpers.tiny_recipe import TINY


def galaxy(label, size, seed):
    rng = np.random.default_rng([seed, label])
    image = rng.integers(0, 12, (size, size, 3)).astype(np.uint8)
    axes = (size // 3, max(1, round(size / 3 / (1 + label % 4))))
    cv2.ellipse(
        image, (size // 2, size // 2), axes, float(rng.uniform(0, 180)), 0, 360, (200, 110 + 15 * label, 160), -1
    )
    return image


def picture_set(rows):
    """Make a set of rows: label, -1 for edge-on without a class; side; seed; whether boxed, as Galaxy Zoo frames are."""
    box = np.array([20, 20, 100, 100], np.float32)
    images = [galaxy(label if label >= 0 else 4, side, seed) for label, side, seed, _ in rows]
    return GalaxyDataset(
        CLASSES,
        np.array([row[0] for row in rows]),
        tuple(coarse_group(CLASSES[row[0]]) if row[0] >= 0 else "edge_on" for row in rows),
        tuple(f"{index}-{row}" for index, row in enumerate(rows)),
        tuple("gz_frames" if row[3] else "efigi" for row in rows),
        tuple(
            lambda one=one, boxed=row[3]: (one, box if boxed else None) for one, row in zip(images, rows, strict=True)
        ),
        0.3,
        ("drawn",),
    )


LEARN = picture_set([(label, 88, seed, False) for seed in range(4) for label in range(9)]
                    + [(4 if seed < 2 else -1, 120, 100 + seed, True) for seed in range(6)])  # fmt: skip
JUDGED = picture_set([(label, 88, seed, False) for seed in (4, 5) for label in range(9)]
                     + [(4, 120, 106 + seed, True) for seed in range(2)])  # fmt: skip


# What experts said of those that are like EFIGI's; here and there they said nothing.
SAID = (
    np.random.default_rng(9).choice([0, 0.25, 0.5, 0.75, 1, np.nan], (len(LEARN), len(ATTRIBUTES))).astype(np.float32)
)
SAID[36:] = np.nan
LEARN = replace(LEARN, attributes=SAID)


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights_of(folder):
    return keras.saving.load_model(folder / "model.keras", compile=False).get_weights()


def copied_after(epoch, out, place):
    """Copy a run's folder when an epoch is over: what is there if the power fails then."""
    return lambda values: shutil.copytree(out, place) if values["epoch"] == epoch else None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root, told = tmp_path_factory.mktemp("runs"), []
    stopped = copied_after(1, root / "run", root / "stopped")

    def report(values):
        told.append(values)
        stopped(values)

    record = fit(TINY, LEARN, JUDGED, root / "run", seed=3, report=report, split={"seed": 1, "hash": "5" * 64})
    return root / "run", record, told


def test_record_says_what_export_needs(run):
    out, record, _ = run
    assert read_record(out) == RunRecord.from_dict(json.loads(json.dumps(record.to_dict())))
    assert record.task == "classify"
    assert record.settings == {**TINY.to_dict(), "seed": 3, "threads": 1, "taught": False, "weights": None}
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


def test_every_epoch_is_told_and_logged(run):
    out, _, told = run
    assert [one["epoch"] for one in told] == [1, 2]
    assert {"epoch", "epochs", "loss", "macro_f1"} <= set(told[0])
    assert [line["loss"] for line in log_of(out)] == [one["loss"] for one in told]
    assert all((out / name).stat().st_size > 1000 for name in ("learning.png", "confusion.png", "reliability.png"))
    assert list((out / "tensorboard").iterdir())


def test_arrays_for_export_are_raw_network_inputs(run):
    out, _, _ = run
    with np.load(out / "evaluation.npz") as held, np.load(out / "calibration.npz") as calibration:
        assert np.array_equal(held["images"], JUDGED.images(48)) and np.array_equal(held["labels"], JUDGED.labels)
        assert held["images"].dtype == calibration["images"].dtype == np.uint8
        assert list(held["set"]) == list(JUDGED.sources)
        # What is calibrated on is what is learnt from, never what is judged on.
        learnt = {image.tobytes() for image in LEARN.take(LEARN.labelled).images(48)}
        assert {image.tobytes() for image in calibration["images"]} == learnt
        assert not learnt & {image.tobytes() for image in held["images"]}


def test_predictions_are_those_of_the_saved_model(run):
    out, record, _ = run
    model = keras.saving.load_model(out / "model.keras", compile=False)
    logits = np.asarray(model(JUDGED.images(48).astype(np.float32), training=False))
    with np.load(out / "predictions.npz") as kept:
        assert kept["logits"] == pytest.approx(logits, abs=1e-4)
        assert tuple(kept["ids"]) == JUDGED.ids
    # The score in the record is that of these predictions, counted elsewhere.
    sklearn = pytest.importorskip("sklearn.metrics")
    f1 = sklearn.f1_score(JUDGED.labels, logits.argmax(axis=1), average="macro", labels=np.unique(JUDGED.labels))
    assert record.metrics["macro_f1"] == pytest.approx(f1)
    losses = [-np.log(softmax(logits, t)[np.arange(20), JUDGED.labels]).mean()
              for t in record.model["decode"]["temperature"] * np.array([0.97, 1, 1.03])]  # fmt: skip
    assert losses[1] <= min(losses) + 1e-6  # its temperature is the best of its neighbours


def test_saved_network_takes_levels_and_gives_named_logits(run):
    out, _, _ = run
    signature = tf.saved_model.load(out / "saved_model").signatures["serving_default"]
    (spec,) = signature.structured_input_signature[1].values()
    assert (tuple(spec.shape), spec.dtype) == ((1, 48, 48, 3), tf.float32)
    logits = signature(image=tf.constant(JUDGED.images(48)[:1].astype(np.float32)))["logits"].numpy()
    assert logits.shape == (1, 9)
    assert logits.sum() != pytest.approx(1)  # no softmax inside
    with np.load(out / "predictions.npz") as kept:
        assert logits == pytest.approx(kept["logits"][:1], abs=1e-4)


@pytest.mark.slow
def test_network_becomes_int8_throughout(run):
    pytest.importorskip("ai_edge_litert")
    with np.load(run[0] / "calibration.npz") as calibration:
        content = to_tflite(run[0] / "saved_model", calibration["images"])
    assert float_tensors(content) == []
    assert input_is_raw(content)


def test_resume_goes_on_where_it_stopped(run):
    # The checkpoint of epoch 1 of 2 is there, and nothing that comes after it. Dropout, mixup, the averaged weights
    # and the optimiser must all go on, or some number below differs.
    whole, _, _ = run
    stopped, told, options = whole.with_name("stopped"), [], {"seed": 3, "split": {"seed": 1}}
    assert not (stopped / "saved_model").exists() and not read_record(stopped).is_finished
    with pytest.raises(RunError, match="--resume"):
        fit(TINY, LEARN, JUDGED, stopped, **options)
    fit(TINY, LEARN, JUDGED, stopped, resume=True, report=told.append, **options)
    assert [one["epoch"] for one in told] == [2]
    same_training(whole, stopped)


def same_training(one, other):
    """Compare every number logged and every weight kept, to the bit."""
    for row, twin in zip(log_of(one), log_of(other), strict=True):
        assert {**row, "time": 0} == {**twin, "time": 0}
    for value, twin in zip(weights_of(one), weights_of(other), strict=True):
        assert np.array_equal(value, twin)


@pytest.mark.parametrize(("change", "message"), [
    ({"recipe": replace(TINY, decay=0.1)}, "decay=0.02, not 0.1"),
    ({"recipe": replace(RECIPES["simple"], size=48)}, "network=small, not simple"),
    ({"seed": 4}, "seed=3, not 4"),
    ({"train": LEARN.take(np.arange(30))}, "other data"),
    ({"soft": np.full((42, 9), 1 / 9)}, "taught=False, not True"),
])  # fmt: skip
def test_a_folder_of_another_run_is_refused(run, change, message):
    before = (run[0] / "run.json").read_text()
    values = {"recipe": TINY, "train": LEARN, "validation": JUDGED, "seed": 3, **change}
    with pytest.raises(RunError, match=message):
        fit(out=run[0], resume=True, **values)
    assert (run[0] / "run.json").read_text() == before


def test_a_finished_run_is_left_as_it_is(run):
    # Measured anew, its averaged weights would settle on other views, and what was exported from it be another network.
    out, record, told = run
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    assert fit(TINY, LEARN, JUDGED, out, seed=3, resume=True, report=told.append) == RunRecord.from_dict(
        json.loads(json.dumps(record.to_dict()))
    )
    assert {path: path.stat().st_mtime_ns for path in before} == before and len(told) == 2


def test_a_run_is_not_resumed_for_fewer_epochs_than_it_has(run):
    before = (run[0] / "run.json").read_text()
    with pytest.raises(RunError, match="already has 2 epochs: request at least as many"):
        fit(replace(TINY, epochs=1), LEARN, JUDGED, run[0], seed=3, resume=True)
    assert (run[0] / "run.json").read_text() == before


def test_a_run_that_another_process_is_at_is_left_alone(tmp_path):
    with lock_run_folder(tmp_path / "run"), pytest.raises(RunError, match="another process writes to"):
        fit(TINY, LEARN, JUDGED, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_pupil_is_not_resumed_with_another_teacher(tmp_path):
    soft, learn = np.full((36, 9), 1 / 9), LEARN.take(np.arange(36))
    recipe = replace(TINY, epochs=1)
    fit(recipe, learn, JUDGED, tmp_path, soft=soft, teachers=["a" * 64])
    with pytest.raises(RunError, match="started with teachers="):
        fit(replace(recipe, epochs=2), learn, JUDGED, tmp_path, soft=soft, teachers=["b" * 64], resume=True)


@pytest.mark.parametrize(("recipe", "train", "weights", "error", "message"), [
    (RECIPES["vgg_features"], LEARN, "nosuch.h5", WeightsError, "nosuch.h5"),
    (RECIPES["scratch"], LEARN.take(np.arange(8)), None, DataError, "no training image of class 'spiral_loose'"),
    (TINY, LEARN.take([0, 9, 18]), None, DataError, "all training images are of class 'disk_no_spiral'"),
])  # fmt: skip
def test_what_cannot_begin_leaves_its_place_free(recipe, train, weights, error, message, tmp_path):
    # Who mends what was wrong gives the same command again, and it must not find a run in its way.
    with pytest.raises(error, match=message):
        fit(recipe, train, JUDGED, tmp_path / "run", weights=weights and tmp_path / weights)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("train", "validation"), [(LEARN.take([-1, -2]), JUDGED), (LEARN, JUDGED.take([]))])
def test_nothing_to_learn_from_or_to_judge_on_is_said_at_once(train, validation, tmp_path):
    # Coarse groups alone name no class.
    with pytest.raises(DataError, match=r"too few of \d+ training and \d+ validation images"):
        fit(TINY, train, validation, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_plateau_resumed_is_a_plateau_that_never_stopped(tmp_path):
    # At this rate the loss jumps about: it falls, the rate falls with it, and the best weights are not the last.
    recipe = replace(RECIPES["scratch"], size=32, batch=16, epochs=4, rates=(0.01,), patience=1, stop_after=2)
    learn = LEARN.take(LEARN.labelled)
    straight, halves = tmp_path / "straight", tmp_path / "halves"
    fit(recipe, learn, JUDGED, straight, report=copied_after(2, straight, halves))
    # Begun for two epochs and then wanted longer, it is the same: rates hang on losses, not on the length.
    write_json(
        halves / "run.json", replace(begun := read_record(halves), settings={**begun.settings, "epochs": 2}).to_dict()
    )
    fit(recipe, learn, JUDGED, halves, resume=True)
    same_training(straight, halves)
    rows = log_of(straight)
    # It ends when, and with what rates, its own losses say.
    losses, schedule, expected = [row["val_loss"] for row in rows], Plateau(0.01, recipe.factor, 1, 2), []
    for loss in losses:
        assert not schedule.is_over
        expected.append(schedule.rate(0))
        schedule.update(loss)
    assert schedule.is_over or len(rows) == 4
    assert [row["rate"] for row in rows] == pytest.approx(expected)
    # What is kept is the best, as its own predictions show.
    with np.load(halves / "predictions.npz") as kept:
        kept_loss = -np.log(softmax(kept["logits"])[np.arange(20), JUDGED.labels]).mean()
    assert kept_loss == pytest.approx(min(losses), abs=1e-4)


def test_multiply_adds_of_a_network_small_enough_to_count():
    network = classifier_network(32, 1.0, 9)
    # Sides 16, 8, 8, 4, then separable at 4, 4, 2, 2.
    plain = 16**2 * 75 * 12 + 8**2 * 9 * (12 * 24 + 24 * 24) + 4**2 * 9 * 24 * 48
    separable = 2 * 4**2 * (9 * 48 + 48 * 48) + 2**2 * (9 * 48 + 48 * 96) + 2**2 * (9 * 96 + 96 * 96)
    assert multiply_adds(network) == plain + separable + 96 * 9


def test_refreshed_normalisation_is_the_mean_over_batches():
    network = classifier_network(32, 0.34, 9)
    batches = [np.random.default_rng(seed).integers(0, 255, (4, 32, 32, 3)).astype(np.uint8) for seed in range(3)]
    refresh_normalisation(network, batches)
    first = next(layer for layer in network.layers if "batch_normalization" in layer.name)
    inner = keras.Model(network.input, first.input)
    means = [inner(batch.astype(np.float32)).numpy().mean(axis=(0, 1, 2)) for batch in batches]
    assert first.moving_mean.numpy() == pytest.approx(np.mean(means, axis=0), rel=1e-3, abs=1e-5)
    assert first.momentum == 0.95
