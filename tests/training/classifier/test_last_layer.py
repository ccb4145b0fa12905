"""The last layer is fitted to the classes, and is kept where that is no better."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
import keras
from galaxy_edge.training.classifier.last_layer import refit_last_layer, training_inputs
from galaxy_edge.training.classifier.validation import predict
from helpers.drawn_galaxies import TRAIN

COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [200, 200, 40]])


@pytest.fixture
def network():
    """Return a network: mean colours, two features of them, an untrained last layer."""
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, keras.layers.Dense(4, name="logits")(keras.layers.Dense(6, activation="relu")(x)))


def coloured(count, seed, labels=None):
    """Noisy images of four colours: (N, 32, 32, 3) uint8 and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count) if labels is None else labels
    noise = rng.normal(0, 25, (count, 32, 32, 3))
    return np.clip(COLOURS[labels][:, None, None] + noise, 0, 255).astype(np.uint8), labels


def weighted(count, seed, labels=None):
    return *coloured(count, seed, labels), np.ones(count, np.float32)


def test_boundaries_are_fitted_to_the_classes(network):
    training, validation, unseen = weighted(200, 1), coloured(80, 2), coloured(80, 3)
    before = np.mean(predict(network, unseen[0]).argmax(axis=1) == unseen[1])
    found = refit_last_layer(network, training, [validation])
    after = np.mean(predict(network, unseen[0]).argmax(axis=1) == unseen[1])
    assert before < 0.6 and after > 0.95 and found["strength"] is not None
    assert found["strengths"][0]["strength"] is None


def test_a_layer_that_is_better_on_validation_is_kept(network):
    images, labels, weights = weighted(200, 1)
    refit_last_layer(network, (images, labels, weights), [coloured(80, 2)])
    before = network.get_layer("logits").get_weights()
    wrong = refit_last_layer(network, (images, (labels + 1) % 4, weights), [coloured(80, 2)])
    assert wrong["strength"] is None
    for kept, weights in zip(network.get_layer("logits").get_weights(), before, strict=True):
        assert np.array_equal(kept, weights)


def test_a_class_without_images_keeps_the_trained_layer(network):
    training = weighted(60, 1, np.arange(60) % 3)
    assert refit_last_layer(network, training, [coloured(40, 2)])["strength"] is None


def test_images_with_a_class_are_shown_in_two_turns_and_on_request_as_on_other_telescopes():
    size, named = 48, len(TRAIN.labelled)
    images, labels, weights = training_inputs(TRAIN, size, seed=1, telescopes=False, by_votes=True)
    assert (weights == 1).all(), "without votes"
    assert images.shape == (2 * named, size, size, 3) and images.dtype == np.uint8 and labels.min() >= 0
    assert np.array_equal(images[named:], np.rot90(images[:named], axes=(1, 2)))
    more, again = (training_inputs(TRAIN, size, seed=1, telescopes=True, by_votes=False) for _ in range(2))
    assert len(more[0]) == 3 * named and np.array_equal(more[0], again[0])
    assert np.array_equal(more[1], np.tile(TRAIN.labels[TRAIN.labelled], 3))


def test_images_count_by_the_share_of_votes_for_their_class():
    named = TRAIN.labelled
    votes = np.zeros((len(TRAIN), len(TRAIN.classes)), np.float32)
    votes[named[0], TRAIN.labels[named[0]]], votes[named[0], (TRAIN.labels[named[0]] + 1) % 9] = 0.6, 0.4
    dataset = replace(TRAIN, votes=votes)
    weights = training_inputs(dataset, 48, 1, telescopes=False, by_votes=True)[2].reshape(2, -1)
    assert np.allclose(weights[:, 0], 0.6) and (weights[:, 1:] == 1).all()
    assert (training_inputs(dataset, 48, 1, telescopes=False, by_votes=False)[2] == 1).all()


def test_images_of_no_weight_do_not_move_the_boundaries(network):
    images, labels, weights = weighted(200, 1)
    wrong, validation = (labels + 1) % 4, coloured(80, 2)
    more = np.concatenate([images, images]), np.concatenate([labels, wrong]), np.concatenate([weights, 0 * weights])
    refit_last_layer(network, more, [validation])
    assert np.mean(predict(network, validation[0]).argmax(axis=1) == validation[1]) > 0.95
