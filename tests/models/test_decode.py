"""Decoding of a detector's outputs, compared with independent references.

These are slow implementations, an inverse, and official.vision's anchors.
"""

import numpy as np
import pytest
from galaxy_edge.models.boxes import iou_matrix
from galaxy_edge.models.decode import (
    anchor_grid,
    average_boxes,
    decode_boxes,
    non_maximum_suppression,
    sigmoid,
    softmax,
)


def drawn_boxes(seed, count, span=100.0):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, span, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(5, 40, (count, 2))], axis=1).astype(np.float32)


# Overlap


def test_iou_by_hand():
    first = np.array([[0, 0, 10, 10]], np.float32)
    second = np.array(
        [
            [0, 0, 10, 10],  # itself
            [5, 0, 15, 10],  # 50 of 150
            [0, 0, 5, 4],  # inside: 20 of 100
            [10, 0, 20, 10],  # edges touch: nothing shared
            [12, 12, 20, 20],  # apart both ways: two negative sides must not make a positive area
            [5, 5, 5, 5],  # empty
        ],
        np.float32,
    )
    assert iou_matrix(first, second)[0].tolist() == pytest.approx([1, 1 / 3, 0.2, 0, 0, 0])


def test_iou_of_two_empty_boxes_is_zero_not_nan():
    empty = np.zeros((1, 4), np.float32)
    assert iou_matrix(empty, empty).tolist() == [[0.0]]


def test_iou_of_no_boxes_is_empty():
    assert iou_matrix(np.zeros((0, 4), np.float32), drawn_boxes(0, 3)).shape == (0, 3)
    assert iou_matrix(drawn_boxes(0, 3), np.zeros((0, 4), np.float32)).shape == (3, 0)


def test_iou_agrees_with_counting_pixels():
    # Whole-pixel boxes painted on a grid: the definition itself.
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 20, (12, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 15, (12, 2))], axis=1)
    masks = np.zeros((12, 40, 40), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    expected = [[np.sum(a & b) / np.sum(a | b) for b in masks] for a in masks]
    assert iou_matrix(boxes.astype(np.float32), boxes.astype(np.float32)) == pytest.approx(np.array(expected))


# Non-maximum suppression


def naive_suppression(boxes, scores, iou, limit):
    """Take the best, strike out what overlaps it, again; the first of equals."""
    left, kept = list(range(len(scores))), []
    while left and len(kept) < limit:
        best = max(left, key=lambda index: (scores[index], -index))
        kept.append(best)
        left = [i for i in left if i != best and iou_matrix(boxes[best : best + 1], boxes[i : i + 1])[0, 0] <= iou]
    return kept


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [3, 1000])
def test_suppression_agrees_with_a_plain_implementation(seed, limit):
    boxes = drawn_boxes(seed, 60)
    # Scores of an int8 model come in few levels, so ties are the rule: here 60 boxes share 8 of them.
    scores = (np.random.default_rng(seed).integers(0, 8, 60) / 8).astype(np.float32)
    kept = non_maximum_suppression(boxes, scores, 0.4, limit)
    assert kept.tolist() == naive_suppression(boxes, scores, 0.4, limit)


def test_equal_scores_keep_the_first():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    assert non_maximum_suppression(boxes, np.full(3, 0.5, np.float32), 0.5, 10).tolist() == [0, 2]


def test_overlap_of_exactly_the_limit_is_kept():
    # 50 of 100 is an IoU of 0.5 to the bit; "more than" is the rule.
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)
    assert non_maximum_suppression(boxes, np.array([0.9, 0.8], np.float32), 0.5, 10).tolist() == [0, 1]


def test_suppressed_box_suppresses_nothing():
    # A chain: the second falls to the first, and must not take the third, which the first does not touch, with it.
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    assert non_maximum_suppression(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.3, 10).tolist() == [0, 2]


def test_nothing_to_suppress():
    kept = non_maximum_suppression(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5, 10)
    assert kept.shape == (0,) and np.issubdtype(kept.dtype, np.integer), "it must still be usable as an index"


# Averaged boxes


def test_a_kept_box_is_the_mean_of_those_that_overlap_it():
    """By hand; the box apart from the others does not count."""
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([0.8, 0.4, 0.6], np.float32)
    means = average_boxes(boxes, scores, np.array([0, 2]), 0.5)
    weight = 0.25 * (90 / 110) ** 4
    shift = weight / (1 + weight)
    expected = np.array([[shift, 0, 10 + shift, 10], [50, 50, 60, 60]])
    assert means == pytest.approx(expected, abs=1e-5) and means.dtype == np.float32


def test_a_mean_of_independent_errors_is_more_exact_than_the_best_box():
    rng = np.random.default_rng(4)
    true = np.array([[20, 30, 60, 80]], np.float32)
    overlaps = []
    for _ in range(50):
        boxes = (true + rng.normal(0, 3, (12, 4))).astype(np.float32)
        scores = rng.uniform(0.5, 0.9, 12).astype(np.float32)
        kept = non_maximum_suppression(boxes, scores, 0.5, 1)
        mean = average_boxes(boxes, scores, kept, 0.5)
        overlaps.append(iou_matrix(np.concatenate([mean, boxes[kept]]), true)[:, 0])
    averaged, best = np.mean(overlaps, axis=0)
    assert averaged > best + 0.03


@pytest.mark.parametrize("box", [[5, 5, 5, 5], [9, 9, 4, 4]])
def test_an_empty_box_and_no_boxes_are_returned_as_they_are(box):
    """An empty box has no overlap with itself."""
    empty = np.array([box], np.float32)
    assert average_boxes(empty, np.array([0.9], np.float32), np.array([0]), 0.5).tolist() == empty.tolist()
    nothing = np.zeros(0, np.intp)
    assert average_boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), nothing, 0.5).shape == (0, 4)


