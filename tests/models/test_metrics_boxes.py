"""Metrics of boxes against independent references: a slow naive twin of average precision, and cases by hand."""

import json
import sys

import numpy as np
import pytest
from galaxy_edge.models.detection_metrics import (
    SIZES,
    DetectionTruth,
    detection_metrics,
    match_outcomes,
    operating_threshold,
    precision_by_size,
)

NO_BOXES, NO_SCORES = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)


def boxes(*rows):
    return np.asarray(rows, np.float32).reshape(-1, 4)


def scores(*values):
    return np.asarray(values, np.float32)


def iou(first, second):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    overlap = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return overlap / (sum(areas) - overlap)


def inside_share(box, region):
    width = min(box[2], region[2]) - max(box[0], region[0])
    height = min(box[3], region[3]) - max(box[1], region[1])
    return max(0.0, width) * max(0.0, height) / ((box[2] - box[0]) * (box[3] - box[1]))


def naive_verdicts(frames, level):
    """(score, right) of every detection that counts, straight from the definition, one at a time."""
    verdicts = []
    for truth, found, certainty in frames:
        free = [list(map(float, box)) for box in truth.boxes]
        for score, box in sorted(zip(certainty.tolist(), found.tolist(), strict=True), reverse=True):
            best = max(free, key=lambda true, box=box: iou(box, true), default=None)
            if best is not None and iou(box, best) >= level:
                free.remove(best)
                verdicts.append((score, True))
            elif not any(inside_share(box, region) >= level for region in truth.ignore.tolist()):
                verdicts.append((score, False))
    return sorted(verdicts, key=lambda verdict: -verdict[0])


def naive_average_precision(frames, level):
    """101-point interpolated average precision, as defined, without a thought for speed."""
    wanted = sum(len(truth.boxes) for truth, _, _ in frames)
    right, curve = 0, []
    for reported, (_, is_right) in enumerate(naive_verdicts(frames, level), 1):
        right += is_right
        curve.append((right / wanted, right / reported))
    points = np.linspace(0, 1, 101)
    return np.mean([max((p for recall, p in curve if recall >= point), default=0.0) for point in points])


def drawn_frames(seed, count=40):
    """Frames with galaxies, ignore regions and none, and detections good, shifted, doubled and false."""
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(count):
        corners = rng.uniform(0, 200, (0 if number % 5 == 0 else rng.integers(1, 5), 2))
        true = np.concatenate([corners, corners + rng.uniform(15, 60, corners.shape)], axis=1)
        # The ignore region is far away, so that crowd rules and matching cannot both apply to one detection.
        ignore = boxes([400, 400, 460, 450]) if number % 3 == 0 and len(true) else NO_BOXES
        near = np.repeat(true, 2, axis=0) + rng.normal(0, 5, (2 * len(true), 4))
        near = np.concatenate([np.minimum(near[:, :2], near[:, 2:]), np.maximum(near[:, :2], near[:, 2:])], axis=1)
        false = rng.uniform(0, 200, (2, 2))
        false = np.concatenate([false, false + 25], axis=1)
        crowd = ignore + rng.normal(0, 6, ignore.shape)
        found = np.concatenate([near, false, crowd]).astype(np.float32)
        certainty = rng.uniform(0, 1, len(found)).astype(np.float32)
        certainty[: len(near)] = np.sqrt(certainty[: len(near)])
        frames.append((DetectionTruth(true, ignore, negative=not len(true)), found, certainty))
    return frames


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_average_precision_agrees_with_a_naive_twin(seed):
    pytest.importorskip("pycocotools")
    frames = drawn_frames(seed)
    found = detection_metrics(frames, 0.5)
    assert found["map50"] == pytest.approx(naive_average_precision(frames, 0.5), abs=1e-6)
    expected = np.mean([naive_average_precision(frames, level) for level in np.linspace(0.5, 0.95, 10)])
    assert found["map"] == pytest.approx(expected, abs=1e-6)
    assert 0.1 < found["map"] < found["map50"] < 0.99, "the case is too easy or too hard to tell anything"


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_precision_and_recall_agree_with_a_naive_twin(threshold):
    pytest.importorskip("pycocotools")
    frames = drawn_frames(3)
    found = detection_metrics(frames, threshold)
    kept = [is_right for score, is_right in naive_verdicts(frames, 0.5) if score >= threshold]
    assert found["precision"] == pytest.approx(np.mean(kept))
    assert found["recall"] == pytest.approx(sum(kept) / found["boxes"])
    alarms = [np.sum(certainty >= threshold) for truth, _, certainty in frames if truth.negative]
    assert found["fp_per_frame"] == pytest.approx(np.mean(alarms))


