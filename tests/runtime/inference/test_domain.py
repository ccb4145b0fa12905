"""Galaxies unlike all that the classifier knows are never named as sure."""

import numpy as np
import pytest
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.models.manifest import ClassifierDecode
from galaxy_edge.models.naming import GROUP_SURE, sure_group
from galaxy_edge.runtime.inference.domain import Domain, doubt, withhold_names

KNOWN = Domain(min_side=16, max_outside=0.3, max_burnt=0.1, min_energy=1.0)


@pytest.mark.parametrize(
    ("box", "excluded"),
    [
        ([100, 100, 140, 130], False),
        ([100, 100, 112, 115], True),  # 15 pixels
        ([0, 100, 40, 130], False),  # at the edge, an eighth of its crop is outside
        ([-30, 100, 10, 130], True),
        ([-50, -50, 450, 350], True),  # larger than the frame
    ],
)
def test_small_galaxies_and_those_beyond_the_frame_are_excluded(box, excluded):
    """The box alone decides; a crop is its longer side and the margin."""
    boxes = np.array([box], np.float32)
    assert KNOWN.excludes_boxes(boxes, (300, 400, 3), 0.3).tolist() == [excluded]
    assert not Domain().excludes_boxes(boxes, (300, 400, 3), 0.3).any()


def test_burnt_out_images_and_those_that_excite_no_class_are_excluded():
    """Burnt out is a share of the pixels.

    The energy is that of the logits at the classifier's temperature.
    """
    images = np.full((3, 20, 20, 3), 60, np.uint8)
    images[1, :8, :8, 1] = 253  # 16 % in one channel
    logits = np.array([[4.0, 0, 0], [4.0, 0, 0], [0.1, 0, 0]], np.float32)
    assert KNOWN.excludes_images(images, logits, 0.7).tolist() == [False, True, True]
    assert not Domain().excludes_images(images, logits, 0.7).any()


def test_a_group_that_is_often_wrong_needs_more():
    """Only where it is the most probable one."""
    rows = np.full((3, 9), 0.01, np.float32)
    rows[0, CLASSES.index("disk_no_spiral")] = rows[1, CLASSES.index("smooth_round")] = 0.92
    rows[2] = np.eye(9)[CLASSES.index("disk_no_spiral")] * 0.98 + 0.02 / 9
    strict = Domain.from_manifest(ClassifierDecode(1.0, groups={"disk_no_spiral": 0.97}))
    assert strict.excludes_groups(rows, CLASSES).tolist() == [True, False, False]
    assert not Domain().excludes_groups(rows, CLASSES).any()


def test_a_doubted_galaxy_keeps_its_class_but_is_not_sure():
    """Neither its class nor the largest group can reach its threshold.

    The largest group has three classes.
    """
    probabilities = np.zeros((2, 9), np.float32)
    probabilities[:, CLASSES.index("spiral_tight")] = 1
    kept, doubted = doubt(probabilities, np.array([False, True]))
    assert (kept == probabilities[0]).all() and doubted.sum() == pytest.approx(1)
    assert doubted.argmax() == CLASSES.index("spiral_tight") and doubted.max() < 0.6
    assert sure_group(dict(zip(CLASSES, map(float, doubted), strict=True))) is None and GROUP_SURE > 0.7


def test_withheld_names_keep_their_probabilities_as_far_as_possible():
    """Class and group end just below their thresholds; rows below both are unchanged."""
    rows = np.full((3, 9), 0.01, np.float32)
    rows[:2, CLASSES.index("disk_no_spiral")] = 0.92
    rows[2, CLASSES.index("disk_no_spiral")], rows[2, CLASSES.index("smooth_round")] = 0.65, 0.28
    free, withheld, below = withhold_names(rows, np.array([False, True, True]), CLASSES, 0.7)
    assert (free == rows[0]).all() and np.allclose(below, rows[2], atol=0.002)
    assert 0.69 < withheld.max() < 0.7 and withheld.sum() == pytest.approx(1)
    spiral = np.full((1, 9), 0.01, np.float32)
    spiral[0, [CLASSES.index(name) for name in CLASSES if name.startswith("spiral")]] = 0.31
    lowered = withhold_names(spiral, np.array([True]), CLASSES, 0.7)[0]
    assert sure_group(dict(zip(CLASSES, map(float, spiral[0]), strict=True))) == "spiral"
    assert sure_group(dict(zip(CLASSES, map(float, lowered), strict=True))) is None and lowered.sum() > 0.99
    assert withhold_names(rows, np.ones(3, bool), CLASSES, None).max() < GROUP_SURE
