"""Training of the detector: settings, anchors as the official ones, pretrained weights, a small run, its resuming."""

import dataclasses
import json
import zipfile

import cv2
import numpy as np
import pytest
from galaxy_edge.models.decode import anchor_grid
from galaxy_edge.training.data.sample import is_held_out, read_set
from galaxy_edge.training.detector.dataset import SceneBatches, split
from galaxy_edge.training.detector.distributed import Workers
from galaxy_edge.training.detector.fit import train
from galaxy_edge.training.detector.settings import PRESETS, DetectorSettings
from galaxy_edge.training.mobilenet.pretrained_weights import WeightsError
from galaxy_edge.training.run import RunError, lock_run_folder
from galaxy_edge.training.scenes.generator import SceneGenerator
from helpers.labelled_sets import make_close_ups, make_sets

SMALL = DetectorSettings(
    size=64, width=0.25, fpn_filters=16, head_convs=1, max_level=5, batch=4, epochs=2, images_per_epoch=12, threads=1
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 250}, "multiple of 32"),
        ({"architecture": "yolo"}, "ssd, quick, efficientdet"),
        ({"repeats": 0}, "repeats"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"min_level": 6, "max_level": 5}, "min_level <= max_level"),
        ({"images_per_epoch": 3}, "at least one batch"),
        ({"width": 0.0}, "width"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"ema": 1.0}, "ema"),
        ({"aspect_ratios": ()}, "aspect_ratios"),
        ({"patience": -1}, "patience"),
        ({"folds": 1}, "folds"),
        ({"folds": 3, "fold": 3}, "fold < folds"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        DetectorSettings(**change)


def test_settings_are_recorded_without_paths(tmp_path):
    values = DetectorSettings(weights=tmp_path / "start.npz").plain()
    assert json.loads(json.dumps(values)) == values
    assert values["weights"] == "start.npz"


def test_presets_are_settings():
    for name, preset in PRESETS.items():
        assert DetectorSettings(**preset).plain().items() >= preset.items(), name


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return make_sets(tmp_path_factory.mktemp("sets"))


def test_split_is_by_content_and_keeps_shares_apart(sets):
    samples = read_set(sets)
    train_share, held, record = split(samples, 1)
    keys = [{(sample.set, sample.file) for sample in share} for share in (train_share, held)]
    assert not keys[0] & keys[1] and keys[0] and keys[1]
    assert record["split"]["train"] + record["split"]["validation"] == sum(record["sets"].values())
    assert record["hash"] == split(list(reversed(samples)), 1)[2]["hash"]
    assert "rendered" in record["sources"]


def test_close_ups_only_teach_and_none_shows_a_galaxy_that_is_judged(sets, tmp_path):
    survey = [one for one in split(read_set(sets), 1)[1] if one.set == "gz_frames"]
    box = survey[0].boxes[0]
    middle, side = (box[:2] + box[2:]) / 2, 1.3 * max(box[2:] - box[:2])
    x, y = (int(value) for value in middle - side / 2)
    twin = cv2.resize(survey[0].load()[y : y + int(side), x : x + int(side)], (88, 88))
    place = make_close_ups(tmp_path, 20) / "efigi"
    with zipfile.ZipFile(place / "images.zip", "a") as archive:
        archive.writestr("twin.png", cv2.imencode(".png", twin[..., ::-1])[1].tobytes())
    with (place / "labels.csv").open("a") as table:
        table.write("twin.png,8,spiral\n")
    train_share, held, record = split(read_set(sets) + read_set(place), 1)
    taught = {one.file for one in train_share if one.set == "efigi"}
    assert record["sets"]["efigi"] == len(taught) > 10 and "twin.png" not in taught
    assert not any(one.set == "efigi" for one in held)
    assert "EFIGI: Baillard et al. 2011, A&A 532, A74" in record["sources"]


def test_two_processes_do_not_train_in_one_folder(sets, tmp_path):
    with lock_run_folder(tmp_path / "run"), pytest.raises(RunError, match="another process writes to"):
        train(sets, tmp_path / "run", SMALL)
    assert not (tmp_path / "run").exists()


def test_every_picture_is_held_out_in_one_fold(sets):
    samples = read_set(sets)
    folds = [split(samples, 1, 3, fold) for fold in range(3)]
    held = [(one.set, one.file) for _, some, _ in folds for one in some]
    assert len(held) == len(set(held)) == sum(folds[0][2]["sets"].values())
    for train_share, some, record in folds:
        assert all(is_held_out(record["split"], one.digest()) for one in some)
        assert not any(is_held_out(record["split"], one.digest()) for one in train_share)


def test_batches_are_named_by_their_number(sets):
    # So a resumed run sees what it would have seen.
    grid = anchor_grid(64, 64, **SMALL.grid)
    batches = SceneBatches(SceneGenerator(read_set(sets), 64), grid, range(4), 1)
    first = [images for images, _, _ in batches.run(0, 4)]
    again = [images for images, _, _ in batches.run(2, 4)]
    np.testing.assert_array_equal(first[2], again[0])
    np.testing.assert_array_equal(first[3], again[1])
    assert not np.array_equal(first[0], first[1])


def test_anchor_grid_is_the_official_one():
    anchor = pytest.importorskip("official.vision.ops.anchor", reason="needs tf-models-official (the detector extra)")
    official = anchor.Anchor(
        min_level=3, max_level=7, num_scales=2, aspect_ratios=[1.0, 2.0, 0.5], anchor_size=2.0, image_size=(256, 256)
    ).multilevel_boxes
    corners = np.concatenate([np.reshape(official[level], (-1, 4)) for level in sorted(official, key=int)])
    ours = anchor_grid(256, 256, 3, 7, 2.0, 2, (1.0, 2.0, 0.5))
    np.testing.assert_allclose(ours[:, :2], (corners[:, :2] + corners[:, 2:]) / 2, atol=1e-3)
    np.testing.assert_allclose(ours[:, 2:], corners[:, 2:] - corners[:, :2], atol=1e-3)


@pytest.fixture(scope="module")
def network():
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    from galaxy_edge.training.detector import networks as ssd

    return ssd.build_network(DetectorSettings(size=64, width=0.5, fpn_filters=16, head_convs=1, max_level=5))


@pytest.mark.slow
def test_folded_weights_give_the_folded_network(network, tmp_path):
    from galaxy_edge.training.mobilenet.pretrained_weights import WeightsError, load_backbone

    rng = np.random.default_rng(0)
    tensors = {}

    def put(name, kind, kernel):
        shape = tuple(kernel.shape)
        fan = np.prod(shape[:2]) * (1 if kind == "depthwise" else shape[2])
        values = rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)
        count = shape[2] if kind == "depthwise" else shape[3]
        bias = rng.normal(0, 0.1, count).astype(np.float32)
        kernel_name = "depthwise_Fold" if kind == "depthwise" else "Conv2D_Fold"
        tensors[f"{name}/{kernel_name}"] = values.transpose(3, 0, 1, 2)
        tensors[f"{name}/add_fold" if kind == "project" else f"{name}/BatchNorm_Fold/bias"] = bias
        return values, bias

    blocks = [block for block in network.backbone.layers if type(block).__name__ == "InvertedBottleneckBlock"]
    stem = next(block for block in network.backbone.layers if type(block).__name__ == "Conv2DBNBlock")
    kernel, bias = put("MobilenetV2/Conv", "conv", stem._conv0.weights[0])
    for number, block in enumerate(blocks):
        name = "MobilenetV2/expanded_conv" + (f"_{number}" if number else "")
        if number:
            put(f"{name}/expand", "expand", block._conv0.weights[0])
        put(f"{name}/depthwise", "depthwise", block._conv1.weights[0])
        put(f"{name}/project", "project", block._conv2.weights[0])
    np.savez(tmp_path / "weights.npz", **tensors)
    images = rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    assert load_backbone(network.backbone, tmp_path / "weights.npz", images) == 51

    import tensorflow as tf

    x = tf.constant(images / 127.5 - 1, tf.float32)
    expected = tf.nn.relu6(tf.nn.conv2d(x, kernel, 2, "SAME") + bias)
    np.testing.assert_allclose(stem(x, training=False), expected, atol=1e-3)
    still, moving = network.backbone(x, training=False), network.backbone(x, training=True)
    for level in ("3", "4", "5"):
        assert np.corrcoef(np.ravel(still[level]), np.ravel(moving[level]))[0, 1] > 0.99

    del tensors["MobilenetV2/expanded_conv_7/project/add_fold"]
    np.savez(tmp_path / "torn.npz", **tensors)
    with pytest.raises(WeightsError, match="expanded_conv_7"):
        load_backbone(network.backbone, tmp_path / "torn.npz", images)
    with pytest.raises(WeightsError, match="no such"):
        load_backbone(network.backbone, tmp_path / "none.npz", images)


