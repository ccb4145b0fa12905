"""Comparing two recipes.

Scores as in scikit-learn, p-values by enumeration, and matching wording.
"""

import json
from itertools import product

import numpy as np
import pytest
from galaxy_edge.models.classification_metrics import classification_metrics
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.training.study.significance import (
    class_scores,
    compare,
    macro_scores,
    roc_curve,
)

pytest.importorskip("scipy")

METRICS = ("accuracy", "precision", "recall", "f1")


def guesses(seed, count, classes, ties=False):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes)])
    logits = rng.normal(0, 1, (count, classes)) + 1.2 * np.eye(classes)[labels]
    powers = np.exp(np.round(logits) if ties else logits)
    return powers / powers.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 9])
def test_scores_are_those_of_sklearn(classes, ties):
    metrics = pytest.importorskip("sklearn.metrics")
    probabilities, labels = guesses(1, 400, classes, ties)
    named = probabilities.argmax(axis=1)
    found = macro_scores(probabilities, labels, classes)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, named))
    for key, score in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        assert getattr(found, key) == pytest.approx(score(labels, named, average="macro"))
    each = [metrics.roc_auc_score(labels == label, probabilities[:, label]) for label in range(classes)]
    assert found.auc == pytest.approx(np.mean(each))


def test_class_never_predicted_has_no_precision_and_absent_class_does_not_count():
    metrics = pytest.importorskip("sklearn.metrics")
    labels = np.array([0, 0, 1, 1, 2])
    probabilities = np.eye(4)[[0, 3, 1, 1, 0]]  # class 2 is never named, class 3 is named and not there
    found = macro_scores(probabilities, labels, 4)
    named = probabilities.argmax(axis=1)
    expected = metrics.precision_recall_fscore_support(
        labels, named, labels=[0, 1, 2], average="macro", zero_division=0
    )
    assert [found.precision, found.recall, found.f1] == pytest.approx(expected[:3])


def test_macro_f1_and_accuracy_are_those_of_every_other_report():
    probabilities, labels = guesses(2, 300, 9)
    found, other = macro_scores(probabilities, labels, 9), classification_metrics(probabilities, labels, CLASSES)
    assert (found.f1, found.accuracy) == pytest.approx((other.macro_f1, other.accuracy))


def test_area_is_not_defined_for_one_class():
    assert macro_scores(np.full((3, 2), 0.5), np.zeros(3, int), 2).auc is None


def test_scores_of_mismatched_arrays_are_refused():
    for probabilities, labels in (
        (np.ones((3, 2)), np.zeros(4, int)),
        (np.ones((0, 2)), np.zeros(0, int)),
        (np.ones((3, 2)), np.array([0, 1, 2])),
        (np.ones((3, 2)), np.array([0, -1, 1])),
    ):
        with pytest.raises(ValueError):
            macro_scores(probabilities, labels, 2)


def p_by_enumeration(differences):
    """Give every non-zero difference every sign.

    How often is the rank sum as far from its middle as it is here?
    """
    differences = differences[differences != 0]
    sizes = np.abs(differences)
    ranks = np.array([np.mean(np.flatnonzero(np.sort(sizes) == size)) + 1 for size in sizes])
    middle = ranks.sum() / 2
    off = abs(ranks[differences > 0].sum() - middle)
    sums = np.array([ranks[np.array(signs, bool)].sum() for signs in product((0, 1), repeat=len(ranks))])
    return np.mean(np.abs(sums - middle) >= off - 1e-9)


@pytest.mark.parametrize(
    "differences",
    [
        [0.01, 0.02, 0.03, 0.04, 0.05],
        [0.01, -0.02, 0.03, 0.04, 0.05],
        [0.02, 0.02, -0.02, 0.02, 0.04],
        [0.0, 0.02, 0.03, -0.01, 0.0],
        [0.01, 0.01],
        [0.0, 0.0, 0.01],
        [0.03, -0.01, 0.02, 0.05, 0.07, -0.02, 0.04, 0.06, 0.01, 0.08],
    ],
)
def test_p_is_exact_with_ties_and_zeros(differences):
    differences = np.array(differences)
    found = compare({"f1": np.full(len(differences), 0.5)}, {"f1": 0.5 + differences}).metrics["f1"]
    assert found.p == pytest.approx(p_by_enumeration(differences))
    assert found.pairs_used == np.count_nonzero(differences)


def test_five_folds_cannot_prove_anything():
    a = {name: np.array([0.70, 0.71, 0.72, 0.73, 0.74]) for name in METRICS}
    b = {name: np.array([0.90, 0.92, 0.94, 0.96, 0.98]) for name in METRICS}
    result = compare(a, b)
    assert set(result.metrics) == set(METRICS)
    for found in result.metrics.values():
        assert found.p == found.smallest_p == 0.0625
        assert found.difference == pytest.approx(0.22)
        assert found.a == pytest.approx((0.72, np.sqrt(0.00025)))
    assert "0.0625" in result.reading and "no difference, however large, can reach 0.05" in result.reading
    plain = [metric.to_dict() for metric in result.metrics.values()]
    assert json.loads(json.dumps(plain)) == plain