# Anchors and box code


def encode(boxes, anchors):
    """The box code of Fast R-CNN (Girshick 2015), weighted by 10, 10, 5, 5.

    The inverse of what is tested.
    """
    sizes = (boxes[:, 2:] - boxes[:, :2])[:, ::-1]
    centres = ((boxes[:, 2:] + boxes[:, :2]) / 2)[:, ::-1]
    return np.concatenate(
        [10 * (centres - anchors[:, :2]) / anchors[:, 2:], 5 * np.log(sizes / anchors[:, 2:])], axis=1
    ).astype(np.float32)


def grid(width=128, height=128, levels=(3, 5), size=3.0, scales=2, aspects=(1.0, 2.0, 0.5)):
    return anchor_grid(width, height, *levels, size, scales, aspects)


def test_decoding_undoes_encoding():
    anchors = grid()
    boxes = drawn_boxes(2, len(anchors))
    assert decode_boxes(encode(boxes, anchors), anchors) == pytest.approx(boxes, abs=1e-3)


def test_zero_deltas_give_the_anchors():
    anchors = np.array([[20, 30, 8, 16]], np.float32)  # centre y, x; height, width
    assert decode_boxes(np.zeros((1, 4), np.float32), anchors).tolist() == [[22, 16, 38, 24]]


def test_each_delta_moves_its_own_side():
    # x and y are easily exchanged where the network speaks y first and the boxes x first.
    anchors = np.array([[20, 30, 8, 16]], np.float32)
    down, right = decode_boxes(np.array([[10, 0, 0, 0], [0, 10, 0, 0]], np.float32), np.repeat(anchors, 2, axis=0))
    assert down.tolist() == [22, 24, 38, 32]
    assert right.tolist() == [38, 16, 54, 24]
    taller = decode_boxes(np.array([[0, 0, 5 * np.log(2), 0]], np.float32), anchors)[0]
    assert taller.tolist() == pytest.approx([22, 12, 38, 28])


def test_wild_delta_does_not_overflow():
    with np.errstate(over="raise", invalid="raise"):
        box = decode_boxes(np.array([[0, 0, 1e6, 1e6]], np.float32), np.array([[0, 0, 16, 16]], np.float32))
    assert box == pytest.approx(np.array([[-500, -500, 500, 500]]), rel=1e-5)  # 16 * 1000 / 16


def test_grid_by_hand():
    anchors = anchor_grid(16, 8, 3, 3, 2.0, 1, [1.0, 4.0])
    # One row, two columns of stride 8; sides 16, and for width : height = 4 : 1 twice as wide and half as high.
    assert anchors.tolist() == [[4, 4, 16, 16], [4, 4, 8, 32], [4, 12, 16, 16], [4, 12, 8, 32]]
    assert anchors.dtype == np.float32


def test_size_that_is_no_multiple_of_the_stride_gets_evenly_spread_cells():
    # 'same' convolutions make ceil(20 / 8) = 3 columns, and one row of 8; the cells share the 20 pixels.
    anchors = anchor_grid(20, 8, 3, 3, 2.0, 1, [1.0])
    assert np.allclose(anchors[:, 1], [20 / 6, 10, 20 * 5 / 6])


@pytest.fixture(scope="module")
def official_anchor():
    # It brings TensorFlow with it: some seconds, once.
    pytest.importorskip("official.vision.ops.anchor", reason="tf-models-official, the reference, is not installed")
    from official.vision.ops.anchor import Anchor

    return Anchor


@pytest.mark.parametrize(
    ("size", "levels", "anchor_size", "scales", "aspects"),
    [
        ((256, 256), (3, 7), 3.0, 3, [1.0, 2.0, 0.5]),
        ((128, 256), (3, 6), 4.0, 2, [1.0]),  # height and width differ: their order shows
        ((320, 320), (3, 7), 2.0, 2, [1.0, 2.0, 0.5]),  # no multiple of 128: the cells of level 7 are shared out
    ],
)
def test_grid_agrees_with_official_vision(official_anchor, size, levels, anchor_size, scales, aspects):
    reference = official_anchor(*levels, scales, aspects, anchor_size, list(size)).multilevel_boxes
    corners = np.concatenate([np.reshape(boxes, (-1, 4)) for boxes in reference.values()])  # y0, x0, y1, x1
    anchors = anchor_grid(size[1], size[0], *levels, anchor_size, scales, aspects)
    found = np.concatenate([anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], axis=1)
    assert found == pytest.approx(corners, abs=1e-3)


# Scores


def test_sigmoid_agrees_with_its_definition():
    logits = np.linspace(-15, 15, 61)
    assert sigmoid(logits) == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)


def test_sigmoid_of_extremes_does_not_overflow():
    with np.errstate(over="raise"):
        assert sigmoid(np.array([-1e9, 0, 1e9])).tolist() == [0.0, 0.5, 1.0]


def test_softmax_agrees_with_its_definition():
    logits = np.random.default_rng(0).normal(size=(7, 9))
    powers = np.exp(logits / 1.7)
    assert softmax(logits, 1.7) == pytest.approx(powers / powers.sum(axis=1, keepdims=True), abs=1e-6)


def test_softmax_of_large_logits_does_not_overflow():
    with np.errstate(over="raise", invalid="raise"):
        found = softmax(np.array([[1e4, 0.0], [-1e4, -1e4]]))
    assert found.tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_temperature_changes_the_certainty_not_the_choice():
    logits = np.array([[2.0, 1.0, 0.0]])
    cold, warm = softmax(logits, 0.5)[0], softmax(logits, 2.0)[0]
    assert cold.argmax() == warm.argmax() == 0 and cold[0] > softmax(logits)[0, 0] > warm[0]
