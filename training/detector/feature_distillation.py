"""Distil the features of a pretrained network into a new backbone.

The backbone starts from random weights and learns these features in addition to its task.

There are no pretrained weights for the `quick` backbone. One linear map per level predicts the features of a
MobileNetV2 trained on ImageNet from its own, in addition to the detection task, which teaches it more than a few
thousand survey frames can (hints: Romero et al. 2015, arXiv:1412.6550). Neither the maps nor the pretrained network
are exported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..mobilenet.architecture import INPUT_OFFSET, INPUT_SCALE
from ..mobilenet.pretrained_weights import folded_mobilenet, load_backbone

LEVELS = ("3", "4", "5")
"""Levels of stride 8, 16 and 32, the inputs of the pyramid."""
MAX_ERROR = 9.0
"""Maximum squared error of a feature, in standard deviations; larger ones are clipped."""


class FeatureDistillation:
    """Teacher network, and linear maps from student features to teacher features.

    Args:
        backbone: the student, of `networks.build_network`.
        path: npz of a folded MobileNetV2 of any width, see `pretrained_weights.folded_mobilenet`.
        images: (B, size, size, 3) uint8, some tens of training inputs for the statistics.

    Attributes:
        maps: trainable variables (student channels, teacher channels), one per level.

    Raises:
        WeightsError: the file does not contain such weights.
    """

    def __init__(self, backbone: Any, path: Path, images: np.ndarray) -> None:
        import tensorflow as tf
        import tf_keras
        from official.vision.modeling.backbones.mobilenet import MobileNet

        size = images.shape[1]
        width = folded_mobilenet(path)[0].kernel.shape[3] / 32
        specs = tf_keras.layers.InputSpec(shape=[None, size, size, 3])
        self.teacher = MobileNet("MobileNetV2", width, specs, divisible_by=4)
        load_backbone(self.teacher, path, images)
        self.teacher.trainable = False
        inputs = tf.cast(images, tf.float32) * INPUT_SCALE + INPUT_OFFSET
        targets, own = self.teacher(inputs, training=False), backbone(inputs[:1], training=False)
        self._mean = [tf.reduce_mean(targets[level], [0, 1, 2]) for level in LEVELS]
        self._spread = [tf.math.reduce_std(targets[level], [0, 1, 2]) + 1e-3 for level in LEVELS]
        random = np.random.default_rng(5)
        shapes = [(own[level].shape[-1], targets[level].shape[-1]) for level in LEVELS]
        self.maps = [
            tf.Variable(random.normal(0.0, shape[0] ** -0.5, shape).astype(np.float32), name=f"map_{level}/kernel")
            for level, shape in zip(LEVELS, shapes, strict=True)
        ]

    def loss(self, inputs: Any, features: Any) -> Any:
        """Compute the distance of mapped features from the pretrained network's.

        Args:
            inputs: (B, size, size, 3) float32 in the range that backbones expect.
            features: of the student, by level.

        Returns:
            a scalar >= 0: the squared error in standard deviations of each channel, summed over the levels.
        """
        import tensorflow as tf

        targets = self.teacher(inputs, training=False)
        total = 0.0
        for level, mean, spread, linear in zip(LEVELS, self._mean, self._spread, self.maps, strict=True):
            predicted = tf.einsum("bhwc,cd->bhwd", features[level], linear)
            error = ((targets[level] - mean) / spread - predicted) ** 2
            total += tf.reduce_mean(tf.minimum(error, MAX_ERROR))
        return total
