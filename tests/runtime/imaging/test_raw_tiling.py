"""Check tiles of raw frames.

Stars alone need next to none, however wide they are, and galaxies are inside.
"""

import datetime
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.raw.extended_sources import extended_sources, windows_around
from galaxy_edge.models.raw.front_end import develop, linear_planes
from galaxy_edge.models.raw.stretch import Stretch
from galaxy_edge.runtime.frame import Frame
from galaxy_edge.runtime.imaging.developed import stretch_of
from galaxy_edge.runtime.imaging.tiling import TileSelector
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.inference.raw_detector import RawDetector
from galaxy_edge.runtime.pipeline.stages import FrameProcessor, ViewOptions
from galaxy_edge.runtime.pipeline.tasks import FrameTask

SIZES = Path(__file__).parents[3] / "models" / "more_sizes"


def raw_frame(galaxies=(), width=960, height=540, fwhm=1.9, wings=False):
    """Draw a raw frame with stars and galaxies (x, y, sigma, light).

    The sky has 1000 levels and a noise of 30.

    Args:
        fwhm: full width of the stars at half of their peak.
        wings: whether they are Moffat profiles (beta 2.5), as of the atmosphere, in place of Gaussians.
    """
    random = np.random.default_rng(3)
    sky = random.normal(1000, 30, (height, width)).astype(np.float32)
    drawn = [(random.uniform(0, width), random.uniform(0, height), random.exponential(800)) for _ in range(150)]
    stars = [(x, y, fwhm / 2.355, light) for x, y, light in drawn]
    rows, columns = np.mgrid[:height, :width]
    for number, (x, y, sigma, light) in enumerate([*stars, *galaxies]):
        reach = 8 * sigma if wings else 5 * sigma
        near = np.s_[max(0, int(y - reach)) : int(y + reach) + 1, max(0, int(x - reach)) : int(x + reach) + 1]
        distance = ((columns[near] - x) ** 2 + (rows[near] - y) ** 2) / (2 * sigma**2)
        moffat = wings and number < len(stars)
        sky[near] += light * ((1 + distance / 2.5) ** -2.5 if moffat else np.exp(-distance))
    raw = np.clip(sky, 0, 65535).astype(np.uint16)
    developed, planes = develop(raw), linear_planes(raw)[0]
    return Frame(
        developed.pixels, datetime.datetime.now(datetime.UTC), "raw", 0, developed.record, raw=raw, planes=tuple(planes)
    )


def test_tiles_of_a_raw_frame_are_those_used_to_measure_thresholds():
    """Thresholds hold for windows around extended sources of the developed frame."""
    frame = raw_frame([(300, 200, 14, 60), (700, 380, 8, 150)])
    stretch = stretch_of(frame)
    assert stretch == Stretch()
    views = TileSelector("auto").select(frame.pixels, 224, stretch)
    windows = windows_around(extended_sources(frame.pixels, stretch), 960, 540, 224)
    assert views[0].tolist() == [0, 0, 960, 540] and np.array_equal(views[1:], windows)
    for x, y in ((300, 200), (700, 380)):
        assert ((views[1:, 0] < x) & (x < views[1:, 2]) & (views[1:, 1] < y) & (y < views[1:, 3])).any()


@pytest.mark.parametrize("size", ["nano", "base"])
def test_tiles_have_the_size_of_the_input_of_the_detector_of_raw_frames(size):
    """The other detector's input may be larger or smaller: 192 and 320 pixels here."""
    processor = FrameProcessor(
        Detector(Bundle.load(SIZES / size / "galaxy-detector")),
        Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier"))),
        False,
        ViewOptions(tiles="auto"),
        load_raw_detector=lambda: RawDetector(Bundle.load(shipped_bundle_path("galaxy-detector-raw"))),
    )
    task = FrameTask(raw_frame([(300, 200, 14, 60), (700, 380, 8, 150)]))
    processor.preprocess(task)
    side = min(processor.raw_detector.bundle.input_size)
    windows = windows_around(extended_sources(task.frame.pixels, Stretch()), 960, 540, side)
    assert np.array_equal(task.views[1:], windows)


def test_small_raw_frames_have_windows_too():
    """Galaxies are as small in a frame of a small sensor or wide field as in others."""
    frame = raw_frame([(300, 160, 6.0, 100.0)], width=480, height=270)
    views = TileSelector("auto").select(frame.pixels, 224, stretch_of(frame))
    assert len(views) > 1 and (views[1:, 2:] - views[1:, :2]).max() <= 224


@pytest.mark.parametrize("wings", [False, True])
@pytest.mark.parametrize("fwhm", [1.5, 1.9, 2.4, 3, 4, 5, 6])
def test_empty_sky_of_a_raw_frame_needs_next_to_no_tiles(fwhm, wings):
    """Most frames of a survey show stars only.

    They must not cost many inferences in any seeing.
    """
    frame = raw_frame(fwhm=fwhm, wings=wings)
    views = TileSelector("auto").select(frame.pixels, 224, stretch_of(frame))
    # What is left are pairs of blurred stars: there were eight tiles from 3 pixels, or 1.5 with wings, on.
    assert len(views) <= (1 if fwhm < 2.4 else 3 if fwhm < 3 else 5)


@pytest.mark.parametrize("fwhm", [1.5, 2.4, 4])
@pytest.mark.parametrize("wings", [False, True])
def test_galaxies_need_tiles_however_wide_the_stars_are(fwhm, wings):
    galaxies = [(200, 150, 4, 150), (500, 270, 6, 60), (700, 400, 14, 60)]
    frame = raw_frame(galaxies, fwhm=fwhm, wings=wings)
    views = TileSelector("auto").select(frame.pixels, 224, stretch_of(frame))
    for x, y, _, _ in galaxies:
        assert ((views[1:, 0] < x) & (x < views[1:, 2]) & (views[1:, 1] < y) & (y < views[1:, 3])).any()


@pytest.mark.parametrize("light", [1_000, 4_000])
def test_galaxy_with_a_bright_nucleus_is_not_a_star(light):
    """In a deep stack, a nucleus can look like a star, as its disk is faint.

    The nucleus is as bright as the stars and nearly as narrow.
    """
    frame = raw_frame([(400, 270, 1.5, light), (400, 270, 6, light / 20), (400, 270, 25, 150)], fwhm=2.4)
    views = TileSelector("auto").select(frame.pixels, 224, stretch_of(frame))
    assert ((views[1:, 0] < 360) & (views[1:, 2] > 440) & (views[1:, 1] < 230) & (views[1:, 3] > 310)).any()


def test_few_sources_are_no_measure_of_stars():
    """A field of galaxies alone has no stars with which they could be compared."""
    sources = [(100 + 150 * n, 120 + 60 * (n % 5), 6, 300) for n in range(6)]
    random = np.random.default_rng(4)
    rows, columns = np.mgrid[:540, :960]
    sky = random.normal(1000, 30, (540, 960))
    for x, y, sigma, light in sources:
        sky += light * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    found = extended_sources(develop(sky.astype(np.uint16)).pixels)
    assert all(any(np.hypot(source.x - x, source.y - y) < 10 for source in found) for x, y, _, _ in sources)


def test_only_frames_developed_by_the_front_end_have_its_stretch():
    """Extended light of other frames is found in their levels as they are."""
    frame = raw_frame()
    assert stretch_of(replace(frame, planes=None)) is None
    assert stretch_of(replace(frame, stretch=None)) is None
    assert stretch_of(replace(frame, stretch={"kind": "linear", "black": 0.0, "white": 1.0})) is None
