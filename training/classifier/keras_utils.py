"""Keras helpers: multiply-adds, normalisation statistics, SavedModel export."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of the convolutions and dense layers for one image."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            total += int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3]))
        elif isinstance(layer, layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total


def refresh_normalisation(model: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Recompute batch-normalisation statistics as means over batches of inputs.

    Averaged weights were never used in training, so the moving averages of the training do not fit them.
    """
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    if not norms:
        return
    kept = [layer.momentum for layer in norms]
    for seen, batch in enumerate(batches):
        for layer in norms:
            layer.momentum = seen / (seen + 1.0)
        model(batch.astype(np.float32), training=True)
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum


def save_network(model: keras.Model, folder: Path, size: int) -> None:
    """Write the network as a SavedModel for one image.

    Its input is (1, size, size, 3) raw RGB levels 0..255, its output ``logits`` (1, C).

    The levels are float32, so that the int8 converter can make the input uint8 with scale 1; a uint8 input here would
    leave a cast through float at the head of the converted graph.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        lambda image: {"logits": model(image, training=False)},
        input_signature=[tf.TensorSpec((1, size, size, 3), tf.float32, name="image")],
    )
    archive.write_out(str(folder), verbose=False)
