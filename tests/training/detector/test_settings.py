"""Settings of the detector: checks, records and presets."""

import json

import pytest
from galaxy_edge.training.detector.settings import PRESETS, DetectorSettings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 250}, "multiple of 32"),
        ({"architecture": "yolo"}, "ssd, quick, efficientdet"),
        ({"repeats": 0}, "repeats"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"min_level": 6, "max_level": 5}, "min_level <= max_level"),
        ({"images_per_epoch": 3}, "at least one batch"),
        ({"width": 0.0}, "width"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"ema": 1.0}, "ema"),
        ({"aspect_ratios": ()}, "aspect_ratios"),
        ({"patience": -1}, "patience"),
        ({"folds": 1}, "folds"),
        ({"scenes": (("deep_field", 1.5),)}, "share of deep_field scenes must be in 0..1"),
        ({"scenes": (("survey", float("nan")),)}, "share of survey scenes must be in 0..1"),
        ({"scenes": (("deep_field", 0.6), ("survey", 0.6))}, "not be over 1 together"),
        ({"scenes": (("galaxies", 0.6),)}, "'galaxies' is not a kind of scene; known: survey, deepsky"),
        ({"expansions": (2.0, 3.0)}, "expansions must be three numbers"),
        ({"expansions": (1.0, 3.0, 3.0)}, "over 1"),
        ({"hard_share": 0.1}, "--hard-share needs --teacher"),
        ({"stage_blocks": (1, 3)}, "stage_blocks must be three numbers"),
        ({"stage_blocks": (1, -1, 1)}, "of at least 0"),
        ({"folds": 3, "fold": 3}, "fold < folds"),
    ],
)
def test_invalid_settings_are_rejected(change, message):
    """Mistakes must be reported before a long training, with the name of the setting."""
    with pytest.raises(ValueError, match=message):
        DetectorSettings(**change)


def test_settings_are_recorded_without_paths(tmp_path):
    """run.json must not contain paths of the machine that trained."""
    values = DetectorSettings(weights=tmp_path / "start.npz").plain()
    assert json.loads(json.dumps(values)) == values
    assert values["weights"] == "start.npz"


def test_presets_are_settings():
    """A preset is a set of keyword arguments, so a misspelt key must be noticed."""
    for name, preset in PRESETS.items():
        plain = DetectorSettings(**preset).plain()
        assert {key: plain[key] for key in preset} == json.loads(json.dumps(preset)), name