GALAXY = [10, 10, 50, 50]


def measured(truth, found=NO_BOXES, certainty=NO_SCORES, threshold=0.5):
    pytest.importorskip("pycocotools")
    return detection_metrics([(truth, found, certainty)], threshold)


def test_perfect_detection():
    found = measured(DetectionTruth(boxes(GALAXY)), boxes(GALAXY), scores(0.9))
    assert [found[key] for key in ("map50", "map", "ar1", "ar10")] == pytest.approx([1.0] * 4)
    assert found["precision"] == found["recall"] == 1.0
    assert found["fp_per_frame"] is None, "there is no frame without galaxies"
    assert (found["frames"], found["boxes"]) == (1, 1)


def test_recall_of_the_best_detection_finds_one_of_two_galaxies():
    both = boxes(GALAXY, [100, 100, 150, 150])
    found = measured(DetectionTruth(both), both, scores(0.9, 0.8))
    assert (found["ar1"], found["ar10"]) == pytest.approx((0.5, 1.0))


def test_second_detection_of_a_galaxy_is_wrong():
    found = measured(DetectionTruth(boxes(GALAXY)), boxes(GALAXY, GALAXY), scores(0.9, 0.8))
    assert found["precision"] == 0.5 and found["recall"] == 1.0


def test_overlap_of_exactly_one_half_is_right():
    # Half the box, so the IoU is 0.5 to the bit; the limit belongs to the right side, as in COCO.
    found = measured(DetectionTruth(boxes(GALAXY)), boxes([10, 10, 30, 50]), scores(0.9))
    assert found["precision"] == 1.0 and found["map50"] == pytest.approx(1.0)


def test_ignore_region_counts_neither_way():
    truth = DetectionTruth(boxes(GALAXY), ignore=boxes([100, 100, 160, 160]))
    without = measured(truth, boxes(GALAXY), scores(0.6))
    # Two detections in the region, both better than the right one: a crowd takes any number.
    within = measured(truth, boxes(GALAXY, [105, 105, 150, 150], [110, 100, 160, 150]), scores(0.6, 0.9, 0.8))
    # But for COCO's recall of the best detection, of which the crowd takes the place.
    assert (without.pop("ar1"), within.pop("ar1")) == pytest.approx((1.0, 0.0))
    assert within == without
    assert without["boxes"] == 1 and without["recall"] == 1.0, "an ignored galaxy need not be found"


def test_detection_mostly_outside_an_ignore_region_is_wrong():
    truth = DetectionTruth(boxes(GALAXY), ignore=boxes([100, 100, 160, 160]))
    found = measured(truth, boxes(GALAXY, [100, 140, 160, 200]), scores(0.9, 0.8))
    assert found["precision"] == 0.5


def test_galaxy_within_an_ignore_region_is_still_found():
    # The overlap with a true box is looked at first: being in a crowd as well does not take a hit away.
    found = measured(DetectionTruth(boxes(GALAXY), ignore=boxes([0, 0, 90, 90])), boxes(GALAXY), scores(0.9))
    assert found["precision"] == found["recall"] == 1.0 and found["map"] == pytest.approx(1.0)


def test_incomplete_frame_does_not_judge_what_is_elsewhere():
    # (100, 100) may be a galaxy nobody boxed; the small box in the galaxy's middle is an error whoever boxed what.
    elsewhere, part = [80, 80, 120, 120], [28, 28, 32, 32]
    found, certainty = boxes(elsewhere, GALAXY, part), scores(0.95, 0.9, 0.8)
    incomplete = measured(DetectionTruth(boxes(GALAXY), complete=False), found, certainty)
    complete = measured(DetectionTruth(boxes(GALAXY), complete=True), found, certainty)
    assert incomplete["precision"] == 1 / 2 and complete["precision"] == 1 / 3
    assert incomplete["map50"] == pytest.approx(1.0) and complete["map50"] == pytest.approx(0.5)


def test_incomplete_frame_without_boxes_judges_nothing():
    found = measured(DetectionTruth(complete=False), boxes(GALAXY), scores(0.9))
    assert found["precision"] is None and found["fp_per_frame"] is None and found["map50"] is None


