"""The temperature equals an exhaustive search's; thresholds respect sample size."""

import numpy as np
import pytest
from galaxy_edge.models.classification_metrics import chance_calibration_error, classification_metrics
from galaxy_edge.models.decode import softmax
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.training.classifier.calibration import (
    MIN_KEPT,
    abstain_threshold,
    accuracy_coverage,
    fit_temperature,
    wilson_bound,
)
from galaxy_edge.training.data.errors import DataError


def honest(seed, count=4000, classes=9, temperature=1.0):
    """Logits whose softmax at `temperature` is the true chance of each label."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, classes))
    chances = np.cumsum(softmax(logits, temperature), axis=1)
    labels = np.minimum((rng.random((count, 1)) > chances).sum(axis=1), classes - 1)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_known_temperature_is_recovered(temperature):
    logits, labels = honest(0, temperature=temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.06)


def test_no_temperature_of_a_fine_grid_is_better():
    logits, labels = honest(1, 300, temperature=0.7)

    def loss(temperature):
        return -np.log(softmax(logits.astype(np.float64), temperature)[np.arange(300), labels]).mean()

    found = fit_temperature(logits, labels)
    grid = np.exp(np.linspace(np.log(0.2), np.log(5), 4001))
    assert found == pytest.approx(grid[np.argmin([loss(value) for value in grid])], rel=1e-3)


def test_temperature_stays_within_its_range():
    labels = np.arange(9)
    assert fit_temperature(4 * np.eye(9), labels) == pytest.approx(0.2, rel=1e-3)  # never wrong: as sharp as allowed
    assert fit_temperature(4 * np.eye(9)[::-1][:4], labels[:4]) == pytest.approx(5, rel=1e-3)  # wrong and sure: as flat
    with pytest.raises(DataError, match="no validation image"):
        fit_temperature(np.zeros((0, 9)), np.zeros(0, int))


def test_fitting_lowers_the_calibration_error():
    logits, labels = honest(2, temperature=2.0)
    fitted, raw = (
        classification_metrics(softmax(logits, t), labels, CLASSES).ece for t in (fit_temperature(logits, labels), 1.0)
    )
    assert fitted < 0.03 < raw


def test_perfect_probabilities_have_the_error_of_chance():
    """A network must not be blamed for an error that is due to few images.

    The error of perfect probabilities scatters around the expected one.
    """
    seen, said = [], []
    for seed in range(40):
        logits, labels = honest(seed, 300)
        seen.append(classification_metrics(softmax(logits), labels, CLASSES).ece)
        said.append(chance_calibration_error(softmax(logits), draws=50, seed=seed))
    assert np.mean(said) == pytest.approx(np.mean(seen), rel=0.1)
    many = chance_calibration_error(softmax(honest(3, 30_000)[0]))
    assert many < np.mean(said) / 5


def test_coverage_and_accuracy_as_counted_one_by_one():
    logits, labels = honest(4, 200)
    probabilities = np.round(softmax(logits), 2)  # so that confidences tie
    thresholds, coverage, accuracy = accuracy_coverage(probabilities, labels)
    assert np.array_equal(thresholds, np.unique(probabilities.max(axis=1)))
    for threshold, share, right in zip(thresholds, coverage, accuracy, strict=True):
        kept = probabilities.max(axis=1) >= threshold
        assert share == pytest.approx(kept.mean())
        assert right == pytest.approx((probabilities.argmax(axis=1) == labels)[kept].mean())
    assert coverage[0] == 1


def test_wilson_bound_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for right, kept in ((0, 30), (27, 30), (30, 30), (450, 500)):
        expected = stats.binomtest(right, kept, alternative="greater").proportion_ci(0.95, method="wilson").low
        assert wilson_bound(np.array(right), np.array(kept)) == pytest.approx(expected, abs=1e-4)


def test_threshold_keeps_its_promise_on_new_images():
    logits, labels = honest(5)
    threshold = abstain_threshold(softmax(logits), labels, 0.85)
    logits, labels = honest(6, 40_000)
    probabilities = softmax(logits)
    kept = probabilities.max(axis=1) >= threshold
    assert (probabilities.argmax(axis=1) == labels)[kept].mean() >= 0.85
    assert 0.05 < kept.mean() < 1  # and it still names a good part


def test_threshold_is_the_lowest_that_the_rule_allows():
    logits, labels = honest(7, 400)
    probabilities = softmax(logits)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels

    def allowed(threshold):
        kept = confidence >= threshold
        return kept.sum() >= MIN_KEPT and wilson_bound(right[kept].sum(), kept.sum()) >= 0.8

    lowest = min(value for value in confidence if allowed(value))
    threshold = abstain_threshold(probabilities, labels, 0.8)
    assert np.array_equal(confidence >= threshold, confidence >= lowest)
    assert not np.isclose(confidence, threshold, atol=1e-9).any()  # between two, so that rounding moves none


def test_few_correct_images_are_not_enough_for_a_threshold():
    # The 29 surest are all right; of the others every second is. The raw accuracy reaches 1, the rule does not see it.
    confidence = np.concatenate([np.full(29, 0.99), np.linspace(0.55, 0.9, 171)])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.concatenate([np.zeros(29, int), np.arange(171) % 2])
    assert accuracy_coverage(probabilities, labels)[2][-1] == 1
    with pytest.raises(DataError, match=r"accuracy of 0.95 that 200 validation"):
        abstain_threshold(probabilities, labels, 0.95)
    with pytest.raises(DataError, match="29 validation images are too few"):
        abstain_threshold(probabilities[:29], labels[:29], 0.5)


def test_no_class_is_withheld_without_errors():
    logits, labels = honest(8, 500, temperature=0.2)
    probabilities = softmax(logits, 0.2)
    assert abstain_threshold(probabilities, labels, 0.3) == 0


def test_mismatched_arguments_are_refused():
    with pytest.raises(ValueError, match=r"0\.\.1"):
        abstain_threshold(np.full((40, 2), 0.5), np.zeros(40, int), 90)
    with pytest.raises(ValueError, match="do not fit"):
        accuracy_coverage(np.full((40, 2), 0.5), np.zeros(39, int))


def test_views_of_a_galaxy_count_once():
    """Three views that are alike prove no more than one."""
    logits, labels = honest(5, 400)
    probabilities = softmax(logits)
    views, thrice = np.repeat(probabilities, 3, axis=0), np.repeat(labels, 3)
    once = abstain_threshold(probabilities, labels, 0.7)
    assert abstain_threshold(views, thrice, 0.7, 3) == pytest.approx(once)
    assert abstain_threshold(views, thrice, 0.7) < once
    with pytest.raises(DataError, match=f"{MIN_KEPT - 1} validation images are too few"):
        abstain_threshold(views[: 3 * MIN_KEPT - 3], thrice[: 3 * MIN_KEPT - 3], 0.8, 3)
