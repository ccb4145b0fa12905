"""The trainer of the detector keeps the best weights."""

import numpy as np
import pytest


def test_best_weights_are_kept(network, tmp_path):
    """With early stopping the last epochs are worse than the best one."""
    import tensorflow as tf
    from galaxy_edge.training.detector.trainer import DetectorTrainer

    trainer = DetectorTrainer(network, 0.01)
    file, good = tmp_path / "best", [value.numpy() for value in trainer.averages]
    trainer.epoch.assign(3)
    trainer.keep_if_best(0.5, file)
    for average in trainer.averages:
        average.assign(tf.ones_like(average))
    trainer.epoch.assign(4)
    trainer.keep_if_best(0.5, file)  # not better
    assert (int(trainer.best_epoch), float(trainer.best_score)) == (3, 0.5)
    trainer.take_best(file)
    for average, value in zip(trainer.averages, good, strict=True):
        np.testing.assert_array_equal(average, value)
    trainer.keep_if_best(0.6, file)
    assert int(trainer.best_epoch) == 4


def test_teacher_is_followed_except_where_labels_contradict_it():
    """A galaxy that it sees in an empty background is its error."""
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow (the train extra)")
    from galaxy_edge.training.detector.trainer import teacher_loss

    def loss(logit, score, target, shift=0.0):
        boxes, deltas = tf.fill((1, 1, 4), shift), tf.zeros((1, 1, 4))
        return float(teacher_loss(boxes, tf.constant([[logit]]), tf.constant([[target]], tf.int8), score, deltas))

    sure, unsure = tf.constant([[0.8]]), tf.constant([[0.1]])
    agreed = float(np.log(0.8 / 0.2))
    assert loss(agreed, sure, 1) == pytest.approx(0, abs=1e-6)
    assert loss(-3.0, sure, 1) > loss(0.0, sure, 1) > 0.1
    assert loss(-3.0, sure, 0) == 0 and loss(-3.0, sure, -1) > 0.1
    assert loss(3.0, unsure, 0) > 0.1
    assert loss(agreed, sure, 1, shift=0.5) == pytest.approx(4.0 * 0.8 * 0.125)
    assert loss(float(np.log(0.1 / 0.9)), unsure, 1, shift=0.5) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("damage", ["shortened", "changed", "no data"])
def test_damaged_checkpoints_are_not_used(tmp_path, caplog, damage):
    """The training continues from the one before."""
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow (the train extra)")
    from galaxy_edge.training.detector.trainer import undamaged_checkpoints

    values = tf.Variable(np.arange(1000.0))
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(values=values), str(tmp_path), max_to_keep=2)
    for _ in range(3):
        manager.save()
    assert undamaged_checkpoints(tmp_path) == {2: str(tmp_path / "ckpt-2"), 3: str(tmp_path / "ckpt-3")}
    index, data = tmp_path / "ckpt-3.index", tmp_path / "ckpt-3.data-00000-of-00001"
    if damage == "shortened":
        index.write_bytes(index.read_bytes()[:50])
    elif damage == "changed":
        content = bytearray(data.read_bytes())
        content[4000] ^= 255
        data.write_bytes(content)
    else:
        data.unlink()
    assert undamaged_checkpoints(tmp_path) == {2: str(tmp_path / "ckpt-2")}
    assert f"{tmp_path / 'ckpt-3'} is damaged and is not used" in caplog.text
