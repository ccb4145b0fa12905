"""The classifier's training, end to end on a tiny synthetic set, and its parts alone."""

import csv
import json
import zipfile

import cv2
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from galaxy_edge.export.convert import float_tensors, input_is_raw, to_tflite  # noqa: E402
from galaxy_edge.models.labels import CLASSES, GALAXY10  # noqa: E402
from galaxy_edge.training.classifier import ClassifierSettings, fit_temperature, learning_rate, train  # noqa: E402
from galaxy_edge.training.data import DataError, read_set  # noqa: E402
from galaxy_edge.training.galaxies import draw_weights, network_input, pick_calibration, split, targets_of  # noqa: E402
from galaxy_edge.training.networks import classifier_network, multiply_adds, refresh_normalisation  # noqa: E402
from galaxy_edge.training.run import RunError, read_record  # noqa: E402

TINY = ClassifierSettings(epochs=2, width=0.34, batch=8, rates=(3e-3, 2e-3), validation=0.2)
EDGE_ON = [name.startswith("edge_on") for name in CLASSES]


def galaxy(g10: int, size: int, seed: int) -> bytes:
    rng = np.random.default_rng([seed, g10])
    image = rng.integers(0, 12, (size, size, 3)).astype(np.uint8)
    axes = (size // 3, max(1, round(size / 3 / (1 + g10 % 4))))
    cv2.ellipse(image, (size // 2, size // 2), axes, float(rng.uniform(0, 180)), 0, 360, (200, 120 + 10 * g10, 160), -1)
    return cv2.imencode(".png", image)[1].tobytes()


def write_table(path, rows):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six EFIGI pictures a class, eight Galaxy Zoo frames with boxes, of which four have a coarse label only."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("efigi", "gz"):
        (folder / name).mkdir()
    rows = []
    with zipfile.ZipFile(folder / "efigi/images.zip", "w") as archive:
        for seed in range(6):
            for g10 in (0, 1, 2, 3, 4, 6, 7, 8, 9):
                file = f"{g10}_{seed}.png"
                archive.writestr(file, galaxy(g10, 88, seed))
                rows.append(dict(file=file, g10=g10, coarse="smooth" if g10 in (1, 2, 3) else ""))
    write_table(folder / "efigi/labels.csv", rows)
    rows = []
    with zipfile.ZipFile(folder / "gz/tag.zip", "w") as archive:
        for seed in range(8):
            archive.writestr(f"{seed}.png", galaxy(4, 120, 100 + seed))
            rows.append(dict(file=f"tag/{seed}.png", g10=4 if seed < 4 else -1, g10_p="", coarse="edge_on", xmin=20,
                             ymin=20, xmax=100, ymax=100, box_flag="ok", uxmin=20, uymin=20, uxmax=100, uymax=100,
                             ubox_flag="ok"))
    write_table(folder / "gz/index.csv", rows)
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    told = []
    record = train(data, out, TINY, report=told.append)
    return out, record, told


def test_record_says_what_export_needs(run):
    out, record, _ = run
    assert read_record(out) == json.loads(json.dumps(record))
    assert record["task"] == "classify"
    assert record["settings"]["seed"] == TINY.seed
    model = record["model"]
    assert model["input"] == {"width": 69, "height": 69}
    assert model["preprocess"] == {"kind": "crop", "margin": TINY.margin}
    assert (model["outputs"], model["classes"]) == (["logits"], list(CLASSES))
    assert 0.2 <= model["decode"]["temperature"] <= 5
    assert model["parameters"] > 0 and model["macs"] > 0
    metrics = record["metrics"]
    assert 0 <= metrics["macro_f1"] <= 1 and set(metrics["recall"]) == set(CLASSES)
    assert sum(part["images"] for part in metrics["sets"].values()) == metrics["images"]
    split_record = record["data"]["split"]
    assert record["data"]["sets"] == {"efigi": 54, "gz_frames": 8}
    assert split_record["validation"] == metrics["images"]


def test_every_epoch_is_told_and_logged(run):
    out, _, told = run
    assert [one["epoch"] for one in told] == [1, 2]
    assert set(told[0]) == {"epoch", "epochs", "loss", "macro_f1"}
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [one["loss"] for one in told]


def test_arrays_for_export_are_raw_network_inputs(run):
    out, record, _ = run
    with np.load(out / "evaluation.npz") as held, np.load(out / "calibration.npz") as calibration:
        assert held["images"].shape == (record["metrics"]["images"], 69, 69, 3)
        assert held["images"].dtype == calibration["images"].dtype == np.uint8
        assert held["labels"].max() < 9 and set(held["set"]) <= {"efigi", "gz_frames"}
        # What is calibrated on is not what is judged on.
        judged = {image.tobytes() for image in held["images"]}
        assert not judged & {image.tobytes() for image in calibration["images"]}


def test_saved_network_takes_levels_and_gives_named_logits(run):
    out, _, _ = run
    signature = tf.saved_model.load(out / "saved_model").signatures["serving_default"]
    (spec,) = signature.structured_input_signature[1].values()
    assert (tuple(spec.shape), spec.dtype) == ((1, 69, 69, 3), tf.float32)
    with np.load(out / "evaluation.npz") as held:
        image = held["images"][:1]
    logits = signature(image=tf.constant(image.astype(np.float32)))["logits"].numpy()
    assert logits.shape == (1, 9)
    assert logits.sum() != pytest.approx(1)  # no softmax inside


@pytest.mark.slow
def test_network_becomes_int8_throughout(run):
    pytest.importorskip("ai_edge_litert")
    out, _, _ = run
    with np.load(out / "calibration.npz") as calibration:
        content = to_tflite(out / "saved_model", calibration["images"])
    assert float_tensors(content) == []
    assert input_is_raw(content)


def test_resume_goes_on_where_it_stopped(data, run, tmp_path):
    # As after a kill: the checkpoint of epoch 1 of 2 is there, and nothing that comes after it.
    whole, _, _ = run
    told = []

    class Killed(Exception):
        pass

    def kill(values):
        raise Killed

    with pytest.raises(Killed):
        train(data, tmp_path, TINY, report=kill)
    assert not (tmp_path / "saved_model").exists()
    with pytest.raises(RunError, match="--resume"):
        train(data, tmp_path, TINY)
    train(data, tmp_path, TINY, resume=True, report=told.append)
    assert [one["epoch"] for one in told] == [2]
    losses = [[json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
              for folder in (whole, tmp_path)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)  # as if it had never stopped
    with pytest.raises(RunError, match="width"):
        train(data, tmp_path, ClassifierSettings(epochs=2, width=0.5, batch=8, validation=0.2), resume=True)


@pytest.mark.parametrize("name, value", [("size", 8), ("epochs", 0), ("validation", 0.0), ("rates", ()),
                                         ("rates", (-1.0,)), ("margin", -0.1), ("average", 1.0)])
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        ClassifierSettings(**{name: value})


def test_targets_of_each_kind_of_label(data):
    fine, coarse = (next(one for one in read_set(data / "gz") if (one.label >= 0) is known) for known in (True, False))
    assert targets_of(fine).tolist() == [name == GALAXY10[4] for name in CLASSES]
    assert targets_of(coarse).tolist() == EDGE_ON


def test_validation_has_classes_only_and_shares_no_picture(data):
    training, validation, _ = split(read_set(data), 0.3, seed=3)
    assert all(sample.label >= 0 for sample in validation)
    assert not {one.digest() for one in training} & {one.digest() for one in validation}


def test_set_without_labels_is_refused(data):
    with pytest.raises(DataError, match="too few"):
        split([one for one in read_set(data / "gz") if one.label < 0], 0.2, seed=1)


def test_rare_classes_are_drawn_more_often_but_not_equally(data):
    samples = [one for one in read_set(data) if one.label >= 0]
    weights = draw_weights(samples)
    assert weights.sum() == pytest.approx(1)
    labels = np.array([one.label for one in samples])
    # Edge-on with a rounded bulge has 10 pictures, the others 6.
    assert weights[labels == 4].sum() / weights[labels == 0].sum() == pytest.approx((10 / 6) ** 0.5)


def test_calibration_covers_every_class(data):
    chosen = pick_calibration(read_set(data), np.random.default_rng(0))
    assert {one.label for one in chosen[:9]} == set(range(9))


def test_input_is_the_crop_of_the_box_or_the_whole_picture():
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 40:60] = 200
    box = np.array([[40, 40, 60, 60]], np.float32)
    assert network_input(image, box, 0.0, 69).min() == 200
    assert network_input(image, box[:0], 0.0, 69).mean() == pytest.approx(200 * 0.04, rel=0.1)


def test_learning_rate_restarts_each_cycle():
    rates = [learning_rate(step, 2000, (3e-3, 2e-3)) for step in range(2000)]
    assert max(rates[:1000]) == pytest.approx(3e-3, rel=0.05) and max(rates[1000:]) == pytest.approx(2e-3, rel=0.05)
    assert rates[0] < 1e-4 and rates[999] < 1e-4 and rates[1999] < 1e-4


def test_temperature_undoes_overconfidence():
    # Logits drawn from a known softmax and then tripled: three is what must come out.
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (5000, 9))
    powers = np.exp(logits)
    labels = np.array([rng.choice(9, p=row / row.sum()) for row in powers])
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)


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
    inner = tf.keras.Model(network.input, first.input)
    means = [inner(batch.astype(np.float32)).numpy().mean(axis=(0, 1, 2)) for batch in batches]
    assert first.moving_mean.numpy() == pytest.approx(np.mean(means, axis=0), rel=1e-3, abs=1e-5)
    assert first.momentum == 0.95
