"""The small convolutional network that names galaxies, and what is done to it besides training.

Convolution, batch normalisation, ReLU throughout, in that order, so that normalisation folds into the convolutions
and int8 costs little. Plain 3x3 convolutions where the picture is large, depthwise-separable ones where channels
are many (Howard et al. 2017, arXiv:1704.04861), residual additions (He et al. 2016, arXiv:1512.03385).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

BASE_CHANNELS = (12, 24, 48, 96)
"""Channels of the four stages at width 1."""


def classifier_network(size: int, width: float, classes: int, dropout: float = 0.2) -> keras.Model:
    """Build the network.

    Args:
        size: side of the input in pixels.
        width: multiplier of the channels; 1 gives 43 k parameters, 1.33 gives 73 k.
        classes: number of outputs.
        dropout: share of the last features dropped in training.

    Returns:
        A model from (N, size, size, 3) float32 in 0..255 to (N, classes) float32 logits.
    """
    stem, low, middle, high = (max(4, round(channels * width / 4) * 4) for channels in BASE_CHANNELS)
    picture = keras.Input((size, size, 3))
    x = layers.Rescaling(1.0 / 255.0)(picture)
    x = _convolve(x, stem, 5, 2)
    x = _convolve(x, low, 3, 2)
    x = layers.Add()([x, _convolve(x, low, 3, 1)])
    x = _convolve(x, middle, 3, 2)
    for _ in range(2):
        x = layers.Add()([x, _separable(x, middle, 1)])
    x = _separable(x, high, 2)
    x = layers.Add()([x, _separable(x, high, 1)])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(picture, layers.Dense(classes, name="logits")(x))


def _normalise(x: keras.KerasTensor) -> keras.KerasTensor:
    # At the default momentum 0.99 and 50 steps an epoch the moving averages lag so far that nothing seems learnt.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))


def _convolve(x: keras.KerasTensor, channels: int, kernel: int, stride: int) -> keras.KerasTensor:
    return _normalise(layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(x))


def _separable(x: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
    x = _normalise(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x))
    return _convolve(x, channels, 1, 1)


def multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of the convolutions and dense layers for one picture."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            total += int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3]))
        elif isinstance(layer, layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total


def refresh_normalisation(model: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Measure the batch-normalisation statistics again, over `batches` of inputs with equal weight.

    Averaged weights were never run in training, so the averages that training kept do not belong to them.
    """
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    kept = [layer.momentum for layer in norms]
    for seen, batch in enumerate(batches):
        for layer in norms:
            layer.momentum = seen / (seen + 1.0)
        model(batch.astype(np.float32), training=True)
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum


def save_network(model: keras.Model, folder: Path, size: int) -> None:
    """Write a SavedModel for one raw picture, (1, size, size, 3) RGB levels 0..255, that gives ``logits`` (1, C).

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
