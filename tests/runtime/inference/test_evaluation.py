"""Evaluations measure the probabilities that a run reports."""

from types import SimpleNamespace

import numpy as np
import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.runtime.frame import Detections
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.domain import highest_doubted
from galaxy_edge.runtime.inference.evaluation import class_columns, classifier_metrics


def test_probabilities_are_doubted_as_in_a_run():
    """Images that are doubted in a run are doubted in an evaluation too.

    They are a burnt-out image and a galaxy of too few pixels.
    """
    classifier = Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier"), "classify"))
    frame, box = np.full((120, 120, 3), 20, np.uint8), np.array([50, 50, 56, 55], np.float32)
    frame[48:58, 48:58] = 120
    _, probabilities = classifier_metrics(classifier, [(np.full_like(frame, 255), None, 0), (frame, box, 1)])
    assert (probabilities.max(axis=1) <= highest_doubted(9) + 1e-6).all()
    named = classifier(frame, Detections(box[None], np.ones(1, np.float32)))
    assert np.array_equal(named.probabilities[0], probabilities[1])


def test_a_classifier_of_other_classes_cannot_be_measured():
    """Its answers are none of the nine classes that the images have."""
    mixed = SimpleNamespace(classes=(*CLASSES[::-1], "boxy"))
    assert [mixed.classes[column] for column in class_columns(mixed)] == list(CLASSES)
    with pytest.raises(BundleError, match="does not know disk_no_spiral, smooth_round"):
        class_columns(SimpleNamespace(classes=CLASSES[2:]))
