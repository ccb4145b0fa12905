"""Targets of anchors: encoding, assignment and ignored boxes."""

import numpy as np
import pytest
from galaxy_edge.models.decode import anchor_grid, decode_boxes
from galaxy_edge.training.detector.anchor_matching import assign_targets, encode_boxes

ANCHORS = anchor_grid(128, 128, 3, 7, 2.0, 2, (1.0, 2.0, 0.5))


def test_encode_is_the_inverse_of_decode():
    """Training and inference must agree on the meaning of deltas."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 90, (len(ANCHORS), 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 80, low.shape)], axis=1).astype(np.float32)
    np.testing.assert_allclose(decode_boxes(encode_boxes(boxes, ANCHORS), ANCHORS), boxes, atol=1e-2)


@pytest.mark.parametrize("side", [7, 12, 30, 120])
def test_every_galaxy_has_an_anchor_whatever_its_size(side):
    """Galaxies smaller than every anchor must be learnt too."""
    box = np.array([[4, 5, 4 + side, 5 + 0.4 * side]], np.float32)
    target, deltas = assign_targets(ANCHORS, box, np.zeros((0, 4), np.float32))
    positive = target == 1
    assert 1 <= positive.sum() < 80
    np.testing.assert_allclose(
        decode_boxes(deltas[positive], ANCHORS[positive]), np.repeat(box, positive.sum(), 0), atol=1e-2
    )


def test_ignored_boxes_are_not_sky_and_do_not_hide_a_galaxy():
    """Ignored boxes are neither positive nor negative; a galaxy takes precedence."""
    box = np.array([[30, 30, 60, 60]], np.float32)
    target, _ = assign_targets(ANCHORS, np.zeros((0, 4), np.float32), box)
    assert (target == -1).any() and not (target == 1).any()
    both, _ = assign_targets(ANCHORS, box, box)
    alone, _ = assign_targets(ANCHORS, box, np.zeros((0, 4), np.float32))
    np.testing.assert_array_equal(both == 1, alone == 1)


def test_empty_scene_has_only_negative_anchors():
    """Half of the scenes have no galaxy; empty arrays must be handled."""
    none = np.zeros((0, 4), np.float32)
    target, deltas = assign_targets(ANCHORS, none, none)
    assert not target.any() and not deltas.any()
