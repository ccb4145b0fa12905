"""Galaxies added to raw exposures.

What counts as found and as false, for the detector and for a fitted SEP.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from galaxy_edge.benchmarks.accuracy.composites import evaluate_composites
from galaxy_edge.benchmarks.accuracy.raw_composites import compose
from galaxy_edge.benchmarks.accuracy.raw_results import raw_page, raw_readme_lines
from galaxy_edge.benchmarks.accuracy.raw_search import SearchedFrame, match, signals_at
from galaxy_edge.benchmarks.accuracy.records.raw import CompositesResult, NightResult
from galaxy_edge.benchmarks.accuracy.sep_baseline import at_equal_false_alarms
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.raw.bayer import superpixels
from galaxy_edge.runtime.inference.raw_detector import RawDetector
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.run import RunError
from galaxy_edge.training.scenes.cutouts import Cutout
from galaxy_edge.training.scenes.raw_frames import RawFrame
from helpers.paths import ROOT


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


def searched(boxes, truth=(), ignore=(), scores=None) -> SearchedFrame:
    truth, ignore, boxes = (np.array(rows, np.float32).reshape(-1, 4) for rows in (truth, ignore, boxes))
    scores = np.linspace(1, 0.5, len(boxes)) if scores is None else np.array(scores)
    return SearchedFrame(truth, np.full(len(truth), 3.0), ignore, boxes, scores)


def test_found_and_false():
    truth = [[0, 0, 40, 40], [100, 100, 120, 120]]
    boxes = [[2, 2, 42, 42], [1, 0, 40, 40], [5, 5, 15, 15], [300, 300, 320, 320]]
    found, false = match(searched(boxes, truth))
    assert found.tolist() == [True, False]
    assert false.tolist() == [False, False, True, True], "a double is not false, a part of a galaxy is"
    assert match(searched(boxes, truth, [[290, 290, 330, 330]]))[1].tolist() == [False, False, True, False]
    assert match(searched(boxes))[1].all() and not match(searched([], truth))[0].any()


def test_false_detections_are_grouped_by_what_they_touch():
    """A wrong box on a faint galaxy is counted separately.

    It is neither a false detection on empty sky nor a failure at the signals of the goal.
    """
    truth = np.array([[0, 0, 40, 40], [100, 100, 140, 140]], np.float32)
    boxes = np.array([[30, 30, 60, 60], [130, 130, 160, 160], [300, 300, 340, 340]], np.float32)
    frame = SearchedFrame(truth, np.array([0.9, 5.0]), np.zeros((0, 4), np.float32), boxes, np.ones(3))
    _, wrong = match(frame)
    assert wrong.all() and signals_at(frame, wrong).tolist() == [0.9, 5.0, 0.0]
    assert signals_at(frame._replace(truth=truth[:0], signals=np.zeros(0)), wrong).tolist() == [0.0] * 3


def test_the_baseline_is_cut_at_the_same_number_of_false_detections():
    galaxy = [[0, 0, 40, 40]]
    frames = [
        searched([[0, 0, 40, 40], [90, 90, 130, 130]], galaxy, scores=[0.9, 0.8]),
        searched([[90, 90, 130, 130], [0, 0, 40, 40]], galaxy, scores=[0.7, 0.6]),
    ]
    for allowed, found, false in ((0, [1, 0], 0), (1, [1, 0], 1), (2, [1, 1], 2), (9, [1, 1], 2)):
        hits, count = at_equal_false_alarms(frames, allowed)
        assert ([int(hit.sum()) for hit in hits], count) == (found, false)


def starry(seed: int) -> RawFrame:
    """A frame with stars, which a filter is to tell from galaxies."""
    frame = raw_frame(seed)
    y, x = np.mgrid[-12:13, -12:13]
    star = 9000 * np.exp(-(np.hypot(x, y) ** 2) / 18)
    mosaic = frame.mosaic.astype(np.float64)
    for row, column in np.random.default_rng([seed, 1]).integers(20, 780, (15, 2)):
        mosaic[row - 12 : row + 13, column - 12 : column + 13] += star
    return replace(frame, mosaic=mosaic.astype(np.uint16))


@pytest.fixture(scope="module")
def result():
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector-raw"), "detect")
    exposures = [starry(seed) for seed in range(8)]  # two train, one validates, five are tested on
    return evaluate_composites(RawDetector(bundle), exposures, [disc()], repeats=1, fit_repeats=2)


def test_galaxies_are_counted_by_signal(result):
    pytest.importorskip("sep", reason="needs the detector extra")
    assert (result.frames, result.exposures) == (5, 5)
    total = result.all.galaxies
    assert sum(group.galaxies for group in result.bins) == total > 0
    for name in ("detector", "sep", "sep_tuned"):
        every = getattr(result.all, name)
        assert sum(getattr(group, name).found for group in result.bins) == every.found <= total
        low, high = every.interval
        assert 0 <= low < high <= 1
    assert result.sep.false <= result.detector.false and result.sep.settings["size"] > 0


def test_exposures_without_stars_cannot_fit_a_filter():
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector-raw"), "detect")
    with pytest.raises(DataError, match="too few sources in the exposures"):
        evaluate_composites(
            RawDetector(bundle), [raw_frame(seed) for seed in range(8)], [disc()], repeats=1, fit_repeats=1
        )


def test_too_few_exposures_are_refused():
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector-raw"), "detect")
    with pytest.raises(DataError, match="too few exposures"):
        evaluate_composites(RawDetector(bundle), [raw_frame()], [disc()])


def test_exposures_of_a_mono_sensor_are_refused():
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector-raw"), "detect")
    exposures = [replace(starry(seed), pattern=None, file=f"mono{seed}.fit") for seed in range(8)]
    with pytest.raises(DataError, match=r"mono0\.fit has no Bayer pattern"):
        evaluate_composites(RawDetector(bundle), exposures, [disc()])


def test_the_page_of_results_shows_what_was_saved(result, tmp_path):
    assert raw_page(tmp_path) == []
    (tmp_path / "raw-composites.json").write_text(json.dumps(result.to_dict()))
    night = {"frames": 20, "false": 1, "false_per_frame": 0.05, "false_interval": [0.001, 0.28],
             "frames_without_galaxy": 0, "false_without_galaxy": 0}  # fmt: skip
    night["galaxies"] = {"M94": {"frames": 20, "found": 19, "share": 0.95, "interval": [0.76, 0.99]}}
    (tmp_path / "raw-night.json").write_text(
        json.dumps({"folder": "night", "depths": [{"depth": depth, **night} for depth in (1, 8)], "unknown": 0})
    )
    for text in ("\n".join(raw_page(tmp_path)), "\n".join(raw_readme_lines(tmp_path))):
        assert "| 1 | M94 | 20 | 19 | 0.95 [0.76, 0.99] | 0.050 [0.001, 0.280] |" in text
        assert "| 8 | M94 | 20 | 19 | 0.95 | 0.050 |" in text and "Stacks overlap" in text
        assert "| 2 and more |" in text and "5 raw exposures" in text


@pytest.mark.parametrize(("name", "record"), [("raw-composites", CompositesResult), ("raw-night", NightResult)])
def test_saved_results_are_kept_to_the_byte(name, record):
    """A record has all values of its file, in the same order."""
    text = (ROOT / "training" / "results" / f"{name}.json").read_text(encoding="utf-8")
    assert json.dumps(record.from_dict(json.loads(text)).to_dict(), indent=1) + "\n" == text


@pytest.mark.parametrize("content", ["", "[]", "{}"])
@pytest.mark.parametrize(("name", "command"), [("raw-composites", "composites"), ("raw-night", "night")])
def test_damaged_result_is_named(name, command, content, tmp_path):
    """The message names the file, and with it the evaluation to repeat."""
    (tmp_path / f"{name}.json").write_text(content)
    with pytest.raises(RunError, match=rf"{name}\.json is not a result of 'galaxy-edge eval {command}'"):
        raw_page(tmp_path)
