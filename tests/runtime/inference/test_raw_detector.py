"""The detector of raw frames: when it is used, and what it finds in real exposures."""

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


def test_low_scores_of_views_are_fused_before_the_threshold(detector, noisy_sky):
    """The box of a tile and the score of the surest view; what only one view sees faintly goes."""
    views = np.array([[0, 0, 300, 200], [50, 20, 274, 200]])
    whole = Detections(np.array([[100, 80, 140, 120], [10, 10, 50, 50]], np.float32), np.array([0.5, 0.2], np.float32))
    tile = Detections(np.array([[52, 62, 88, 98]], np.float32), np.array([0.4], np.float32))
    found = detector.fuse(noisy_sky, views, [whole, tile], None)
    assert found.boxes.tolist() == [[102, 82, 138, 118]] and found.scores.tolist() == [0.5]


def test_views_keep_what_is_far_under_the_threshold(detector, noisy_sky):
    """A threshold on each view would leave nothing to fuse; the operating threshold itself stays as it was."""
    before = detector.min_score
    view = detector.preprocess(noisy_sky)
    found = detector.decode(detector.infer(view), view)
    assert (found.scores >= MIN_VIEW_SCORE - 1e-3).all() and detector.min_score == before > MIN_VIEW_SCORE


def test_raw_frames_alone_are_given_to_it(tmp_path):
    """Processed images keep the detector that was trained on them, and never load the other."""
    galaxy = render([(60, 40, 12)], 160, 120)
    (tmp_path / "processed.png").write_bytes(encode(galaxy))
    (tmp_path / "deep.png").write_bytes(encode(galaxy[..., 0].astype(np.uint16) * 200))
    session = Session(RunConfig(source=str(tmp_path / "processed.png"), out=None))
    loads = []
    loader = session._raw_detector_loader()
    session._raw_detector_loader = lambda: lambda: loads.append(1) or loader()
    session.run()
    assert loads == []
    session = Session(RunConfig(source=str(tmp_path / "deep.png"), out=None))
    session._raw_detector_loader = lambda: lambda: loads.append(1) or loader()
    session.run()
    assert loads == [1]


def test_models_of_ones_own_need_not_have_one(tiny_models, tmp_path):
    """A folder of models with the two bundles of before is complete."""
    (tmp_path / "deep.png").write_bytes(encode(render([(60, 40, 12)], 160, 120)[..., 0].astype(np.uint16) * 200))
    session = Session(RunConfig(source=str(tmp_path / "deep.png"), out=None, models=tiny_models))
    assert session._raw_detector_loader() is None
    assert session.run().frames == 1


def test_a_galaxy_is_found_in_single_exposures_of_a_telescope(shared_data, tmp_path):
    """M 94 in every raw exposure, where nothing was found before; the nebula NGC 7023 stays silent."""
    pytest.importorskip("pyongc", reason="needs the catalogue extra")
    folder = shared_data / "seestar_subs"
    for name, share, least in (("m94_night1.zip", 0.9, 20), ("ngc7023.zip", None, 4)):
        done = command_line(
            "eval", "night", folder / name, "--truth", folder / "plate_solutions.csv", "--depths", "1", "--json"
        )
        assert done.returncode == 0, done.stderr
        (single,) = json.loads(done.stdout)["depths"]
        assert single["frames"] >= least and single["false"] <= 1
        if share:
            assert single["galaxies"]["M94"]["share"] >= share
