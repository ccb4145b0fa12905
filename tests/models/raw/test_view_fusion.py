"""Detections of several views become one list."""

import numpy as np
from galaxy_edge.models.raw.view_fusion import fuse_views

VIEWS = np.array([[0, 0, 900, 500], [100, 100, 324, 324]])


def found(*views):
    return [(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)) for boxes, scores in views]


def test_a_small_galaxy_has_the_windows_box_and_the_best_score():
    boxes, scores, origin = fuse_views(
        VIEWS, found(([[190, 190, 240, 240]], [0.6]), ([[102, 101, 128, 129]], [0.4])), 224
    )
    assert (
        np.allclose(boxes, [[202, 201, 228, 229]], atol=1e-3)
        and np.isclose(scores, [0.6]).all()
        and origin.tolist() == [0]
    )


def test_large_galaxy_keeps_the_box_of_the_whole_frame():
    boxes, *_ = fuse_views(VIEWS, found(([[120, 120, 300, 300]], [0.6]), ([[30, 30, 190, 190]], [0.5])), 224)
    assert boxes.tolist() == [[120, 120, 300, 300]]


def test_a_weak_box_of_a_window_is_not_trusted():
    boxes, *_ = fuse_views(VIEWS, found(([[190, 190, 240, 240]], [0.6]), ([[102, 101, 128, 129]], [0.2])), 224)
    assert boxes.tolist() == [[190, 190, 240, 240]]


def test_boxes_of_windows_are_averaged_by_score():
    views = np.array([[0, 0, 900, 500], [100, 100, 324, 324], [150, 150, 262, 262]])
    boxes, scores, _ = fuse_views(
        views, found(([], []), ([[100, 100, 130, 130]], [0.6]), ([[56, 50, 86, 86]], [0.3])), 224
    )
    assert np.allclose(boxes, [[202, 200, 232, 232]], atol=1e-3) and np.allclose(scores, [0.6])


def test_part_of_a_galaxy_is_not_a_second_galaxy():
    boxes, scores, _ = fuse_views(
        VIEWS, found(([], []), ([[50, 50, 110, 110], [20, 60, 60, 100], [112, 50, 150, 110]], [0.6, 0.4, 0.3])), 224
    )
    assert len(boxes) == 3  # a quarter of the smaller one is shared
    boxes, scores, _ = fuse_views(VIEWS, found(([], []), ([[50, 50, 110, 110], [40, 60, 80, 100]], [0.6, 0.2])), 224)
    assert np.allclose(boxes, [[150, 150, 210, 210]], atol=1e-3) and np.allclose(scores, [0.6])


def test_a_box_of_a_few_pixels_is_left_out():
    """Two stars that touch look like a galaxy of ten pixels."""
    boxes, scores, origin = fuse_views(VIEWS, found(([], []), ([[10, 10, 20, 18], [50, 10, 62, 14]], [0.8, 0.7])), 224)
    assert np.allclose(boxes, [[150, 110, 162, 114]], atol=1e-3) and len(scores) == len(origin) == 1


def test_neighbours_stay_apart_and_what_a_window_cuts_off_is_left_out():
    boxes, scores, origin = fuse_views(
        VIEWS, found(([], []), ([[10, 10, 40, 40], [50, 10, 80, 40], [0, 100, 40, 140]], [0.3, 0.5, 0.9])), 224
    )
    assert np.allclose(boxes, [[150, 110, 180, 140], [110, 110, 140, 140]], atol=1e-3) and origin.tolist() == [1, 1]
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_nothing_found():
    boxes, scores, origin = fuse_views(VIEWS, found(([], []), ([], [])), 224)
    assert boxes.shape == (0, 4) and scores.shape == (0,) and origin.shape == (0,)
