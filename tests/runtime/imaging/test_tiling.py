"""Check tiles: coverage by grids, selection by light, objects across tiles.

Grids cover the frame; extended light selects tiles; objects across tiles are found once and whole.
"""

import datetime
from dataclasses import replace
from importlib import resources

import cv2
import numpy as np
import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.imaging.tiling import TileSelector, find_extended_light
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.inference.tile_merging import merge
from galaxy_edge.runtime.monitoring.controls import Controls
from galaxy_edge.runtime.pipeline.stages import FrameProcessor, ViewOptions
from galaxy_edge.runtime.pipeline.tasks import FrameTask
from galaxy_edge.runtime.sources.demo import DemoSource


def detections_of(*boxes, scores=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(boxes, np.array(scores or [0.9] * len(boxes), np.float32))


def draw_sky(width, height, galaxies=(), stars=100, seed=0):
    """Draw a sky (height, width, 3) with noise, stars and round galaxies.

    Stars have a sigma of 1.5; galaxies are (x, y, sigma, light).
    """
    random = np.random.default_rng(seed)
    sky = random.normal(14, 3, (height, width)).astype(np.float32)
    blobs = [
        (x, y, 1.5, light)
        for x, y, light in zip(
            random.uniform(0, width, stars),
            random.uniform(0, height, stars),
            random.uniform(20, 220, stars),
            strict=True,
        )
    ]
    for x, y, sigma, light in [*blobs, *galaxies]:
        reach = int(4 * sigma) + 1
        x0, y0, x1, y1 = max(0, int(x) - reach), max(0, int(y) - reach), int(x) + reach, int(y) + reach
        rows, columns = np.mgrid[y0 : min(height, y1), x0 : min(width, x1)]
        sky[rows, columns] += light * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.clip(sky, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (3840, 2160), (100, 2000)])
@pytest.mark.parametrize("grid", ["1x1", "3x2", "5x5"])
def test_grid_covers_the_frame_with_overlapping_tiles(size, grid):
    views = TileSelector(grid).select(np.zeros((*size[::-1], 3), np.uint8), 256)
    columns, rows = (int(part) for part in grid.split("x"))
    assert len(views) == 1 + columns * rows and views[0].tolist() == [0, 0, *size]
    covered = np.zeros(size[::-1], int)
    for x0, y0, x1, y1 in views[1:]:
        covered[y0:y1, x0:x1] += 1
    assert covered.min() >= 1 and (max(columns, rows) == 1 or covered.max() >= 2)
    assert views.min() >= 0 and (views[:, 2] <= size[0]).all() and (views[:, 3] <= size[1]).all()


@pytest.mark.parametrize("text", ["3", "0x2", "3x", "x", "on", "3x2x1", "100x1"])
def test_error_of_an_invalid_grid_gives_the_valid_forms(text):
    with pytest.raises(UsageError, match="auto, off or columns x rows"):
        TileSelector(text)


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (3840, 2160)])
@pytest.mark.parametrize("seed", range(3))
def test_sky_of_stars_alone_needs_one_view(size, seed):
    pixels = draw_sky(*size, seed=seed)
    assert len(TileSelector("auto").select(pixels, 256)) == 1


@pytest.mark.parametrize("size", [(960, 540), (1920, 1080), (3840, 2160)])
@pytest.mark.parametrize(("sigma", "light"), [(9, 60), (15, 30), (30, 25)])
def test_galaxy_among_stars_is_completely_inside_a_tile(size, sigma, light):
    x, y = 0.37 * size[0], 0.61 * size[1]
    views = TileSelector("auto").select(draw_sky(*size, [(x, y, sigma, light)]), 256)
    containing = [
        (x0, y0, x1, y1)
        for x0, y0, x1, y1 in views[1:]
        if x0 <= x - 2 * sigma and x + 2 * sigma <= x1 and y0 <= y - 2 * sigma and y + 2 * sigma <= y1
    ]
    assert containing and len(views) <= 3
    # The network must not see the galaxy much smaller than it is.
    assert min(x1 - x0 for x0, _, x1, _ in containing) <= max(256, 24 * sigma)


def test_extended_light_is_measured_in_frame_pixels():
    ((x, y, side),) = find_extended_light(draw_sky(1920, 1080, [(700, 500, 25, 80)]))
    assert (x, y) == pytest.approx((700, 500), abs=10) and 50 < side < 200


@pytest.mark.parametrize(("size", "tiled"), [((300, 200), False), ((768, 600), False), ((769, 600), True)])
def test_frame_of_up_to_three_times_the_input_needs_no_tiles(size, tiled):
    """A galaxy of 30 pixels still has 10 in the whole frame.

    Tiles would cost more than they find.
    """
    pixels = draw_sky(*size, [(100, 100, 12, 80)], stars=5)
    assert (len(TileSelector("auto").select(pixels, 256)) > 1) == tiled


def with_thresholds(bundle, **thresholds):
    """Return a detector's bundle with other thresholds in its manifest."""
    decode = bundle.manifest.detector_decode._replace(**thresholds)
    return replace(bundle, manifest=bundle.manifest._replace(decode=decode))


class FixedScoreDetector(Detector):
    """The shipped detector with one box in the whole frame and one in every tile.

    The boxes have fixed scores.
    """

    scores = (0.6, 0.6)

    def decode(self, raw, model_input, is_tile=False):
        score = self.scores[is_tile]
        if score < (self.tile_min_score if is_tile else self.min_score):
            return detections_of()
        return detections_of([80, 80, 140, 140] if is_tile else [10, 10, 60, 60], scores=[score])


