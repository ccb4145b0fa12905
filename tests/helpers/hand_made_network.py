"""A network small enough to be computed by hand, and images for it."""

import keras
import numpy as np

layers = keras.layers
SIZE = 16


def hand_made_network(rng):
    """Return a model with its two kernels.

    One linear convolution of three 3x3 filters, global average, four classes.
    """
    kernel, weights = rng.normal(size=(3, 3, 3, 3)), rng.normal(size=(3, 4))
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="filters")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(4, use_bias=False, name="logits")(x))
    model.set_weights([kernel, weights])
    return model, kernel, weights


def random_images(count, size=SIZE, seed=0):
    """Return images (count, size, size, 3) uint8 of noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