def test_direction_is_second_minus_first_and_p_has_none():
    first, other = {"f1": np.array([0.5, 0.6, 0.7])}, {"f1": np.array([0.6, 0.8, 0.6])}
    there, back = compare(first, other).metrics["f1"], compare(other, first).metrics["f1"]
    assert there.difference == pytest.approx(-back.difference) and there.difference > 0
    assert there.p == pytest.approx(back.p)


def test_equal_recipes_do_not_differ():
    scores = {"f1": np.array([0.5, 0.6, 0.7])}
    found = compare(scores, {"f1": scores["f1"] + 1e-15}).metrics["f1"]
    assert (found.p, found.pairs_used) == (1.0, 0)


def test_reading_says_when_a_small_p_is_possible_and_when_pairs_are_not_independent():
    rng = np.random.default_rng(0)
    a, b = {"f1": rng.uniform(0.6, 0.7, 10)}, {"f1": rng.uniform(0.7, 0.8, 10)}
    assert "can reach" not in compare(a, b).reading and "0.001953" in compare(a, b).reading
    repeated = compare(a, b, repeats=2).reading
    assert "2 repeats of 5 folds" in repeated and "not independent" in repeated


def test_many_pairs_agree_with_enumeration():
    # Beyond what is enumerated here by scipy, its own exact distribution takes over: 14 pairs without ties.
    differences = np.random.default_rng(3).permutation(np.arange(1, 15)) * np.where(np.arange(14) % 4 == 0, -0.01, 0.01)
    found = compare({"f1": np.zeros(14)}, {"f1": differences}).metrics["f1"]
    assert found.p == pytest.approx(p_by_enumeration(differences))


@pytest.mark.parametrize(
    ("a", "b", "repeats"),
    [
        ({"f1": [0.5, 0.6]}, {"accuracy": [0.5, 0.6]}, 1),
        ({"f1": [0.5, 0.6]}, {"f1": [0.5, 0.6, 0.7]}, 1),
        ({"f1": [0.5]}, {"f1": [0.6]}, 1),
        ({"f1": [0.5, np.nan]}, {"f1": [0.6, 0.7]}, 1),
        ({"f1": [0.5, 0.6, 0.7]}, {"f1": [0.6, 0.7, 0.8]}, 2),
        ({"f1": [0.5, 0.6], "auc": [0.5, 0.6, 0.7]}, {"f1": [0.6, 0.7], "auc": [0.5, 0.6, 0.7]}, 1),
        ({}, {}, 1),
    ],
)
def test_invalid_comparison_is_refused(a, b, repeats):
    with pytest.raises(ValueError):
        compare(a, b, repeats)


@pytest.mark.parametrize("ties", [False, True])
def test_scores_and_curves_of_classes_are_those_of_sklearn(ties):
    metrics = pytest.importorskip("sklearn.metrics")
    probabilities, labels = guesses(3, 300, 4, ties)
    named, classes = probabilities.argmax(axis=1), tuple("abcd")
    found = class_scores(probabilities, labels, classes)
    known = metrics.classification_report(labels, named, target_names=classes, output_dict=True, zero_division=0)
    for label, name in enumerate(classes):
        scores = found[name]
        assert scores["support"] == known[name]["support"]
        for key, other in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert scores[key] == pytest.approx(known[name][other])
        assert scores["auc"] == pytest.approx(metrics.roc_auc_score(labels == label, probabilities[:, label]))
        false, true, _ = metrics.roc_curve(labels == label, probabilities[:, label], drop_intermediate=False)
        curve = roc_curve(probabilities[:, label], labels == label)
        assert curve[0] == pytest.approx(false) and curve[1] == pytest.approx(true)
        assert np.trapezoid(curve[1], curve[0]) == pytest.approx(scores["auc"])


def test_classes_without_images_or_predictions_have_no_such_score():
    """None is not zero: a class that no test image has was not missed."""
    probabilities, labels = np.eye(3)[[0, 0, 1, 0]], np.array([0, 0, 1, 1])
    found = class_scores(probabilities, labels, ("a", "b", "c"))
    assert found["c"] == {"precision": None, "recall": None, "f1": None, "support": 0, "auc": None}
    assert found["b"]["precision"] == 1 and found["b"]["recall"] == 0.5 and found["b"]["auc"] == 0.75
    assert class_scores(np.eye(2)[[0, 0]], np.array([0, 0]), ("a", "b"))["a"]["auc"] is None
    for labels in ([True, True], [False, False]):
        with pytest.raises(ValueError, match="images of others"):
            roc_curve(np.array([0.1, 0.2]), np.array(labels))
