"""A small network written layer by layer.

The one that was shipped first, as a reference for what builds others.
"""

from keras import Input, Model, layers

BASE_CHANNELS = (12, 24, 48, 96)
"""Channels of the four stages at width 1."""


def classifier_network(size: int, width: float, classes: int, dropout: float = 0.2) -> Model:
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
    image = Input((size, size, 3))
    x = layers.Rescaling(1.0 / 255.0)(image)
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
    return Model(image, layers.Dense(classes, name="logits")(x))


def _normalise(x: object) -> object:
    # At the default momentum 0.99 and 50 steps an epoch the moving averages lag so far that nothing seems learnt.
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))


def _convolve(x: object, channels: int, kernel: int, stride: int) -> object:
    return _normalise(layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(x))


def _separable(x: object, channels: int, stride: int) -> object:
    x = _normalise(layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x))
    return _convolve(x, channels, 1, 1)
