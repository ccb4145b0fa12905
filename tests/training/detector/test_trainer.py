"""The trainer of the detector keeps the best weights."""

import numpy as np


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
