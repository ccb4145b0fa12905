"""Check when the detector for raw frames is used, and what it finds in exposures.

The exposures are real.
"""

import json

import numpy as np
import pytest
from galaxy_edge.models.raw.front_end import develop
from galaxy_edge.runtime.frame import Detections
from galaxy_edge.runtime.inference.bundles import RAW_DETECTOR, load_bundle
from galaxy_edge.runtime.inference.raw_detector import MIN_VIEW_SCORE, RawDetector
from galaxy_edge.runtime.run_config import RunConfig
from galaxy_edge.runtime.session import Session
from helpers.command_line import galaxy_edge as command_line
from helpers.images import encode, render


@pytest.fixture(scope="module")
def detector():
    return RawDetector(load_bundle(None, RAW_DETECTOR))


@pytest.fixture
def noisy_sky():
    """A developed frame (200, 300, 3) uint8 of noise alone."""
    return develop(np.random.default_rng(1).normal(500, 10, (200, 300)).astype(np.float32)).pixels


def test_scores_of_all_views_are_fused_before_the_threshold(detector, noisy_sky):
    """A fused object has the tile's box and the highest score.

    What one view sees faintly is dropped.
    """
    views = np.array([[0, 0, 300, 200], [50, 20, 274, 200]])
    whole_frame = Detections(
        np.array([[100, 80, 140, 120], [10, 10, 50, 50]], np.float32), np.array([0.5, 0.2], np.float32)
    )
    tile = Detections(np.array([[52, 62, 88, 98]], np.float32), np.array([0.4], np.float32))
    fused = detector.fuse(noisy_sky, views, [whole_frame, tile], None)
    assert fused.boxes.tolist() == [[102, 82, 138, 118]] and fused.scores.tolist() == [0.5]


@pytest.mark.parametrize(("width", "kept"), [(2.0, True), (5.0, False)])
def test_a_box_as_wide_as_the_stars_is_left_out(detector, width, kept):
    """Out of focus, or if a star covers many pixels, stars look like small galaxies."""
    random, (rows, columns) = np.random.default_rng(1), np.mgrid[:200, :300]
    frame = random.normal(500, 10, (200, 300))
    for _ in range(40):
        y, x = random.uniform(15, 185), random.uniform(15, 285)
        frame += 400 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (width / 2.3548) ** 2))
    found = Detections(np.array([[100, 80, 116, 96]], np.float32), np.array([0.6], np.float32))
    fused = detector.fuse(develop(frame.astype(np.float32)).pixels, np.array([[0, 0, 300, 200]]), [found], None)
    assert (len(fused.boxes) == 1) == kept


def test_views_keep_detections_far_below_the_threshold(detector, noisy_sky):
    """Thresholding each view would leave nothing to fuse.

    The operating threshold itself is not changed.
    """
    operating_threshold = detector.min_score
    view = detector.preprocess(noisy_sky)
    detections = detector.decode(detector.infer(view), view)
    assert (
        detections.scores >= MIN_VIEW_SCORE - 1e-3
    ).all() and detector.min_score == operating_threshold > MIN_VIEW_SCORE


@pytest.fixture
def loaded_bundles(monkeypatch):
    """Return the list to which a session adds the name of each bundle that it loads."""
    names = []

    def recording_load(models, name, require_signature, allow_older):
        names.append(name)
        return load_bundle(models, name, require_signature, allow_older)

    monkeypatch.setattr("galaxy_edge.runtime.session.load_bundle", recording_load)
    return names


def write_raw_frame(path):
    """Write a 16-bit grey PNG with one galaxy."""
    path.write_bytes(encode(render([(60, 40, 12)], 160, 120)[..., 0].astype(np.uint16) * 200))


def test_raw_detector_is_loaded_once_and_for_raw_frames_only(tmp_path, loaded_bundles):
    """Processed images keep the detector trained on them, and never load the other."""
    (tmp_path / "processed.png").write_bytes(encode(render([(60, 40, 12)], 160, 120)))
    write_raw_frame(tmp_path / "raw.png")
    Session(RunConfig(source=str(tmp_path / "processed.png"), out=None)).run()
    assert RAW_DETECTOR not in loaded_bundles
    Session(RunConfig(source=str(tmp_path / "raw.png"), out=None)).run()
    assert loaded_bundles.count(RAW_DETECTOR) == 1


def test_folder_of_models_without_a_raw_detector_is_complete(tiny_models, tmp_path, loaded_bundles):
    """Model folders from before the raw detector, without one, keep working."""
    write_raw_frame(tmp_path / "raw.png")
    stats = Session(RunConfig(source=str(tmp_path / "raw.png"), out=None, models=tiny_models)).run()
    assert stats.frames == 1 and RAW_DETECTOR not in loaded_bundles


def test_m94_is_found_in_single_exposures_of_a_telescope(shared_data, tmp_path):
    """M 94 is found in at least 90 % of the raw exposures.

    The nebula NGC 7023 gives at most one detection.
    """
    pytest.importorskip("pyongc", reason="needs the catalogue extra")
    folder = shared_data / "seestar_subs"
    for name, min_share, min_frames in (("m94_night1.zip", 0.9, 20), ("ngc7023.zip", None, 4)):
        completed = command_line(
            "eval", "night", folder / name, "--truth", folder / "plate_solutions.csv", "--depths", "1", "--json"
        )
        assert completed.returncode == 0, completed.stderr
        (single,) = json.loads(completed.stdout)["depths"]
        assert single["frames"] >= min_frames and single["false"] <= 1
        if min_share:
            assert single["galaxies"]["M94"]["share"] >= min_share
