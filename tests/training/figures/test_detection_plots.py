"""Figures of a detector's score, with undefined values and without any."""

import cv2
import pytest
from galaxy_edge.training.figures.detection_plots import score_calibration, score_curves
from galaxy_edge.training.figures.style import PlotError

pytest.importorskip("matplotlib")


def test_curves_are_drawn_where_they_are_defined(tmp_path):
    """At high scores there are no detections, so the precision is undefined."""
    levels = [
        {"score": 0.1, "precision": 0.5, "recall": 0.9, "fp_per_frame": None},
        {"score": 0.5, "precision": 0.9, "recall": 0.6, "fp_per_frame": 0.1},
        {"score": 0.9, "precision": None, "recall": 0.0, "fp_per_frame": 0.0},
    ]
    score_curves(levels, 0.47, tmp_path / "new" / "scores.png")
    score_curves([{"score": 0.5, "precision": None, "recall": None, "fp_per_frame": None}], 0.5, tmp_path / "none.png")
    for path in (tmp_path / "new" / "scores.png", tmp_path / "none.png"):
        assert cv2.imread(str(path)).shape[1] > 900


def test_calibration_without_detections(tmp_path):
    """An empty figure would look like a result."""
    score_calibration([{"score": 0.3, "right": 0.2, "detections": 10}], tmp_path / "one.png")
    assert cv2.imread(str(tmp_path / "one.png")) is not None
    with pytest.raises(PlotError, match="nothing was detected"):
        score_calibration([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
