"""Losses that are chance, and those that are not."""

import numpy as np
from galaxy_edge.export.chance import PairedCounts, paired_counts
from galaxy_edge.export.gates import accuracy_gate
from galaxy_edge.models.metrics import ClassificationMetrics


def simulated_metrics(right, images):
    """Return metrics of classes of which each has `images`, and `right` (classes,)."""
    confusion = np.diag(right) + np.roll(np.diag(images - right), 1, axis=1)
    recall = {str(index): count / images for index, count in enumerate(right)}
    return ClassificationMetrics(
        right.sum() / confusion.sum(), None, None, recall, confusion.tolist(), None, confusion.sum()
    )


def refused_share(loss, trials=300, classes=9, images=33, accuracy=0.78, churn=0.02):
    """Return the share of simulated variants that the gate refuses.

    Of all images, `churn` are lost and as many gained by chance; `loss` (classes,) are lost in addition.
    """
    rng, refused = np.random.default_rng(1), 0
    for _ in range(trials):
        right = rng.binomial(images, accuracy, classes)
        lost = rng.binomial(right, (churn + loss) / accuracy)
        gained = rng.binomial(images - right, churn / (1 - accuracy))
        first, second = (simulated_metrics(counts, images) for counts in (right, right - lost + gained))
        change = PairedCounts(tuple(lost.tolist()), tuple(gained.tolist()))
        refused += not accuracy_gate("int8", first, second, 1.0, change).passed
    return refused / trials


def test_simulated_losses_are_refused_and_chance_mostly_is_not():
    """A small class must not close the gate by chance, nor hide a loss.

    Without a test for chance, 96 % of the variants that lost nothing were refused.
    """
    one_class = np.eye(9)[0]
    assert refused_share(0 * one_class) < 0.3
    assert refused_share(np.full(9, 0.05)) > 0.95
    assert refused_share(0.15 * one_class) > 0.8 and refused_share(0.3 * one_class) > 0.95


def test_lost_and_gained_images_are_counted_by_class():
    labels = np.array([0, 0, 1, 1])
    before, after = np.eye(2)[[0, 0, 1, 0]], np.eye(2)[[1, 0, 1, 1]]
    assert paired_counts(before, after, labels) == PairedCounts(lost=(1, 0), gained=(0, 1))
