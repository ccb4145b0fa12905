"""Training on scenes like raw exposures, and continued from an exported detector."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from galaxy_edge.models.bundle import shipped_bundle_path
from galaxy_edge.models.decode import anchor_grid
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.detector.fit import train
from galaxy_edge.training.detector.raw_data import RAW, REUSE, PooledBatches
from galaxy_edge.training.detector.settings import PRESETS, DetectorSettings
from galaxy_edge.training.mobilenet.folded import WeightsError
from galaxy_edge.training.scenes.generator import Scene
from galaxy_edge.training.scenes.raw_frames import TABLE
from helpers.small_detector import SMALL


class Counting:
    """Draws scenes with one box, and counts them."""

    def __init__(self):
        self.drawn = 0

    def draw(self, rng):
        self.drawn += 1
        image = np.zeros((64, 64, 3), np.uint8)
        x, y = rng.integers(0, 30, 2)
        image[y : y + 20, x : x + 30] = rng.integers(50, 255)
        return Scene(image, np.array([[x, y, x + 30, y + 20]], np.float32), np.zeros((0, 4), np.float32), "one")


@pytest.fixture
def anchors():
    return anchor_grid(64, 64, **DetectorSettings(**PRESETS["quick"]).grid)


def test_pooled_scenes_are_reused_and_batches_are_repeatable(anchors):
    maker = Counting()
    batches = PooledBatches(maker, anchors, range(10), 1)
    first = [batches.make(step) for step in range(12)]
    assert 120 / REUSE <= maker.drawn <= 120 / REUSE + 1
    again = PooledBatches(Counting(), anchors, range(10), 1).make(11)
    assert all(np.array_equal(value, other) for value, other in zip(first[11], again, strict=True))
    assert first[0][0].shape == (10, 64, 64, 3) and (first[0][1] == 1).any(axis=1).all()


def test_workers_draw_scenes_of_their_own(anchors):
    """The second worker's batch was the first one's next."""
    seen = []
    for positions in (range(6), range(6, 12)):
        batches = PooledBatches(Counting(), anchors, positions, 1)
        seen.append({image.max(axis=2).tobytes() for step in range(5) for image in batches.make(step)[0]})
    whole = PooledBatches(Counting(), anchors, range(6), 1).make(2)[0]
    assert not seen[0] & seen[1] and {image.max(axis=2).tobytes() for image in whole} <= seen[0]


SIZES = Path(__file__).parents[3] / "models" / "more_sizes"


@pytest.mark.parametrize("preset, max_level", [("quick", 7), ("base", 7), ("nano", 5), ("nano", 6), ("nano", 7)])
def test_training_continues_from_an_exported_network(preset, max_level):
    """The network's outputs are the file's, and similar with batch statistics.

    Those of more levels are added to them, those of fewer levels left out.
    """
    pytest.importorskip("official.vision")
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter
    from galaxy_edge.training.detector import networks as ssd
    from galaxy_edge.training.detector.tflite_weights import load_exported

    bundle = shipped_bundle_path("galaxy-detector") if preset == "quick" else SIZES / preset / "galaxy-detector"
    path, settings = bundle / "fp32.tflite", DetectorSettings(**(PRESETS[preset] | {"max_level": max_level}))
    model = ssd.build_network(settings)
    images = np.random.default_rng(1).integers(0, 255, (6, settings.size, settings.size, 3)).astype(np.uint8)
    load_exported(model, path, images)
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    expected = interpreter.get_signature_runner()(image=images[:1].astype(np.float32))
    boxes, scores = ssd.raw_outputs(model, tf.constant(images, tf.float32), training=False)
    of_level = {6: 3 * 3 * 2 * 3, 7: 2 * 2 * 2 * 3}  # of the smallest network: positions, scales, ratios
    more = {5: -of_level[6], 7: of_level[7]}.get(max_level, 0) if preset == "nano" else 0
    assert scores.shape[1] - expected["scores"].size == more
    count = expected["scores"].size + min(more, 0)
    assert np.abs(boxes[:1, :count].numpy() - expected["boxes"][:, :count]).max() < 1e-3
    assert np.abs(scores[:1, :count].numpy() - expected["scores"][:, :count]).max() < 1e-3
    trained = ssd.raw_outputs(model, tf.constant(images, tf.float32), training=True)[1]
    assert np.abs(trained.numpy() - scores.numpy()).mean() < 0.05


@pytest.mark.parametrize(
    "smaller, same, similar",
    [
        ({"stage_blocks": (1, 3, 2)}, "4", "5"),
        ({"stage_blocks": (1, 2, 3)}, "3", "4"),
        ({"stage_blocks": (1, 3, 0)}, "4", "5"),
        ({"expansions": (2, 2, 3)}, "3", "4"),
        ({"expansions": (2, 3, 2.5)}, "4", "5"),
    ],
)
def test_a_network_with_fewer_or_narrower_blocks_starts_from_the_others(smaller, same, similar):
    """Left out are the last blocks of a stage, or channels of its blocks.

    The others are the file's.
    """
    pytest.importorskip("official.vision")
    import tensorflow as tf
    from galaxy_edge.training.detector import networks as ssd
    from galaxy_edge.training.detector.tflite_weights import load_exported

    images = np.random.default_rng(1).integers(0, 255, (4, 64, 64, 3)).astype(np.uint8)
    levels = []
    for changes in ({}, smaller):
        model = ssd.build_network(DetectorSettings(**(PRESETS["base"] | {"size": 64} | changes)))
        load_exported(model, SIZES / "base" / "galaxy-detector" / "fp32.tflite", images)
        levels.append(model.backbone(tf.constant(images, tf.float32) / 127.5 - 1, training=False))
    whole, fewer = levels
    assert np.allclose(whole[same], fewer[same], atol=1e-4)
    assert np.corrcoef(np.ravel(whole[similar]), np.ravel(fewer[similar]))[0, 1] > 0.5


def test_of_a_wider_block_the_largest_channels_are_taken():
    """A channel counts by all three of its kernels.

    A large one after a small one has no effect.
    """
    from galaxy_edge.training.detector.tflite_weights import _narrowed

    rng = np.random.default_rng(1)
    expand, depthwise, project = (rng.uniform(1, 2, shape) for shape in ((1, 1, 3, 6), (3, 3, 6, 1), (1, 1, 6, 3)))
    expand[..., 1] = depthwise[:, :, 2] = project[:, :, 4] = 1e-3
    bias = np.arange(6.0)
    block = [(expand, bias), (depthwise, bias), (project, np.zeros(3))]
    (first, kept), (second, also_kept), (last, _) = _narrowed(block, 3)
    assert kept.tolist() == also_kept.tolist() == [0, 3, 5]
    assert np.array_equal(first, expand[..., [0, 3, 5]]) and np.array_equal(second, depthwise[:, :, [0, 3, 5]])
    assert np.array_equal(last, project[:, :, [0, 3, 5]])
    assert _narrowed(block, 6) is block


@pytest.mark.parametrize("other", [{"fpn_filters": 32}, {"stage_blocks": (1, 2, 2)}, {"expansions": (2.0, 3.5, 3.0)}])
def test_another_network_is_refused(other):
    pytest.importorskip("official.vision")
    from galaxy_edge.training.detector import networks as ssd
    from galaxy_edge.training.detector.tflite_weights import load_exported

    model = ssd.build_network(DetectorSettings(**(PRESETS["quick"] | {"size": 64} | other)))
    with pytest.raises(WeightsError, match="not of this network"):
        load_exported(model, shipped_bundle_path("galaxy-detector") / "fp32.tflite", np.zeros((2, 64, 64, 3), np.uint8))


def write_night(folder, count):
    """Write raw exposures of noise and a few stars, and their table."""
    from astropy.io import fits

    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(count):
        mosaic = rng.normal(1000, 20, (600, 700))
        mosaic[rng.integers(0, 600, 30), rng.integers(0, 700, 30)] += 4000
        unit = fits.PrimaryHDU(np.clip(mosaic, 0, 65535).astype(np.uint16))
        unit.header["BAYERPAT"] = "GRBG"
        unit.writeto(folder / f"{number}.fit")
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "object", "target_x", "target_y"])
        writer.writerows([f"{number}.fit", "NGC7023", 300, 300] for number in range(count))


def test_too_few_raw_frames_are_refused(sets, tmp_path):
    write_night(tmp_path / "night", 3)
    with pytest.raises(DataError, match="3 raw frames, too few to train and validate on"):
        train(sets, tmp_path / "run", dataclasses.replace(SMALL, raw_frames=tmp_path / "night"))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("short_mobilenet")
def test_raw_scenes_are_trained_on_and_evaluated(sets, tmp_path):
    """The run names its frames and stretch; the export puts them into the manifest."""
    write_night(tmp_path / "night", 10)
    settings = dataclasses.replace(SMALL, epochs=1, raw_frames=tmp_path / "night")
    record = train(sets, tmp_path / "run", settings)
    assert record.model["preprocess"]["stretch"]["kind"] == "asinh-noise"
    assert record.data["raw_frames"] | {"hash": ""} == {"hash": "", "training": 2, "validation": 1, "unused": 7}
    assert 0 <= record.metrics[f"map50_{RAW}"] <= 1 and record.metrics[f"false_{RAW}"] >= 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["raw_frames"] == "night"
    evaluation = np.load(tmp_path / "run" / "evaluation.npz")
    assert (evaluation["set"] == RAW).sum() == 240 and len(evaluation["set"]) == len(evaluation["images"])
    assert len(np.load(tmp_path / "run" / "calibration.npz")["images"]) == 300
