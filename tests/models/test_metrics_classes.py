"""Classification metrics, compared with scikit-learn and other references.

The others are naive implementations and cases computed by hand.
"""

import json

import numpy as np
import pytest
from galaxy_edge.models.classification_metrics import classification_metrics
from galaxy_edge.models.labels import CLASSES, coarse_group
from galaxy_edge.models.metrics import ClassificationMetrics


def drawn_probabilities(seed=0, images=400, absent=()):
    """Draw probabilities that lean towards the truth: hits and misses are common."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([i for i in range(len(CLASSES)) if i not in absent], images)
    logits = rng.normal(size=(images, len(CLASSES))) + 1.2 * np.eye(len(CLASSES))[labels]
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("absent", [(), (3,), (0, 5, 8)])
def test_classification_agrees_with_scikit_learn(absent):
    # Absent classes: macro F1 must leave them out even though some images are taken for them.
    reference = pytest.importorskip("sklearn.metrics", reason="scikit-learn, the reference, is not installed")
    probabilities, labels = drawn_probabilities(absent=absent)
    named = probabilities.argmax(axis=1)
    found = classification_metrics(probabilities, labels, CLASSES)
    present = sorted(set(labels.tolist()))
    assert found.accuracy == pytest.approx(reference.accuracy_score(labels, named))
    assert found.macro_f1 == pytest.approx(reference.f1_score(labels, named, labels=present, average="macro"))
    assert found.confusion == reference.confusion_matrix(labels, named, labels=range(len(CLASSES))).tolist()
    recalls = reference.recall_score(labels, named, labels=present, average=None)
    assert [found.recall[CLASSES[i]] for i in present] == pytest.approx(list(recalls))
    assert all(found.recall[CLASSES[i]] is None for i in absent)
    assert found.images == 400


def test_calibration_error_agrees_with_a_plain_implementation():
    probabilities, labels = drawn_probabilities(seed=1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert classification_metrics(probabilities, labels, CLASSES).ece == pytest.approx(expected)


def test_calibration_error_by_hand():
    # Four images named with 0.9, three of them rightly: |0.75 - 0.9|.
    probabilities = np.full((4, 9), 0.1 / 8)
    probabilities[:, 0] = 0.9
    assert classification_metrics(probabilities, np.array([0, 0, 0, 1]), CLASSES).ece == pytest.approx(0.15)
    # Sure and right: the confidence 1.0 is the upper edge of the last bin and must not fall out of it.
    assert classification_metrics(np.eye(9), np.arange(9), CLASSES).ece == 0.0


def test_coarse_accuracy_forgives_confusion_within_a_group():
    tight, loose, cigar = (CLASSES.index(name) for name in ("spiral_tight", "spiral_loose", "smooth_cigar"))
    found = classification_metrics(np.eye(9)[[tight, loose, cigar]], np.array([tight, tight, tight]), CLASSES)
    assert found.accuracy == pytest.approx(1 / 3)
    assert found.coarse_accuracy == pytest.approx(2 / 3)


def test_coarse_accuracy_agrees_with_a_plain_implementation():
    probabilities, labels = drawn_probabilities(seed=2)
    hits = [
        coarse_group(CLASSES[row.argmax()]) == coarse_group(CLASSES[label])
        for row, label in zip(probabilities, labels, strict=True)
    ]
    found = classification_metrics(probabilities, labels, CLASSES)
    assert found.coarse_accuracy == pytest.approx(np.mean(hits))


def test_no_images_gives_none_not_nan():
    found = classification_metrics(np.zeros((0, 9)), np.zeros(0), CLASSES)
    assert [getattr(found, key) for key in ("accuracy", "macro_f1", "coarse_accuracy", "ece")] == [None] * 4
    assert found.images == 0 and found.recall[CLASSES[0]] is None


def test_classification_report_is_plain_json():
    # numpy scalars look like numbers until somebody writes them to a file; NaN is not JSON.
    found = classification_metrics(*drawn_probabilities(images=30), CLASSES)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert ClassificationMetrics.from_dict(plain) == found
    assert set(plain) == {"accuracy", "macro_f1", "coarse_accuracy", "recall", "confusion", "ece", "images"}


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.zeros((3, 8)), np.zeros(3), "9 classes"),
        (np.zeros((3, 9)), np.zeros(2), r"\(2,\)"),
        (np.zeros((2, 9)), np.array([0, 9]), "0..8"),
        (np.zeros((2, 9)), np.array([-1, 0]), "0..8"),  # -1 is "no label" in a table, never the last class
    ],
)
def test_classification_refuses_what_does_not_fit(probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(probabilities, labels, CLASSES)
