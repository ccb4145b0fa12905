"""Rounded coordinates give the original pixels, and recorded values are restored."""

import numpy as np
from galaxy_edge.training.formats.annotation import ImageAnnotation
from galaxy_edge.training.formats.rounding import restore_from_record, round_to_shortest


def test_the_roundest_number_that_agrees_is_taken():
    values = np.array([[10.0000002, 0.30000000000000004, 7.12499, 1 / 3]])
    near = round_to_shortest(values, lambda tried: np.abs(tried - values) < 1e-4)
    assert near.tolist() == [[10, 0.3, 7.125, 0.3333]]


def test_number_stays_where_no_rounder_one_agrees():
    values = np.array([[1 / 3, 2 / 3, 0.1, 5.0]])
    assert np.array_equal(round_to_shortest(values, lambda tried: tried == values), values)
    assert round_to_shortest(np.zeros((0, 4)), lambda tried: tried == 0).shape == (0, 4)


def labelled(boxes, difficult, extras):
    boxes = np.array(boxes, float).reshape(-1, 4)
    return ImageAnnotation("a.png", 9, 9, boxes, ("galaxy",) * len(boxes), np.array(difficult, bool), tuple(extras))


def keys(image):
    return [tuple(np.round(box)) for box in image.boxes]


def test_a_record_counts_for_the_boxes_that_are_still_there():
    kept = labelled(
        [[1.1, 1, 2, 2], [3.3, 3, 4, 4], [1.2, 1, 2, 2]], [True, True, False], [{"n": 1}, {"n": 2}, {"n": 3}]
    )
    read = labelled([[1, 1, 2, 2], [5, 5, 6, 6], [1, 1, 2, 2], [1, 1, 2, 2]], [False] * 4, [{}] * 4)
    found = restore_from_record(read, keys(read), kept, keys)
    # Two that are written alike are distinguished by their order; a third of them is new.
    assert found.boxes[:, 0].tolist() == [1.1, 5, 1.2, 1]
    assert found.difficult.tolist() == [True, False, False, False]
    assert [extra.get("n") for extra in found.extras] == [1, None, 3, None]
    assert restore_from_record(read, keys(read), None, keys) is read
