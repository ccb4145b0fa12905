"""The university report's small networks for Galaxy10 SDSS, as references.

The report uses images of 69x69 and nine classes. A block is convolution, ReLU, batch normalisation (where used),
2x2 maximum pooling, in that order; `small_network` normalises before the ReLU.

Its best network from scratch is the one with dropout and batch normalisation; the only dropout is between ``Flatten``
and ``Dense``, with a rate of 0.5. Dropout has no parameters, so that the published count does not show it. The report
does not give the strength of L1L2 and the momentum of the normalisation: those below are common values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import keras
from keras import layers, regularizers

SIMPLE = (16, 32)
BIGGER = (16, 32, 64, 128)
"""Filters of the convolutions, one per block."""

DENSE = 64
"""Units of the dense layer after the blocks."""

DROPOUT = 0.5
"""Share of the flattened features that is dropped before the dense layer."""

L1, L2 = 1e-5, 1e-4
"""Penalty on the sum of absolute values and of squares of every kernel but the last layer's."""

MOMENTUM = 0.95
"""Of the moving averages of batch normalisation, as in `small_network`; Keras' 0.99 lags behind in short epochs."""


def simple(size: int, classes: int) -> keras.Model:
    """Build the report's first network, without regularisation.

    It has two convolutions and a dense layer.

    Args:
        size: side of the input in pixels, at least 4.
        classes: number of outputs.

    Returns:
        A model from (N, size, size, 3) float32 in 0..255 to (N, classes) float32 logits.
    """
    return _stack(size, classes, SIMPLE)


def regularised(
    size: int, classes: int, dropout: bool = False, l1l2: bool = False, batch_norm: bool = False
) -> keras.Model:
    """Build the report's four-convolution network with chosen regularisations.

    See section 2.5 of the report.

    Without any it is the report's ``bigger``; with dropout and batch normalisation its ``scratch``, the best network
    that it trains from scratch: 230,377 parameters at size 69 and nine classes.

    Args:
        size: side of the input in pixels, at least 16.
        classes: number of outputs.
        dropout: dropout between ``Flatten`` and the dense layer.
        l1l2: penalise kernels; the training must add ``model.losses`` to its loss.
        batch_norm: normalise after every ReLU.

    Returns:
        A model from (N, size, size, 3) float32 in 0..255 to (N, classes) float32 logits.
    """
    return _stack(size, classes, BIGGER, dropout, l1l2, batch_norm)


def optimised(size: int, classes: int) -> keras.Model:
    """Build the report's hyper-optimised small network, as far as it is known.

    The layers are reconstructed from the published costs: 5x5 kernels, 128 filters at full resolution, 392,137
    parameters and about 225 M multiply-adds at size 69 and nine classes. These layers have exactly that many
    parameters and 223.5 M multiply-adds, but others may have them too. Dropout has no parameters, so its place in
    the report is not known; here it is before the last layer.

    Args:
        size: side of the input in pixels, at least 4.
        classes: number of outputs.

    Returns:
        A model from (N, size, size, 3) float32 in 0..255 to (N, classes) float32 logits.
    """
    image = keras.Input((size, size, 3))
    x = layers.Rescaling(1.0 / 255.0)(image)
    for filters in (128, 48):
        x = layers.ReLU()(layers.Conv2D(filters, 5, padding="same")(x))
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    for units in (16, 224):
        x = layers.ReLU()(layers.Dense(units)(x))
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
    x = layers.Dropout(DROPOUT)(x)
    return keras.Model(image, layers.Dense(classes, name="logits")(x))


def _stack(
    size: int, classes: int, filters: Sequence[int], dropout: bool = False, l1l2: bool = False, batch_norm: bool = False
) -> keras.Model:
    def finish(x: keras.KerasTensor) -> keras.KerasTensor:
        x = layers.ReLU()(x)
        return layers.BatchNormalization(momentum=MOMENTUM)(x) if batch_norm else x

    penalty = regularizers.L1L2(L1, L2) if l1l2 else None
    image = keras.Input((size, size, 3))
    x = layers.Rescaling(1.0 / 255.0)(image)
    for channels in filters:
        x = finish(layers.Conv2D(channels, 3, padding="same", kernel_regularizer=penalty)(x))
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    if dropout:
        x = layers.Dropout(DROPOUT)(x)
    x = finish(layers.Dense(DENSE, kernel_regularizer=penalty)(x))
    return keras.Model(image, layers.Dense(classes, name="logits")(x))


BUILDERS: dict[str, Callable[[int, int], keras.Model]] = {
    "simple": simple,
    "bigger": regularised,
    "scratch": partial(regularised, dropout=True, batch_norm=True),
    "optimised": optimised,
    "dropout": partial(regularised, dropout=True),
    "l1l2": partial(regularised, l1l2=True),
    "batch_norm": partial(regularised, batch_norm=True),
    "dropout+l1l2": partial(regularised, dropout=True, l1l2=True),
    "dropout+batch_norm": partial(regularised, dropout=True, batch_norm=True),
    "l1l2+batch_norm": partial(regularised, l1l2=True, batch_norm=True),
    "dropout+l1l2+batch_norm": partial(regularised, dropout=True, l1l2=True, batch_norm=True),
}
"""Name -> builder (size, classes). ``scratch`` and ``dropout+batch_norm`` are one network under its two names."""