def test_negative_frame_counts_every_detection_even_if_called_incomplete():
    # "No galaxy here" leaves nothing unboxed.
    found = measured(DetectionTruth(negative=True, complete=False), boxes(GALAXY, [0, 0, 5, 5]), scores(0.9, 0.1))
    assert found["fp_per_frame"] == 1.0 and found["precision"] == 0.0


def test_no_detection_is_zero_recall_and_no_precision():
    found = measured(DetectionTruth(boxes(GALAXY)))
    assert (found["map50"], found["map"], found["ar1"], found["ar10"], found["recall"]) == (0.0,) * 5
    assert found["precision"] is None


@pytest.mark.parametrize("empty", [[30, 30, 30, 30], [50, 10, 10, 50], [50, 50, 10, 10]])
def test_empty_or_inside_out_box_is_wrong(empty):
    # With both sides negative the area is positive again, which pycocotools would believe.
    truth = DetectionTruth(boxes(GALAXY), ignore=boxes([0, 0, 90, 90]))
    found = measured(truth, boxes(empty), scores(0.9))
    assert found["precision"] == found["recall"] == found["map50"] == 0.0


def test_no_truth_is_none_not_minus_one():
    # COCOeval says -1, which an average over runs would take for a number.
    found = measured(DetectionTruth(), boxes(GALAXY), scores(0.9))
    assert [found[key] for key in ("map50", "map", "ar1", "ar10", "recall")] == [None] * 5


def test_no_frames():
    pytest.importorskip("pycocotools")
    found = detection_metrics([], 0.5)
    assert (found.pop("frames"), found.pop("boxes")) == (0, 0)
    assert set(found.values()) == {None}


def test_detection_report_is_plain_json_and_silent(capsys):
    pytest.importorskip("pycocotools")
    found = detection_metrics(drawn_frames(4), 0.5)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    keys = "map50 map ar1 ar10 precision recall fp_per_frame frames boxes"
    assert set(found) == set(keys.split())
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


# Operating threshold


def one_box_frames(right, wrong=(), alarms=(), negatives=0, missed=0):
    """Frames with one galaxy each: found at the scores `right`, false elsewhere at `wrong`, not found `missed` times;
    and `negatives` frames, the first of which has a false alarm at each of the scores `alarms`."""
    truth, away = DetectionTruth(boxes(GALAXY)), [100, 100, 140, 140]
    frames = [(truth, boxes(GALAXY), scores(score)) for score in right]
    frames += [(truth, boxes(away), scores(score)) for score in wrong]
    frames += [(truth, NO_BOXES, NO_SCORES)] * missed
    for number in range(negatives):
        said = alarms if number == 0 else ()
        frames.append((DetectionTruth(negative=True), boxes(*([away] * len(said))), scores(*said)))
    return frames


def test_threshold_takes_all_that_is_right():
    # All right down to 0.5, only errors from 0.25 on: the middle.
    assert operating_threshold(one_box_frames([0.9, 0.75, 0.5], wrong=[0.25, 0.125])) == 0.375


def test_threshold_meets_minimum_precision():
    # Down to 0.5, precision is 8 / 10 and F1 is the best, but 0.9 is asked for: down to 0.75 has it.
    frames = one_box_frames([0.75] * 4 + [0.5] * 4, wrong=[0.5] * 2)
    assert operating_threshold(frames) == 0.625
    assert operating_threshold(frames, minimum_precision=0.8) == 0.25


def test_threshold_takes_a_precision_of_exactly_the_minimum():
    # 11 of 20 is 0.55; multiplied out in floating point, 0.55 * 20 is more than 11.
    frames = one_box_frames([0.75] * 5 + [0.5] * 6, wrong=[0.5] * 9)
    assert operating_threshold(frames, minimum_precision=0.55) == 0.25


def test_threshold_meets_false_alarms():
    # One alarm in 10 empty frames is 0.1 a frame; 20 of 21 is precise enough, so only this limit is in the way.
    frames = one_box_frames([0.75] * 10 + [0.5] * 10, alarms=[0.5], negatives=10)
    assert operating_threshold(frames) == 0.625
    assert operating_threshold(frames, max_fp_per_frame=0.1) == 0.25


def test_threshold_meets_the_limit_of_each_kind_of_frame():
    # Ten empty frames of one kind have an alarm at 0.5, ten of another one at 0.25: each 0.1 a frame of its kind.
    galaxies = one_box_frames([0.875] * 20 + [0.375] * 10 + [0.125] * 10)
    frames = galaxies + one_box_frames([], alarms=[0.5], negatives=10) + one_box_frames([], alarms=[0.25], negatives=10)
    kinds = [0] * len(galaxies) + [1] * 10 + [2] * 10

    def chosen(*limits):
        return operating_threshold(frames, max_fp_per_frame=[(0.0, *limits)[kind] for kind in kinds])

    assert chosen(0.1, 0.15) == 0.0625
    assert chosen(0.05, 0.15) == 0.6875 and chosen(0.15, 0.05) == 0.3125


