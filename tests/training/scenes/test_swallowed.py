"""Boxes that cover a second object are recognised; their frames are left out."""

import numpy as np
import pytest

pytest.importorskip("sep", reason="needs the export extra")
from galaxy_edge.training.data.sample import Sample
from galaxy_edge.training.scenes import swallowed
from galaxy_edge.training.scenes.evaluation_scenes import EvaluationScenes
from galaxy_edge.training.scenes.swallowed import has_swallowed, swallows


def sky(*sources):
    """Draw round sources x, y, width and peak on faint noise, (200, 200, 3) uint8."""
    rows, columns = np.mgrid[:200, :200]
    light = np.random.default_rng(1).normal(12, 2, (200, 200))
    for x, y, width, peak in sources:
        light += peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))
    return np.repeat(np.clip(light, 0, 255)[..., None], 3, axis=2).astype(np.uint8)


GALAXY, STAR = (100, 100, 7, 150), (138, 100, 5, 200)


def test_box_over_a_galaxy_and_a_star_is_flagged():
    box = np.array([60, 70, 150, 130], np.float32)
    assert swallows(sky(GALAXY, STAR), box)
    assert not swallows(sky(GALAXY), box), "a large box alone is not an error"
    assert not swallows(sky(GALAXY, STAR), np.array([82, 82, 118, 118], np.float32)), "the star is outside"


def test_flagged_frames_are_left_out(monkeypatch):
    box = np.array([[10, 10, 60, 60]], np.float32)
    samples = [Sample("gz_frames", name, None, name, boxes=box, complete=False) for name in ("a.jpg", "b.jpg")]
    monkeypatch.setattr(swallowed, "_listed", lambda: frozenset([swallowed._name(samples[0])]))
    assert [has_swallowed(sample) for sample in samples] == [True, False]
    scenes = EvaluationScenes(samples, 64, 1, {"composed": 0})
    assert len(scenes) == 2  # the other frame, and its crop off centre
