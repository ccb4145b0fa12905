"""BiFPN: output levels, connections between levels, and number of parameters."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tf_keras", reason="needs the detector extra")

from galaxy_edge.training.detector.bifpn import bifpn

SHAPES = {"3": (12, 12, 8), "4": (6, 6, 12), "5": (3, 3, 20)}


@pytest.fixture(scope="module")
def pyramid():
    return bifpn(SHAPES, 6, 16, 1)


def test_levels_above_the_backbone_are_pooled(pyramid):
    """The anchor grid expects these shapes."""
    features = {level: np.zeros((2, *shape), np.float32) for level, shape in SHAPES.items()}
    outputs = pyramid(features)
    assert {level: tuple(value.shape) for level, value in outputs.items()} == {
        "3": (2, 12, 12, 16), "4": (2, 6, 6, 16), "5": (2, 3, 3, 16), "6": (2, 2, 2, 16)
    }  # fmt: skip


def test_every_level_depends_on_every_other(pyramid):
    """This is what the top-down and bottom-up passes are for."""
    rng = np.random.default_rng(0)
    features = {level: rng.normal(size=(1, *shape)).astype(np.float32) for level, shape in SHAPES.items()}
    before = pyramid(features)
    for changed in SHAPES:
        shifted = {level: value + 3.0 * (level == changed) for level, value in features.items()}
        after = pyramid(shifted)
        for level in before:
            assert np.abs(after[level] - before[level]).max() > 1e-4, (changed, level)


def test_parameters_are_those_of_the_layers(pyramid):
    """Detects a missing or additional merge."""
    laterals = sum(channels * 16 + 16 + 4 * 16 for _, _, channels in SHAPES.values())
    merge = 9 * 16 + 16 * 16 + 16 + 4 * 16  # depthwise, pointwise, bias, normalisation
    assert pyramid.count_params() == laterals + 6 * merge  # three down, three up
