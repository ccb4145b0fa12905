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
    assert boxes.tolist() == [[202, 201, 228, 229]] and np.isclose(scores, [0.6]).all() and origin.tolist() == [0]


def test_a_large_one_keeps_the_box_of_the_whole_frame():
    boxes, *_ = fuse_views(VIEWS, found(([[120, 120, 300, 300]], [0.6]), ([[30, 30, 190, 190]], [0.5])), 224)
    assert boxes.tolist() == [[120, 120, 300, 300]]


def test_a_weak_box_of_a_window_is_not_trusted():
    boxes, *_ = fuse_views(VIEWS, found(([[190, 190, 240, 240]], [0.6]), ([[102, 101, 128, 129]], [0.2])), 224)
    assert boxes.tolist() == [[190, 190, 240, 240]]


def test_neighbours_stay_apart_and_what_a_window_cuts_off_is_left_out():
    boxes, scores, origin = fuse_views(
        VIEWS, found(([], []), ([[10, 10, 40, 40], [50, 10, 80, 40], [0, 100, 40, 140]], [0.3, 0.5, 0.9])), 224
    )
    assert boxes.tolist() == [[150, 110, 180, 140], [110, 110, 140, 140]] and origin.tolist() == [1, 1]
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_nothing_found():
    boxes, scores, origin = fuse_views(VIEWS, found(([], []), ([], [])), 224)
    assert boxes.shape == (0, 4) and scores.shape == (0,) and origin.shape == (0,)
