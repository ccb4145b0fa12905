"""Multiply-adds and normalisation statistics, compared with hand calculations."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from galaxy_edge.training.classifier.keras_utils import multiply_adds, refresh_normalisation
from helpers.networks import classifier_network


def test_multiply_adds_equal_a_count_by_hand():
    """The network is small enough to count each layer."""
    network = classifier_network(32, 1.0, 9)
    # Sides 16, 8, 8, 4, then separable at 4, 4, 2, 2.
    plain = 16**2 * 75 * 12 + 8**2 * 9 * (12 * 24 + 24 * 24) + 4**2 * 9 * 24 * 48
    separable = 2 * 4**2 * (9 * 48 + 48 * 48) + 2**2 * (9 * 48 + 48 * 96) + 2**2 * (9 * 96 + 96 * 96)
    assert multiply_adds(network) == plain + separable + 96 * 9


def test_refreshed_normalisation_is_the_mean_over_batches():
    """Every batch has equal weight, unlike in Keras' moving average."""
    network = classifier_network(32, 0.34, 9)
    batches = [np.random.default_rng(seed).integers(0, 255, (4, 32, 32, 3)).astype(np.uint8) for seed in range(3)]
    refresh_normalisation(network, batches)
    first = next(layer for layer in network.layers if "batch_normalization" in layer.name)
    inner = keras.Model(network.input, first.input)
    means = [inner(batch.astype(np.float32)).numpy().mean(axis=(0, 1, 2)) for batch in batches]
    assert first.moving_mean.numpy() == pytest.approx(np.mean(means, axis=0), rel=1e-3, abs=1e-5)
    assert first.momentum == 0.95
