"""The space of networks that the university report searched, for KerasTuner.

See its section 2.9.2.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def report_hypermodel(hp: Any, size: int, classes: int) -> keras.Model:
    """Build and compile a network of the report's search space.

    It has convolution, ReLU, batch normalisation and 2x2 maximum pooling, twice, and then a dense layer.

    Args:
        hp: KerasTuner's ``HyperParameters``, which chooses.

    Returns:
        A model from (N, size, size, 3) float32 in 0..255 to (N, classes) float32 logits.
    """
    image = keras.Input((size, size, 3))
    x = layers.Rescaling(1.0 / 255.0)(image)
    for number, max_filters in ((1, 128), (2, 64)):
        filters = hp.Int(f"filters{number}", 32, max_filters, step=16)
        kernel = hp.Choice(f"kernel{number}", [3, 5])
        x = layers.Conv2D(filters, kernel, padding="same", activation="relu")(x)
        x = layers.BatchNormalization(momentum=0.95)(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(hp.Int("dense", 32, 128, step=16), activation="relu")(x)
    x = layers.Dropout(hp.Float("dropout", 0.0, 0.5, step=0.1))(x)
    model = keras.Model(image, layers.Dense(classes, name="logits")(x))
    model.compile(
        keras.optimizers.Adam(hp.Choice("learning_rate", [1e-2, 1e-3])),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )  # XLA is slower here
    return model


def describe_space(size: int, classes: int) -> dict[str, Any]:
    """Return the choices of the space as plain values.

    Args:
        size: side of the images in pixels.
        classes: number of classes.
    """
    import keras_tuner

    choices = keras_tuner.HyperParameters()
    report_hypermodel(choices, size, classes)
    return {parameter.name: parameter.get_config() for parameter in choices.space}
