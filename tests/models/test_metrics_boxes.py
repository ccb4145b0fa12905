"""Detection metrics against independent references.

A naive implementation and cases computed by hand.
"""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from galaxy_edge.models.detection_metrics import (
    DetectionTruth,
    detection_intervals,
    detection_metrics,
    match_outcomes,
)
from galaxy_edge.models.metrics import DetectionMetrics, OperatingCounts
from helpers.box_metrics import (
    GALAXY,
    NO_BOXES,
    NO_SCORES,
    boxes,
    drawn_frames,
    naive_average_precision,
    naive_outcomes,
    scores,
)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_average_precision_agrees_with_a_plain_implementation(seed):
    pytest.importorskip("pycocotools")
    frames = drawn_frames(seed)
    found = detection_metrics(frames, 0.5)
    assert found.map50 == pytest.approx(naive_average_precision(frames, 0.5), abs=1e-6)
    expected = np.mean([naive_average_precision(frames, level) for level in np.linspace(0.5, 0.95, 10)])
    assert found.map == pytest.approx(expected, abs=1e-6)
    assert 0.1 < found.map < found.map50 < 0.99, "the case is too easy or too hard to be a test"


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_precision_and_recall_agree_with_a_plain_implementation(threshold):
    pytest.importorskip("pycocotools")
    frames = drawn_frames(3)
    found = detection_metrics(frames, threshold)
    kept = [is_right for score, is_right in naive_outcomes(frames, 0.5) if score >= threshold]
    assert found.precision == pytest.approx(np.mean(kept))
    assert found.recall == pytest.approx(sum(kept) / found.boxes)
    alarms = [np.sum(certainty >= threshold) for truth, _, certainty in frames if truth.negative]
    assert found.fp_per_frame == pytest.approx(np.mean(alarms))


def measured(truth, found=NO_BOXES, certainty=NO_SCORES, threshold=0.5):
    pytest.importorskip("pycocotools")
    return detection_metrics([(truth, found, certainty)], threshold)


def test_perfect_detection():
    found = measured(DetectionTruth(boxes(GALAXY)), boxes(GALAXY), scores(0.9))
    assert [getattr(found, key) for key in ("map50", "map", "ar1", "ar10")] == pytest.approx([1.0] * 4)
    assert found.precision == found.recall == 1.0
    assert found.fp_per_frame is None, "there is no frame without galaxies"
    assert (found.frames, found.boxes) == (1, 1)


def test_recall_of_the_best_detection_finds_one_of_two_galaxies():
    both = boxes(GALAXY, [100, 100, 150, 150])
    found = measured(DetectionTruth(both), both, scores(0.9, 0.8))
    assert (found.ar1, found.ar10) == pytest.approx((0.5, 1.0))


def test_second_detection_of_a_galaxy_is_wrong():
    found = measured(DetectionTruth(boxes(GALAXY)), boxes(GALAXY, GALAXY), scores(0.9, 0.8))
    assert found.precision == 0.5 and found.recall == 1.0


def test_overlap_of_exactly_one_half_is_right():
    # Half the box, so the IoU is 0.5 to the bit; the limit belongs to the right side, as in COCO.
    found = measured(DetectionTruth(boxes(GALAXY)), boxes([10, 10, 30, 50]), scores(0.9))
    assert found.precision == 1.0 and found.map50 == pytest.approx(1.0)


def test_ignore_region_counts_neither_way():
    truth = DetectionTruth(boxes(GALAXY), ignore=boxes([100, 100, 160, 160]))
    without = measured(truth, boxes(GALAXY), scores(0.6))
    # Two detections in the region, both better than the right one: a crowd takes any number.
    within = measured(truth, boxes(GALAXY, [105, 105, 150, 150], [110, 100, 160, 150]), scores(0.6, 0.9, 0.8))
    # Except for COCO's recall of the best detection, which the crowd replaces.
    assert (without.ar1, within.ar1) == pytest.approx((1.0, 0.0))
    assert replace(within, ar1=without.ar1) == without
    assert without.boxes == 1 and without.recall == 1.0, "an ignored galaxy need not be found"


def test_detection_mostly_outside_an_ignore_region_is_wrong():
    truth = DetectionTruth(boxes(GALAXY), ignore=boxes([100, 100, 160, 160]))
    found = measured(truth, boxes(GALAXY, [100, 140, 160, 200]), scores(0.9, 0.8))
    assert found.precision == 0.5


@pytest.mark.parametrize(
    ("found", "precision"),
    [
        ([90, 90, 175, 175], 1.0),  # twice the area: COCO's share of the detection alone is just under one half
        ([60, 60, 200, 200], 0.5),  # more than four times its area: the object inside excuses nothing
        ([130, 100, 220, 160], 1.0),  # half of the object, a third of the detection
    ],
)
def test_larger_detection_of_an_ignored_object_counts_neither_way(found, precision):
    """A correct detection of an object whose box is too small was an error.

    Of one in a larger box it still is.
    """
    truth = DetectionTruth(boxes(GALAXY), ignore=boxes([100, 100, 160, 160]))
    result = measured(truth, boxes(GALAXY, found), scores(0.8, 0.9))
    assert result.precision == precision and result.map50 == pytest.approx(precision)


