"""Batch normalisation of networks whose weights were folded into convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np


def set_statistics(layer: Any, inputs: Any, shift: np.ndarray, scale: np.ndarray | float = 1.0) -> None:
    """Give a batch normalisation the statistics of its inputs.

    Inference then returns inputs * scale + shift, as the folded network does; and training, which normalises by the
    batch, starts from nearly the same function.

    Args:
        layer: of Keras 2 or 3, with gamma and beta.
        inputs: tensor (B, H, W, C).
        shift, scale: (C,) float32, or a scale for all channels.
    """
    import tensorflow as tf

    mean, variance = (value.numpy() for value in tf.nn.moments(inputs, axes=[0, 1, 2]))
    layer.set_weights([scale * np.sqrt(variance + layer.epsilon), shift + scale * mean, mean, variance])
