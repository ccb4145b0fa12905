"""Evaluations of a few scenes."""

import pytest


@pytest.fixture
def few_scenes(monkeypatch):
    """Evaluate on 24 composed scenes in place of 200, in this process."""
    monkeypatch.setattr("galaxy_edge.training.scenes.evaluation_scenes.COMPOSED_SCENES", 24)
