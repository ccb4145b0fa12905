"""MobileNetV2 with folded normalisation: a teacher pretrained on ImageNet.

See Sandler et al. 2018, arXiv:1801.04381.

A few thousand galaxies are too few for a wide network. One that starts from ImageNet's weights makes other errors
than one that starts from random weights, so their average is better than either.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from .architecture import BLOCKS, INPUT_OFFSET, INPUT_SCALE, scale_channels
from .folded import WeightsError
from .pretrained_weights import folded_mobilenet, set_folded

DROPOUT = 0.3


def mobilenet(size: int, classes: int, weights: str | Path | None, width: float = 1.0) -> keras.Model:
    """Build MobileNetV2 without normalisation, with a linear head.

    Args:
        size: side of the input in pixels, at least 32.
        classes: number of outputs.
        weights: a file that `pretrained_weights.folded_mobilenet` reads, or None for random ones. The last
            convolution may be missing.
        width: multiplier of the published channels; the last convolution keeps its 1280 where it is below 1.

    Returns:
        A model from (N, size, size, 3) float32 in 0..255 to (N, classes) float32 logits.

    Raises:
        WeightsError: the weights cannot be read, or are of another network.
    """
    if weights == "imagenet":
        raise WeightsError(
            "this network starts from the constants of an ImageNet MobileNetV2 1.0 in TFLite: name their .npz with "
            "--weights FILE (tf2_mobilenet_v2_1.0_224_ptq.dequant.npz), or start from random ones: --weights none"
        )
    convolutions: list[layers.Layer] = []

    def convolve(layer: layers.Layer, x: keras.KerasTensor, activate: bool = True) -> keras.KerasTensor:
        convolutions.append(layer)
        return layers.ReLU(6.0)(layer(x)) if activate else layer(x)

    image = keras.Input((size, size, 3))
    x = layers.Rescaling(INPUT_SCALE, INPUT_OFFSET)(image)
    x = convolve(layers.Conv2D(scale_channels(32, width), 3, 2, padding="same"), x)
    for expansion, full, blocks, first in BLOCKS:
        channels = scale_channels(full, width)
        for number in range(blocks):
            shortcut, stride = x, first if number == 0 else 1
            if expansion > 1:
                x = convolve(layers.Conv2D(expansion * x.shape[-1], 1), x)
            x = convolve(layers.DepthwiseConv2D(3, stride, padding="same"), x)
            x = convolve(layers.Conv2D(channels, 1), x, activate=False)
            if stride == 1 and shortcut.shape[-1] == channels:
                x = layers.Add()([shortcut, x])
    x = convolve(layers.Conv2D(scale_channels(1280, max(1.0, width)), 1), x)
    x = layers.Dropout(DROPOUT)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, layers.Dense(classes, name="logits")(x), name="mobilenet")
    if weights is not None:
        read = folded_mobilenet(Path(weights))
        if len(read) not in (len(convolutions), len(convolutions) - 1):
            raise WeightsError(f"{weights} holds {len(read)} convolutions of a MobileNetV2, not {len(convolutions)}")
        for folded, layer in zip(read, convolutions, strict=False):
            set_folded(Path(weights), folded, layer, normalised=False)
    return model