@pytest.mark.parametrize(
    ("tile_threshold", "min_score", "counts"),
    [(None, None, 2), (0.7, None, 1), (0.7, 0.5, 2), (0.3, 0.65, 0)],
    ids=["shared", "own", "given", "given above both"],
)
def test_tiles_have_their_own_threshold(tile_threshold, min_score, counts):
    """Tiles add false detections at the threshold of whole frames.

    ``--min-score`` is obeyed in both.
    """
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector"))
    bundle = with_thresholds(bundle, score_threshold=0.5, tile_threshold=tile_threshold)
    detector = FixedScoreDetector(bundle, min_score=min_score)
    processor = FrameProcessor(
        detector, Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier"))), False, ViewOptions("1x1")
    )
    task = FrameTask(Frame(np.zeros((480, 640, 3), np.uint8), datetime.datetime.now(datetime.UTC), "sky", 0))
    for stage in processor.stages:
        stage.process(task)
    assert len(task.detections) == counts


def test_minimum_score_of_the_live_view_applies_to_tiles_too():
    """Until the user changes it, the bundle's thresholds apply."""
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector"))
    detector = FixedScoreDetector(with_thresholds(bundle, tile_threshold=0.9))
    controls = Controls(min_score=detector.min_score)
    processor = FrameProcessor(
        detector, Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier"))), False, ViewOptions("1x1"), controls
    )
    counts = []
    for min_score in (detector.min_score, 0.55, 0.65):
        controls.min_score = min_score
        task = FrameTask(Frame(np.zeros((480, 640, 3), np.uint8), datetime.datetime.now(datetime.UTC), "sky", 0))
        for stage in processor.stages:
            stage.process(task)
        counts.append(len(task.detections))
    assert counts == [1, 2, 0]


@pytest.mark.parametrize("min_score", [None, 0.2])
def test_decoding_applies_the_threshold_of_its_view(min_score):
    """The threshold is that of a whole frame or of a tile.

    Checked with the output of the shipped network for a demo frame.
    """
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector"))
    detector = Detector(with_thresholds(bundle, score_threshold=0.1, tile_threshold=0.5), min_score=min_score)
    model_input = detector.preprocess(next(iter(DemoSource())).pixels)
    raw = detector.infer(model_input)
    whole, tile = detector.decode(raw, model_input), detector.decode(raw, model_input, is_tile=True)
    assert len(whole) and whole.scores.min() >= (min_score or 0.1)
    assert len(tile) == (len(whole) if min_score else (whole.scores >= 0.5).sum())


VIEWS = np.array([[0, 0, 400, 200], [0, 0, 250, 200], [150, 0, 400, 200]])


@pytest.mark.parametrize(
    ("view_boxes", "boxes", "why"),
    [
        (([190, 50, 230, 90], [190, 50, 230, 90], [40, 50, 80, 90]), [[190, 50, 230, 90]], "in all three views"),
        (((), [200, 50, 250, 90], [49, 50, 110, 90]), [[199, 50, 260, 90]], "cut by the edge of the left tile"),
        (((), [0, 50, 40, 90], ()), [[0, 50, 40, 90]], "at the frame's own edge it stays"),
        (((), (), [210, 50, 250, 90]), [[360, 50, 400, 90]], "and at its other edge"),
        (([100, 20, 300, 180], [150, 60, 190, 100], ()), [[100, 20, 300, 180]], "a knot in an arm, seen in a tile"),
    ],
)
def test_object_in_several_views_is_found_once(view_boxes, boxes, why):
    detections = [
        detections_of(box, scores=[score]) if box else detections_of()
        for box, score in zip(view_boxes, (0.9, 0.8, 0.7), strict=True)
    ]
    merged = merge(VIEWS, detections, iou=0.5, limit=10)
    assert merged.boxes.tolist() == boxes, why


def test_neighbours_in_one_view_stay_separate_and_are_sorted_by_score():
    # A companion in front of a large galaxy: both were found in the same view, where duplicates are removed already.
    pair = detections_of([100, 20, 300, 180], [240, 120, 280, 160], scores=[0.8, 0.9])
    merged = merge(VIEWS, [pair, detections_of(), detections_of()], iou=0.5, limit=10)
    assert merged.scores.tolist() == pytest.approx([0.9, 0.8])
    assert len(merge(VIEWS, [pair, detections_of(), detections_of()], iou=0.5, limit=1)) == 1
    assert len(merge(VIEWS, [detections_of()] * 3, iou=0.5, limit=1)) == 0


def test_small_galaxies_of_a_large_frame_need_tiles():
    """The shipped detector and real galaxies.

    The Hubble deep field in the middle of a dark 4K frame.
    """
    sky = cv2.imread(str(resources.files("galaxy_edge.runtime.sources") / "sky" / "hubble_xdf.jpg"))[..., ::-1]
    frame = np.full((2160, 3840, 3), 4, np.uint8)
    frame[600 : 600 + sky.shape[0], 1500 : 1500 + sky.shape[1]] = sky
    detector, classifier = (
        Detector(Bundle.load(shipped_bundle_path("galaxy-detector"))),
        Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier"))),
    )
    counts = {}
    for tiles in ("off", "auto"):
        processor = FrameProcessor(detector, classifier, False, ViewOptions(tiles=tiles))
        task = FrameTask(Frame(frame, datetime.datetime.now(datetime.UTC), "deep field", 0))
        for stage in processor.stages:
            stage.process(task)
        counts[tiles] = len(task.detections)
        boxes = task.detections.boxes
    assert counts["off"] <= 3 and counts["auto"] >= 10
    inside = (boxes[:, 0] >= 1490) & (boxes[:, 1] >= 590) & (boxes[:, 2] <= 1510 + sky.shape[1])
    assert inside.all()
