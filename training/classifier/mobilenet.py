"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) with its normalisation folded in: a teacher that knows ImageNet.

A few thousand galaxies teach a wide network less than it can hold; one that begins with ImageNet's edges and textures
errs in other places than one that began with noise, which makes their common opinion worth more than either.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from ..mobilenet.architecture import BLOCKS, INPUT_OFFSET, INPUT_SCALE, scale_channels
from ..mobilenet.pretrained_weights import WeightsError, folded_mobilenet, set_folded

DROPOUT = 0.3


def mobilenet(size: int, classes: int, weights: str | Path | None, width: float = 1.0) -> keras.Model:
    """Build MobileNetV2 without normalisation, with a linear head.

    Args:
        size: side of the input in pixels, at least 32.
        classes: number of outputs.
        weights: a file that `pretrained.folded_mobilenet` reads, or None for random ones. It may lack the last
            convolution, which some tasks do without.
        width: share of the published channels; the last convolution keeps its 1280 where it is below 1.

    Returns:
        A model from (N, size, size, 3) float32 in 0..255 to (N, classes) float32 logits.

    Raises:
        WeightsError: the weights cannot be had, or are of another network.
    """
    if weights == "imagenet":
        raise WeightsError(
            "this network begins with the constants of an ImageNet MobileNetV2 1.0 in TFLite: name their .npz with "
            "--weights FILE (tf2_mobilenet_v2_1.0_224_ptq.dequant.npz), or go without by --weights none"
        )
    convolutions: list[layers.Layer] = []

    def convolve(layer: layers.Layer, x: keras.KerasTensor, bent: bool = True) -> keras.KerasTensor:
        convolutions.append(layer)
        return layers.ReLU(6.0)(layer(x)) if bent else layer(x)

    picture = keras.Input((size, size, 3))
    x = layers.Rescaling(INPUT_SCALE, INPUT_OFFSET)(picture)
    x = convolve(layers.Conv2D(scale_channels(32, width), 3, 2, padding="same"), x)
    for expansion, full, blocks, first in BLOCKS:
        channels = scale_channels(full, width)
        for number in range(blocks):
            whole, stride = x, first if number == 0 else 1
            if expansion > 1:
                x = convolve(layers.Conv2D(expansion * x.shape[-1], 1), x)
            x = convolve(layers.DepthwiseConv2D(3, stride, padding="same"), x)
            x = convolve(layers.Conv2D(channels, 1), x, bent=False)
            if stride == 1 and whole.shape[-1] == channels:
                x = layers.Add()([whole, x])
    x = convolve(layers.Conv2D(scale_channels(1280, max(1.0, width)), 1), x)
    x = layers.Dropout(DROPOUT)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(picture, layers.Dense(classes, name="logits")(x), name="mobilenet")
    if weights is not None:
        read = folded_mobilenet(Path(weights))
        if len(read) not in (len(convolutions), len(convolutions) - 1):
            raise WeightsError(f"{weights} holds {len(read)} convolutions of a MobileNetV2, not {len(convolutions)}")
        for folded, layer in zip(read, convolutions, strict=False):
            set_folded(Path(weights), folded, layer, normalised=False)
    return model
