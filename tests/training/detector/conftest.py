"""Fixtures of the detector's tests."""

import pytest
from galaxy_edge.training.detector.settings import DetectorSettings
from helpers.labelled_sets import make_sets


@pytest.fixture(scope="package")
def sets(tmp_path_factory):
    """Return the folder of small rendered data sets."""
    return make_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="package")
def network():
    """A small SSD with random weights; tests may change them."""
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    from galaxy_edge.training.detector import networks as ssd

    return ssd.build_network(DetectorSettings(size=64, width=0.5, fpn_filters=16, head_convs=1, max_level=5))
