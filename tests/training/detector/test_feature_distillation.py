"""Feature distillation.

The student approaches the pretrained network, which stays unchanged.
"""

import dataclasses
import json

import numpy as np
import pytest
from galaxy_edge.training.detector.settings import PRESETS, DetectorSettings
from helpers.labelled_sets import make_sets
from helpers.weights import folded

pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")

SMALL = DetectorSettings(**PRESETS["quick"] | {
    "size": 64, "width": 0.25, "fpn_filters": 16, "batch": 4, "epochs": 1, "images_per_epoch": 8, "threads": 1,
})  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from galaxy_edge.training.mobilenet.classifier import mobilenet

    path = tmp_path_factory.mktemp("weights") / "v2.npz"
    np.savez(path, **folded(mobilenet(32, 9, None), "slim", np.random.default_rng(1))[0])
    return path


@pytest.mark.slow
def test_features_approach_the_unchanged_pretrained_network(weights):
    """Only student and maps are trained; neither maps nor teacher are exported."""
    import tensorflow as tf
    import tf_keras
    from galaxy_edge.models.decode import anchor_grid
    from galaxy_edge.training.detector import networks as ssd
    from galaxy_edge.training.detector.feature_distillation import FeatureDistillation
    from galaxy_edge.training.detector.trainer import DetectorTrainer

    tf_keras.utils.set_random_seed(1)
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    network = ssd.build_network(SMALL)
    distillation = FeatureDistillation(network.backbone, weights, images)
    assert [linear.shape[1] for linear in distillation.maps] == [32, 96, 320]
    before = [value.numpy() for value in distillation.teacher.variables]
    trainer = DetectorTrainer(network, 0.0, distillation)
    count = len(anchor_grid(64, 64, **SMALL.grid))
    nothing = np.zeros((8, count), np.int8), np.zeros((8, count, 4), np.float32)

    def distance():
        inputs = tf.cast(images, tf.float32) * ssd.INPUT_SCALE + ssd.INPUT_OFFSET
        return float(distillation.loss(inputs, network.backbone(inputs, training=True)))

    first = distance()
    for _ in range(30):
        trainer.step(images, *nothing, tf.constant(3e-3), tf.constant(0.9))
    assert distance() < 0.7 * first
    for value, old in zip(distillation.teacher.variables, before, strict=True):
        np.testing.assert_array_equal(value, old)
    assert not any("map_" in value.name for value in network.variables), "the exported network has no maps"


@pytest.mark.slow
def test_distilled_training_is_recorded_and_resumes(weights, tmp_path):
    """Without the maps in its checkpoint, a resumed run would start with random ones."""
    import tensorflow as tf
    from galaxy_edge.training.detector.fit import train

    (tmp_path / "sets").mkdir()
    sets = make_sets(tmp_path / "sets")
    settings, run = dataclasses.replace(SMALL, imitate=weights, epochs=2), tmp_path / "run"

    class Stop(Exception):
        pass

    def stop(state):
        if state["epoch"] == 2:
            raise Stop

    with pytest.raises(Stop):
        train(sets, run, settings, report=stop)
    train(sets, run, settings, resume=True)
    assert json.loads((run / "run.json").read_text())["settings"]["imitate"] == "v2.npz"
    assert [json.loads(line)["epoch"] for line in (run / "log.jsonl").read_text().splitlines()] == [1, 2]
    kept = tf.train.load_checkpoint(str(run / "checkpoint")).get_variable_to_shape_map()
    assert sum(name.startswith("maps/") and "OPTIMIZER" not in name for name in kept) == 3, "the maps are saved too"
