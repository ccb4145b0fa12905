"""The operating threshold of a detector.

Cases computed by hand, and a search over every score.
"""

import numpy as np
import pytest
from galaxy_edge.models.detection_metrics import DetectionTruth, detection_metrics, operating_threshold
from helpers.box_metrics import GALAXY, NO_BOXES, NO_SCORES, boxes, drawn_frames, scores


def one_box_frames(right, wrong=(), alarms=(), negatives=0, missed=0):
    """Make frames with one galaxy each, and `negatives` frames without one.

    The galaxy is found at the scores `right`, a false detection lies elsewhere at `wrong`, and nothing is found in
    `missed` frames. The first frame without a galaxy has a false alarm at each of the scores `alarms`.
    """
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
        precision, recall = found.precision, found.recall
        meets = precision >= limits["minimum_precision"] and found.fp_per_frame <= limits["max_fp_per_frame"]
        return meets, 2 * precision * recall / (precision + recall) if recall else 0.0

    candidates = [float(score) for _, _, certainty in frames for score in certainty]
    best = max(map(judged, candidates))
    meets, f1 = judged(operating_threshold(frames, **limits))
    assert meets == best[0] and f1 == pytest.approx(best[1])
