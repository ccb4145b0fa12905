"""A detector's teacher: the mean over flips, and which bundles can teach."""

import dataclasses

import numpy as np
import pytest
from galaxy_edge.models.bundle import shipped_bundle_path
from galaxy_edge.models.decode import anchor_grid
from galaxy_edge.training.detector.settings import PRESETS, DetectorSettings
from galaxy_edge.training.detector.teacher import DetectorTeacher, flipped_order, load_teacher
from galaxy_edge.training.run import RunError

ANCHORS = anchor_grid(64, 64, 3, 3, 2.0, 2, (1.0, 2.0))


def _biased(image):
    """Return outputs that follow the image, but shift each box to one side."""
    blocks = np.pad(image[4::8, 4::8, 0].astype(np.float32), 1)
    rows, columns = (ANCHORS[:, :2] // 8 + 1).astype(int).T
    down = blocks[rows + 1, columns] - blocks[rows - 1, columns]
    right = blocks[rows, columns + 1] - blocks[rows, columns - 1]
    sides = blocks[rows, columns]
    return np.stack([down + 3, right + 5, sides, -sides], axis=1), sides


def test_mean_over_flips_removes_a_shift_to_one_side():
    """Padding of strided convolutions shifts boxes in one direction."""
    image = np.kron(np.random.default_rng(1).integers(0, 9, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    deltas, logits = _biased(image)
    scores, mean = DetectorTeacher(_biased, ANCHORS, "biased").soft_targets(image[None])
    np.testing.assert_allclose(mean[0], deltas - [3, 5, 0, 0], atol=1e-5)
    np.testing.assert_allclose(scores[0], 1 / (1 + np.exp(-logits)), atol=1e-5)


@pytest.mark.parametrize("flip", [(1, -1), (-1, 1), (-1, -1)])
def test_an_anchor_and_its_mirror_image_have_the_same_sides(flip):
    """The order holds for grids that do not divide the input, too."""
    anchors = anchor_grid(224, 224, 3, 6, 2.0, 2, (1.0, 2.0, 0.5))
    mirrored = anchors[flipped_order(anchors, *flip)]
    expected = np.where(np.array(flip) < 0, 224 - anchors[:, :2], anchors[:, :2])
    np.testing.assert_allclose(mirrored[:, :2], expected, atol=1e-3)
    np.testing.assert_array_equal(mirrored[:, 2:], anchors[:, 2:])


def test_the_shipped_detector_teaches_its_own_kind_only(tmp_path):
    """Outputs of other anchors cannot be compared one by one."""
    folder = shipped_bundle_path("galaxy-detector")
    settings = DetectorSettings(**PRESETS["quick"])
    scores, deltas = load_teacher(folder, settings).soft_targets(np.zeros((1, 288, 288, 3), np.uint8))
    assert scores.shape == (1, 10410) and deltas.shape == (1, 10410, 4) and scores.max() < 0.5
    for change in ({"size": 256}, {"anchor_size": 3.0}):
        with pytest.raises(RunError, match="cannot teach this network"):
            load_teacher(folder, dataclasses.replace(settings, **change))
    with pytest.raises(RunError, match="--teacher must be the bundle of an exported detector"):
        load_teacher(tmp_path, settings)
