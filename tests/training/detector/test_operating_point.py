"""A detector's own threshold: chosen on some frames, measured on the others."""

import numpy as np
from galaxy_edge.models.detection_metrics import DetectionTruth
from galaxy_edge.training.detector.operating_point import choose_threshold, measure_at_own_threshold

BOX = np.array([[10.0, 10.0, 30.0, 30.0]])


def found(score):
    """A frame with one galaxy, found with a score."""
    return DetectionTruth(BOX), BOX, np.array([score])


def false(score):
    """A frame without galaxies and one false detection."""
    return DetectionTruth(negative=True), BOX, np.array([score])


def test_measured_on_the_frames_that_do_not_select():
    # The half that selects would have 4 of 4 right: its own numbers are too good.
    frames = [found(0.9), found(0.8), found(0.7), found(0.6), found(0.9), found(0.5), false(0.7), false(0.1)]
    selects = np.array([True] * 4 + [False] * 4)
    measured = measure_at_own_threshold(frames, np.array(["deepsky_frames"] * 8), selects)
    assert measured["threshold"] == 0.3  # halfway between the lowest true detection and 0
    assert measured["precision"] == 2 / 3 and measured["recall"] == 1


def test_star_fields_allow_fewer_false_detections_than_nebulae():
    # One in ten frames: within 0.15 for nebulae, above 0.05 for stars.
    frames = [found(0.9)] * 20 + [found(0.4)] * 4 + [false(0.6)] + [false(0.01)] * 9
    everywhere = np.ones(34, bool)
    nebulae = np.array(["gz_frames"] * 24 + ["deepsky_frames"] * 10)
    assert choose_threshold(frames, nebulae, everywhere) < 0.4
    stars = np.array(["gz_frames"] * 24 + ["sdss_starfields"] * 10)
    assert choose_threshold(frames, stars, everywhere) > 0.6


def test_a_higher_precision_raises_the_threshold():
    frames = [found(0.9)] * 18 + [false(0.7)] + [found(0.5)] * 3 + [false(0.05)] * 20
    sets, everywhere = np.array(["deepsky_frames"] * len(frames)), np.ones(len(frames), bool)
    assert (
        choose_threshold(frames, sets, everywhere, 0.9) < 0.5 < 0.7 < choose_threshold(frames, sets, everywhere, 0.97)
    )