@pytest.mark.slow
def test_a_run_is_whole_and_resumes(sets, tmp_path):
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    seen = []
    first = train(sets, tmp_path / "run", dataclasses.replace(SMALL, epochs=1), report=seen.append)
    assert len(seen) == 3 and seen[-1]["step"] == seen[-1]["steps"] == 3 and np.isfinite(seen[-1]["loss"])
    assert cv2.imread(str(tmp_path / "run" / "scenes.png")).shape[1] > 1500  # what it was fed, to be looked at
    with pytest.raises(RunError, match="resume"):
        train(sets, tmp_path / "run", SMALL)
    record = train(sets, tmp_path / "run", SMALL, resume=True, report=seen.append)
    assert seen[3]["epoch"] == 2 and len(seen) == 6, "the first epoch is not trained again"
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    kept = (tmp_path / "run" / "run.json").read_bytes()
    assert train(sets, tmp_path / "run", SMALL, resume=True, report=seen.append) == record
    assert len(seen) == 6 and (tmp_path / "run" / "run.json").read_bytes() == kept, "what is finished stays as it is"
    assert first.model == record.model and record.model["parameters"] > 0 and record.model["macs"] > 0

    evaluation = np.load(tmp_path / "run" / "evaluation.npz")
    count = len(evaluation["images"])
    assert all(len(evaluation[name]) == count for name in ("complete", "set", "negative"))
    assert len(evaluation["boxes"]) == len(evaluation["box_frame"]) and evaluation["box_frame"].max() < count
    assert np.load(tmp_path / "run" / "calibration.npz")["images"].shape == (200, 64, 64, 3)

    import tensorflow as tf

    predict = tf.saved_model.load(str(tmp_path / "run" / "saved_model")).signatures["serving_default"]
    answer = predict(image=tf.constant(evaluation["images"][:1], tf.float32))
    anchors = len(anchor_grid(64, 64, **SMALL.grid))
    assert answer["boxes"].shape == (1, anchors, 4) and answer["scores"].shape == (1, anchors)


