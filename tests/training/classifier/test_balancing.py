"""Balancing strategies.

Each draws and weights images as its name says, and every image is drawn eventually.
"""

import numpy as np
import pytest
from galaxy_edge.training.classifier.balancing import STRATEGIES, class_weights, draw
from galaxy_edge.training.data.errors import DataError

SIZES = np.array([900, 80, 20])
"""The mean is 333 1/3: the first class must shrink, the others grow."""
DRAWN = [strategy for strategy in STRATEGIES if strategy != "root"]
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(3), SIZES))


def drawn_sizes(strategy, epoch=0):
    return np.bincount(LABELS[draw(LABELS, strategy, 5, epoch)], minlength=3)


@pytest.mark.parametrize("strategy", ["none", "weights"])
def test_without_resampling_every_image_comes_once(strategy):
    assert np.array_equal(np.sort(draw(LABELS, strategy, 5, 0)), np.arange(1000))


def test_full_balance_brings_every_class_to_the_mean():
    assert drawn_sizes("full").tolist() == [333, 333, 333]


def test_partial_balance_uses_the_square_root_of_the_ratio():
    # As far from the own count as from the mean, in logarithms, to within the rounding to whole images.
    sizes = drawn_sizes("partial")
    assert np.log(sizes / SIZES) == pytest.approx(np.log(1000 / 3 / sizes), abs=0.02)


def test_root_is_drawn_by_weight_not_here():
    with pytest.raises(ValueError, match="'root' draws by weight"):
        drawn_sizes("root")


@pytest.mark.parametrize("strategy", ["full", "partial"])
def test_a_grown_class_shows_all_its_images_equally_often(strategy):
    times = np.bincount(draw(LABELS, strategy, 5, 0), minlength=1000)
    for label in (1, 2):
        own = times[label == LABELS]
        assert own.min() >= 1 and own.max() - own.min() <= 1
    assert times[LABELS == 0].max() == 1  # the class that shrinks repeats none


def test_a_shrunk_class_shows_other_images_in_each_epoch():
    seen = np.zeros(1000, bool)
    for epoch in range(30):
        seen[draw(LABELS, "full", 5, epoch)] = True
    assert seen.all()  # the chance to miss one of 900 in 30 draws of 37 % is below one in a thousand


@pytest.mark.parametrize("strategy", DRAWN)
def test_draws_are_repeatable_and_shuffled(strategy):
    first, again = draw(LABELS, strategy, 5, 2), draw(LABELS, strategy, 5, 2)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, draw(LABELS, strategy, 5, 3))
    assert not np.array_equal(first, draw(LABELS, strategy, 6, 2))
    # Classes come mixed: the first and the second half of an epoch are alike.
    halves = [np.bincount(LABELS[half], minlength=3) / len(half) for half in np.array_split(first, 2)]
    assert halves[0] == pytest.approx(halves[1], abs=0.12)


def test_weights_are_those_of_sklearn():
    reference = pytest.importorskip("sklearn.utils.class_weight")
    expected = reference.compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    assert class_weights(LABELS, "weights", 3) == pytest.approx(expected)
    # After partial balance, what is left is weighed as if the drawn images were the set.
    drawn = LABELS[draw(LABELS, "partial", 5, 0)]
    expected = reference.compute_class_weight("balanced", classes=np.arange(3), y=drawn)
    assert class_weights(LABELS, "partial", 3) == pytest.approx(expected)


@pytest.mark.parametrize("strategy", DRAWN)
def test_mean_weight_of_what_is_drawn_is_one(strategy):
    # Otherwise one strategy would train with another learning rate than the next.
    weights = class_weights(LABELS, strategy, 3)
    assert weights.dtype == np.float32 and weights.shape == (3,)
    assert weights[LABELS[draw(LABELS, strategy, 5, 0)]].mean() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("strategy", ["none", "full", "root"])
def test_strategies_without_weights(strategy):
    assert (class_weights(LABELS, strategy, 3) == 1).all()


def test_labels_may_skip_a_class_in_drawing_but_not_in_weighing():
    labels = np.array([0, 0, 0, 2])
    assert np.bincount(labels[draw(labels, "full", 0, 0)], minlength=3).tolist() == [2, 0, 2]
    with pytest.raises(DataError, match="no training image of class 'smooth_round'"):
        class_weights(labels, "weights", 3)
    with pytest.raises(DataError, match="'smooth_cigar'"):
        class_weights(np.array([0, 1, 2]), "none", 4)


def test_errors_name_the_cause():
    with pytest.raises(DataError, match="2 images have no class"):
        draw(np.array([0, -1, 1, -1]), "full", 0, 0)
    with pytest.raises(DataError, match="no labelled image"):
        draw(np.array([], int), "none", 0, 0)
    with pytest.raises(ValueError, match="'half' is not a balancing strategy"):
        draw(LABELS, "half", 0, 0)
    with pytest.raises(ValueError, match="labels run to 2"):
        class_weights(LABELS, "weights", 2)
