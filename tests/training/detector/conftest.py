"""Fixtures of the detector's tests."""

import pytest
from galaxy_edge.training.detector.settings import DetectorSettings
from helpers.labelled_sets import make_sets
from helpers.small_detector import shorten_mobilenet


@pytest.fixture(scope="package")
def sets(tmp_path_factory):
    """Return the folder of small rendered data sets."""
    return make_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture
def short_mobilenet(monkeypatch):
    """Build detectors with one block per level.

    They are for tests of the training that hold for every backbone.
    """
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    shorten_mobilenet(monkeypatch)


@pytest.fixture(scope="package")
def network():
    """A small SSD with random weights; tests may change them."""
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    from galaxy_edge.training.detector import networks as ssd

    return ssd.build_network(DetectorSettings(size=64, width=0.5, fpn_filters=16, head_convs=1, max_level=5))