def test_threshold_without_empty_frames_is_chosen_by_precision():
    assert operating_threshold(one_box_frames([0.5]), max_fp_per_frame=0.0) == 0.25


def test_threshold_when_no_score_meets_the_limits_has_the_best_f1():
    # The best score is an error, so the precision never reaches 0.9; F1 is best with both galaxies.
    assert operating_threshold(one_box_frames([0.75, 0.5], wrong=[0.875, 0.25, 0.25])) == 0.375


def test_threshold_bears_rounding():
    # An int8 model has few scores. Were one of them the threshold, rounding up would silence a whole level.
    levels = 1 / (1 + np.exp(-np.arange(-20, 20) * 0.1))
    frames = one_box_frames(levels[15:], wrong=levels[:15])
    threshold = operating_threshold(frames)
    certainty = np.concatenate([certainty for _, _, certainty in frames])
    assert np.sum(certainty >= threshold) == np.sum(certainty >= round(threshold, 3)) == 25


@pytest.mark.parametrize("frames", [[], one_box_frames([], missed=1), one_box_frames([], alarms=[0.9], negatives=1)])
def test_threshold_with_nothing_to_choose_by_is_one_half(frames):
    assert operating_threshold(frames) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_threshold_is_the_best_of_all(seed):
    # Against a search over every score with the metrics themselves.
    pytest.importorskip("pycocotools")
    frames = drawn_frames(seed, count=20)
    limits = {"minimum_precision": 0.6, "max_fp_per_frame": 0.5}

    def judged(threshold):
        found = detection_metrics(frames, threshold)
        precision, recall = found["precision"], found["recall"]
        meets = precision >= limits["minimum_precision"] and found["fp_per_frame"] <= limits["max_fp_per_frame"]
        return meets, 2 * precision * recall / (precision + recall) if recall else 0.0

    candidates = [float(score) for _, _, certainty in frames for score in certainty]
    best = max(map(judged, candidates))
    meets, f1 = judged(operating_threshold(frames, **limits))
    assert meets == best[0] and f1 == pytest.approx(best[1])


def test_precision_by_size_is_that_of_frames_with_such_galaxies_only():
    # A size's score may hang on its own galaxies only: galaxies and detections of other sizes are ignored.
    rng = np.random.default_rng(3)
    sides = {"under 16 px": 10, "16 to 32 px": 24, "32 to 96 px": 60, "over 96 px": 150}
    assert sides.keys() == SIZES.keys()
    mixed, alone = [], {name: [] for name in SIZES}
    for name, side in sides.items():
        for _ in range(6):
            corner = rng.uniform(0, 400, 2)
            true = np.array([[*corner, *(corner + side)]])
            found = true + rng.uniform(-0.3, 0.3, 4) * side * rng.integers(0, 2)
            frame = (DetectionTruth(true), found, rng.random(1))
            mixed.append(frame)
            alone[name].append(frame)
    by_size = precision_by_size(mixed)
    for name, frames in alone.items():
        if all(
            low**2 <= np.prod(found[0, 2:] - found[0, :2]) <= high**2
            for _, found, _ in frames
            for low, high in [SIZES[name]]
        ):
            assert by_size[name] == pytest.approx(naive_average_precision(frames, 0.5), abs=1e-9)
    assert precision_by_size(alone["over 96 px"])["under 16 px"] is None
    assert precision_by_size([(DetectionTruth(negative=True), NO_BOXES, NO_SCORES)]) == dict.fromkeys(SIZES)


def test_verdicts_are_those_that_precision_is_counted_from():
    frames = [
        (
            DetectionTruth(boxes([0, 0, 10, 10]), boxes([50, 50, 90, 90])),
            boxes([1, 0, 10, 10], [0, 1, 10, 10], [55, 55, 60, 60]),
            scores(0.9, 0.8, 0.7),
        ),
        (DetectionTruth(negative=True), boxes([0, 0, 5, 5]), scores(0.6)),
    ]
    found, judged, in_negative = match_outcomes(frames)
    assert found.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert judged.tolist() == [1, 0, -1, 0] and in_negative.tolist() == [False, False, False, True]
