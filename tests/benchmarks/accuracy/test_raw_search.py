"""Judging by raw exposures: what counts as found, what as false, and how certain shares and rates are."""

import numpy as np
import pytest
from galaxy_edge.benchmarks.accuracy.raw_composites import compose
from galaxy_edge.benchmarks.accuracy.raw_search import (
    Looks,
    found_galaxies,
    holds_target,
    look,
    poisson,
    rates,
    wilson,
)
from galaxy_edge.models.raw.bayer import superpixels
from galaxy_edge.models.raw.front_end import develop
from galaxy_edge.training.scenes.cutouts import Cutout
from galaxy_edge.training.scenes.raw_frames import RawFrame


def disc() -> Cutout:
    y, x = np.mgrid[:61, :61] - 30.0
    light = 200 * np.exp(-3 * np.hypot(x / 25, y / 15))
    return Cutout(
        np.repeat(light[..., None], 3, axis=2).astype(np.uint8), np.array([5.5, 15.5, 55.5, 45.5], np.float32), 0.0
    )


def raw_frame(seed: int = 1) -> RawFrame:
    mosaic = np.random.default_rng(seed).normal(900, 60, (800, 1000)).astype(np.uint16)
    return RawFrame("x.fit", "M94", mosaic, "GRBG", 500.0, 400.0)


def test_composites_add_what_they_say():
    frame = raw_frame()
    made = compose(np.random.default_rng(2), frame, [disc()], 4)
    assert len(made.boxes) == len(made.signals) == 4 and made.frame.mosaic.dtype == np.uint16
    added = superpixels(made.frame.mosaic, "GRBG", False) - superpixels(frame.mosaic, "GRBG", False)
    noise = 60 / np.sqrt(2)
    for (x0, y0, x1, y1), signal in zip(made.boxes, made.signals, strict=True):
        part = added[round(y0) : round(y1), round(x0) : round(x1), 1] / noise
        area = np.pi / 4 * (x1 - x0) * (y1 - y0)  # an upper limit for a tilted ellipse
        assert part.sum() / area < 1.3 * signal and part.sum() / area > 0.3 * signal
        assert max(abs((x0 + x1) / 2 - 250), abs((y0 + y1) / 2 - 200)) > 75, "nothing lies on the frame's own target"


def test_a_target_must_lie_near_the_middle_of_its_box():
    boxes = np.array([[0, 0, 40, 40], [15, 0, 55, 40], [100, 100, 140, 140]], np.float32)
    assert holds_target(boxes, 25.0, 20.0).tolist() == [True, True, False]
    assert holds_target(boxes, 31.0, 20.0).tolist() == [False, True, False]


def test_found_and_false():
    truth = np.array([[0, 0, 40, 40], [100, 100, 120, 120]], np.float32)
    boxes = np.array([[2, 2, 42, 42], [1, 0, 40, 40], [5, 5, 15, 15], [300, 300, 320, 320]], np.float32)
    found, right = found_galaxies(boxes, truth)
    assert found.tolist() == [True, False]
    assert right.tolist() == [True, True, False, False], "a double is not false, a part of a galaxy is"


def test_thresholds_of_views_differ():
    views = np.array([[0, 0, 400, 300], [100, 50, 324, 274]])
    found = [
        (np.array([[10, 10, 40, 40]], np.float32), np.array([0.5], np.float32)),
        (np.array([[60, 60, 90, 90]], np.float32), np.array([0.3], np.float32)),
    ]
    looks = Looks(views, found)
    assert len(looks.detections(0.4, 0.2)[0]) == 2
    assert looks.detections(0.4, 0.35)[0].tolist() == [[10, 10, 40, 40]]
    assert looks.detections(0.6, 0.2)[0].tolist() == [[160, 110, 190, 140]]
    hits, false = rates([looks], [np.array([[158, 108, 190, 140]], np.float32)], [np.zeros((0, 4))], 0.4, 0.2)
    assert hits[0].tolist() == [True] and false == 1
    assert rates([looks], [np.zeros((0, 4))], [np.array([[0, 0, 60, 60]], np.float32)], 0.4, 0.9)[1] == 0


def test_windows_are_searched():
    made = compose(np.random.default_rng(3), raw_frame(), [disc()], 3)
    pixels = develop(made.frame.mosaic, "GRBG").pixels
    sizes = []

    def detect(part):
        sizes.append(part.shape[:2])
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)

    looks = look(pixels, detect, 224)
    assert sizes[0] == (400, 500) and len(sizes) == len(looks.views) > 1
    assert len(look(pixels, detect, 224, tiles=False).views) == 1


@pytest.mark.parametrize(
    ("found", "of", "low", "high"), [(19, 20, 0.764, 0.991), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0)]
)
def test_intervals_of_shares(found, of, low, high):
    assert np.allclose(wilson(found, of), (low, high), atol=0.002)


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.69), (3, 0.62, 8.77), (10, 4.80, 18.39)])
def test_intervals_of_rates(count, low, high):
    assert np.allclose(np.array(poisson(count, 1)), (low, high), rtol=0.03, atol=0.02)
