"""Views that imitate other telescopes."""

import numpy as np
import pytest
from galaxy_edge.training.augmentation.presets import AUGMENTATIONS
from galaxy_edge.training.augmentation.telescope_views import draw_telescope_view
from galaxy_edge.training.augmentation.views import FIELD, Canvas


@pytest.fixture(scope="module")
def canvas():
    """A round galaxy on dark sky that fills its image."""
    axis = np.arange(FIELD) - (FIELD - 1) / 2
    light = 200 * np.exp(-np.hypot(axis[:, None], axis[None]) / 12)
    pixels = np.clip(np.repeat(light[..., None], 3, 2) + 8, 0, 255).astype(np.uint8)
    return Canvas(pixels, float(FIELD), np.full(3, 9, np.float32), 190.0)


def test_same_seed_gives_the_same_view(canvas):
    """Training must be repeatable."""
    for draw in (draw_telescope_view, AUGMENTATIONS["telescopes"]):
        first, second = (draw(canvas, 69, np.random.default_rng(5)) for _ in range(2))
        assert first.shape == (69, 69, 3) and first.dtype == np.uint8 and (first == second).all()


def test_views_cover_what_photographs_show(canvas):
    """Burnt-out cores, bright and tinted sky, no colour, noise.

    And the galaxy is nearly always brighter than the sky.
    """
    views = [draw_telescope_view(canvas, 69, np.random.default_rng(seed)).astype(float) for seed in range(150)]
    burnt = [(view.max(axis=2) >= 250).mean() for view in views]
    corners = np.array([np.median(view[:12, :12], axis=(0, 1)) for view in views])
    grey = [np.ptp(view, axis=2).max() <= 1 for view in views]
    assert np.mean(np.array(burnt) > 0.01) > 0.1 and np.mean(np.array(burnt) == 0) > 0.3
    assert np.mean(corners.max(axis=1) > 30) > 0.2 and np.mean(corners.max(axis=1) < 12) > 0.2
    assert np.mean(np.ptp(corners, axis=1) > 10) > 0.1 and 0.15 < np.mean(grey) < 0.5
    core = np.array([view[30:39, 30:39].mean() for view in views])
    assert np.mean(core > corners.mean(axis=1) + 5) > 0.9