def test_the_best_weights_are_kept(network, tmp_path):
    import tensorflow as tf
    from galaxy_edge.training.detector.trainer import DetectorTrainer

    learner = DetectorTrainer(network, 0.01)
    file, good = tmp_path / "best", [value.numpy() for value in learner.averages]
    learner.epoch.assign(3)
    learner.keep_if_best(0.5, file)
    for average in learner.averages:
        average.assign(tf.ones_like(average))
    learner.epoch.assign(4)
    learner.keep_if_best(0.5, file)  # no better
    assert (int(learner.best_epoch), float(learner.best_score)) == (3, 0.5)
    learner.take_best(file)
    for average, value in zip(learner.averages, good, strict=True):
        np.testing.assert_array_equal(average, value)
    learner.keep_if_best(0.6, file)
    assert int(learner.best_epoch) == 4


@pytest.mark.slow
def test_folds_are_trained_until_they_get_no_better(sets, tmp_path):
    """Whether and when a training stops is told by its own log; a fold that is finished is not trained again."""
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    from galaxy_edge.training.detector.cross_validation import train_folds

    settings, out = dataclasses.replace(SMALL, epochs=2, patience=1), tmp_path / "run"
    result = train_folds(sets, out, settings, 2)
    for fold in (1, 2):
        lines = [json.loads(line) for line in (out / f"fold{fold}" / "log.jsonl").read_text().splitlines()]
        scores = [line["map50"] for line in lines]
        better = [score > max([-1.0, *scores[:place]]) for place, score in enumerate(scores)]
        assert all(better[:-1]) and (not better[-1] or len(lines) == settings.epochs)
        record = json.loads((out / f"fold{fold}" / "run.json").read_text())
        assert record["data"]["split"]["fold"] == fold - 1
        assert result["metrics"]["map50"]["values"][fold - 1] == record["metrics"]["map50"]
    values = result["metrics"]["map50"]["values"]
    assert result["metrics"]["map50"]["mean"] == pytest.approx(sum(values) / 2)
    assert "| map50 |" in (out / "folds.md").read_text()
    seen = []
    assert train_folds(sets, out, settings, 2, resume=True, report=seen.append) == result and not seen
    with pytest.raises(RunError, match=r"width=0\.25, not 0\.5"):  # its mean would be of two networks
        train_folds(sets, out, dataclasses.replace(settings, width=0.5), 2, resume=True)