def test_intervals_hold_the_value_and_shrink_with_frames():
    """The resampled value of all frames drawn once is COCO's own."""
    pytest.importorskip("pycocotools")
    frames = drawn_frames(4)
    value, few = detection_metrics(frames, 0.5), detection_intervals(frames, 0.5)
    many = detection_intervals(frames * 8, 0.5)
    for key in ("map50", "map", "ar1", "ar10", "precision", "recall"):
        low, high = few[key]
        assert low < getattr(value, key) < high
        assert many[key][1] - many[key][0] < 0.5 * (high - low)
    assert few["fp_per_frame"][0] < value.fp_per_frame < few["fp_per_frame"][1]
    nothing = detection_intervals([(DetectionTruth(), NO_BOXES, NO_SCORES)], 0.5)
    assert set(nothing.values()) == {None}


def test_galaxy_within_an_ignore_region_is_still_found():
    # The overlap with a true box takes precedence: being in a crowd as well does not undo a match.
    found = measured(DetectionTruth(boxes(GALAXY), ignore=boxes([0, 0, 90, 90])), boxes(GALAXY), scores(0.9))
    assert found.precision == found.recall == 1.0 and found.map == pytest.approx(1.0)


def test_incomplete_frame_does_not_judge_what_is_elsewhere():
    # (100, 100) may be an unboxed galaxy; the small box in the galaxy's middle is an error in any case.
    elsewhere, part = [80, 80, 120, 120], [28, 28, 32, 32]
    found, certainty = boxes(elsewhere, GALAXY, part), scores(0.95, 0.9, 0.8)
    incomplete = measured(DetectionTruth(boxes(GALAXY), complete=False), found, certainty)
    complete = measured(DetectionTruth(boxes(GALAXY), complete=True), found, certainty)
    assert incomplete.precision == 1 / 2 and complete.precision == 1 / 3
    assert incomplete.map50 == pytest.approx(1.0) and complete.map50 == pytest.approx(0.5)


def test_incomplete_frame_without_boxes_judges_nothing():
    found = measured(DetectionTruth(complete=False), boxes(GALAXY), scores(0.9))
    assert found.precision is None and found.fp_per_frame is None and found.map50 is None


def test_negative_frame_counts_every_detection_even_if_called_incomplete():
    # "No galaxy here" leaves nothing unboxed.
    found = measured(DetectionTruth(negative=True, complete=False), boxes(GALAXY, [0, 0, 5, 5]), scores(0.9, 0.1))
    assert found.fp_per_frame == 1.0 and found.precision == 0.0


def test_no_detection_is_zero_recall_and_no_precision():
    found = measured(DetectionTruth(boxes(GALAXY)))
    assert (found.map50, found.map, found.ar1, found.ar10, found.recall) == (0.0,) * 5
    assert found.precision is None


@pytest.mark.parametrize("empty", [[30, 30, 30, 30], [50, 10, 10, 50], [50, 50, 10, 10]])
def test_empty_or_inside_out_box_is_wrong(empty):
    # With both sides negative the area is positive again, which pycocotools would believe.
    truth = DetectionTruth(boxes(GALAXY), ignore=boxes([0, 0, 90, 90]))
    found = measured(truth, boxes(empty), scores(0.9))
    assert found.precision == found.recall == found.map50 == 0.0


def test_no_truth_is_none_not_minus_one():
    # COCOeval says -1, which an average over runs would take for a number.
    found = measured(DetectionTruth(), boxes(GALAXY), scores(0.9))
    assert [getattr(found, key) for key in ("map50", "map", "ar1", "ar10", "recall")] == [None] * 5


def test_no_frames():
    pytest.importorskip("pycocotools")
    found = detection_metrics([], 0.5)
    assert found == DetectionMetrics(*[None] * 7, frames=0, boxes=0, operating=OperatingCounts(0, 0, 0, 0))


def test_detection_report_is_plain_json_and_silent(capsys):
    pytest.importorskip("pycocotools")
    found = detection_metrics(drawn_frames(4), 0.5)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert DetectionMetrics.from_dict(plain) == found
    keys = "map50 map ar1 ar10 precision recall fp_per_frame frames boxes operating"
    assert set(plain) == set(keys.split())
    assert capsys.readouterr().out == "", "COCOeval's own tables do not belong in a command's output"


def test_detection_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="2 boxes"):
        detection_metrics([(DetectionTruth(), boxes(GALAXY, GALAXY), scores(0.9))], 0.5)
    with pytest.raises(ValueError, match="not finite"):
        detection_metrics([(DetectionTruth(), boxes(GALAXY), scores(np.nan))], 0.5)
    with pytest.raises(ValueError, match="without galaxies"):
        DetectionTruth(boxes(GALAXY), negative=True)


def test_missing_pycocotools_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(ModuleNotFoundError, match=r"galaxy-edge\[bench\]"):
        detection_metrics([(DetectionTruth(boxes(GALAXY)), boxes(GALAXY), scores(0.9))], 0.5)


def test_outcomes_are_those_that_precision_is_counted_from():
    frames = [
        (
            DetectionTruth(boxes([0, 0, 10, 10]), boxes([50, 50, 90, 90])),
            boxes([1, 0, 10, 10], [0, 1, 10, 10], [55, 55, 60, 60]),
            scores(0.9, 0.8, 0.7),
        ),
        (DetectionTruth(negative=True), boxes([0, 0, 5, 5]), scores(0.6)),
    ]
    found, outcomes, in_negative = match_outcomes(frames)
    assert found.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert outcomes.tolist() == [1, 0, -1, 0] and in_negative.tolist() == [False, False, False, True]
