"""A backbone that begins from nothing learns, beside its task, what a pretrained one sees in the same pictures.

A network of our own has no weights that others taught. Where it also foretells, by one linear map a level, the features
of a MobileNetV2 that millions of photographs taught, it learns to see more than our few thousand survey frames ask for.
(Hints: Romero et al. 2015, arXiv:1412.6550.) The maps and the pretrained network are no part of what is exported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..mobilenet.architecture import INPUT_OFFSET, INPUT_SCALE
from ..mobilenet.pretrained_weights import folded_mobilenet, load_backbone

LEVELS = ("3", "4", "5")
"""Levels of stride 8, 16 and 32, which the pyramid takes."""
MAX_ERROR = 9.0
"""Squared, in standard deviations; what is further off says no more."""


class FeatureDistillation:
    """The pretrained network, and the maps from our features to its.

    Args:
        backbone: of `ssd.build_network`, which imitates.
        path: npz of a folded MobileNetV2 of any width, see `pretrained.folded_mobilenet`.
        images: (B, size, size, 3) uint8, some tens of training inputs, for the statistics.

    Attributes:
        maps: trainable, one (channels of ours, channels of its) a level.

    Raises:
        WeightsError: there are no such weights.
    """

    def __init__(self, backbone: Any, path: Path, images: np.ndarray) -> None:
        import tensorflow as tf
        import tf_keras
        from official.vision.modeling.backbones.mobilenet import MobileNet

        size = images.shape[1]
        width = folded_mobilenet(path)[0].kernel.shape[3] / 32
        specs = tf_keras.layers.InputSpec(shape=[None, size, size, 3])
        self._teacher = MobileNet("MobileNetV2", width, specs, divisible_by=4)
        load_backbone(self._teacher, path, images)
        self._teacher.trainable = False
        pictures = tf.cast(images, tf.float32) * INPUT_SCALE + INPUT_OFFSET
        wanted, own = self._teacher(pictures, training=False), backbone(pictures[:1], training=False)
        self._mean = [tf.reduce_mean(wanted[level], [0, 1, 2]) for level in LEVELS]
        self._spread = [tf.math.reduce_std(wanted[level], [0, 1, 2]) + 1e-3 for level in LEVELS]
        random = np.random.default_rng(5)
        shapes = [(own[level].shape[-1], wanted[level].shape[-1]) for level in LEVELS]
        self.maps = [
            tf.Variable(random.normal(0.0, shape[0] ** -0.5, shape).astype(np.float32), name=f"map_{level}/kernel")
            for level, shape in zip(LEVELS, shapes, strict=True)
        ]

    def loss(self, pictures: Any, features: Any) -> Any:
        """Tell how far our features are from the pretrained network's.

        Args:
            pictures: (B, size, size, 3) float32 as backbones take them; features: of our backbone, by level.

        Returns:
            a scalar >= 0: the squared error, in standard deviations of every channel, summed over the levels.
        """
        import tensorflow as tf

        wanted = self._teacher(pictures, training=False)
        total = 0.0
        for level, mean, spread, linear in zip(LEVELS, self._mean, self._spread, self.maps, strict=True):
            foretold = tf.einsum("bhwc,cd->bhwd", features[level], linear)
            error = ((wanted[level] - mean) / spread - foretold) ** 2
            total += tf.reduce_mean(tf.minimum(error, MAX_ERROR))
        return total