def test_workers_cannot_stop_early(sets, tmp_path):
    settings = dataclasses.replace(SMALL, patience=2)
    with pytest.raises(RunError, match="--patience"):
        train(sets, tmp_path / "run", settings, workers=Workers(("127.0.0.1:1", "127.0.0.1:2")))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_efficientdet_gives_an_answer_an_anchor_where_sides_are_rounded_up():
    # 96 pixels are 3 cells at level 5 and 2 at level 6, of which one is half outside.
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    from galaxy_edge.training.detector import networks as ssd

    settings = DetectorSettings(
        architecture="efficientdet", size=96, fpn_filters=16, head_convs=1, repeats=2, max_level=6, scales_per_octave=1
    )
    model = ssd.build_network(settings)
    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 3)).astype(np.float32)
    deltas, logits = ssd.raw_outputs(model, images, training=False)
    anchors = len(anchor_grid(96, 96, **settings.grid))
    assert anchors == 3 * (12 * 12 + 6 * 6 + 3 * 3 + 2 * 2)
    assert deltas.shape == (2, anchors, 4) and logits.shape == (2, anchors)
    assert not any("se" in part.name.split("_") for part in model.submodules if hasattr(part, "name"))


@pytest.mark.slow
def test_the_quick_network_gives_an_answer_an_anchor_and_takes_no_weights_of_another(tmp_path):
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    from galaxy_edge.training.detector import networks as ssd
    from galaxy_edge.training.mobilenet.pretrained_weights import WeightsError, load_backbone

    settings = DetectorSettings(**PRESETS["quick"] | {"size": 64, "width": 0.25, "fpn_filters": 16})
    model = ssd.build_network(settings)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    features = model.backbone(images.astype(np.float32), training=False)
    assert [features[level].shape[1] for level in "2345"] == [16, 8, 4, 2], "a level halves the one before"
    deltas, logits = ssd.raw_outputs(model, images.astype(np.float32), training=False)
    anchors = len(anchor_grid(64, 64, **settings.grid))
    assert deltas.shape == (2, anchors, 4) and logits.shape == (2, anchors)
    np.savez(
        tmp_path / "v2.npz",
        **{
            "MobilenetV2/Conv/Conv2D_Fold": np.zeros((8, 3, 3, 3), np.float32),
            "MobilenetV2/Conv/BatchNorm_Fold/bias": np.zeros(8, np.float32),
        },
    )
    with pytest.raises(WeightsError, match=r"shape \(3, 3, 3, 8\)"):
        load_backbone(model.backbone, tmp_path / "v2.npz", images)


def test_weights_that_do_not_fit_leave_no_run_in_the_way_of_the_next_try(sets, tmp_path):
    (tmp_path / "start.npz").write_bytes(b"no weights")
    settings = dataclasses.replace(SMALL, weights=tmp_path / "start.npz")
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"start\.npz is not a npz file, or is truncated"):
            train(sets, tmp_path / "run", settings)
    assert not (tmp_path / "run" / "run.json").exists()
