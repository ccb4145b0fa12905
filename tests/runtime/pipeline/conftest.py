"""The shipped networks, loaded once for all tests of a module."""

import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.detector import Detector


@pytest.fixture(scope="module")
def detector():
    """The shipped detector; tests that change it load their own."""
    return Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))


@pytest.fixture
def own_detector():
    """A detector that a test may change."""
    return Detector(Bundle.load(shipped_bundle_path("galaxy-detector")))


@pytest.fixture(scope="module")
def classifier():
    """The shipped classifier."""
    return Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier")))
