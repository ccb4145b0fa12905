"""Degraded crops differ from the galaxy by the amount that was asked for."""

import numpy as np
import pytest
from galaxy_edge.training.augmentation.degradation import cut, overexposed, shrunk
from galaxy_edge.training.classifier.domain_limits import BURNT, OUTSIDE

SIZE = 69


@pytest.fixture(scope="module")
def galaxy():
    """A round galaxy on dark sky, (69, 69, 3) uint8."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    light = 170 * np.exp(-np.hypot(axis[:, None], axis[None]) / 9)
    return np.clip(light[..., None] + np.array([12, 9, 15]), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("share", BURNT)
def test_overexposed_images_are_burnt_out_by_the_share(galaxy, share):
    """Counted as the runtime does."""
    burnt = (overexposed(galaxy, share).max(axis=2) >= 250).mean()
    assert burnt == pytest.approx(share, abs=0.012)


@pytest.mark.parametrize("share", OUTSIDE)
def test_cut_images_repeat_the_last_row_of_the_frame(galaxy, share):
    """The size stays, and the share that is no longer shown holds one value a line."""
    for seed in range(4):
        view = cut(galaxy, share, np.random.default_rng(seed))
        assert view.shape == galaxy.shape
        turned = [np.rot90(view, quarter) for quarter in range(4)]
        strip = round(SIZE * (1 - np.sqrt(1 - share)) / 2)
        assert any((part[:strip] == part[strip]).all() for part in turned)


def test_shrunk_images_lose_detail_only(galaxy):
    """A galaxy of few pixels is as bright as before."""
    noise = np.random.default_rng(1).integers(0, 60, galaxy.shape, dtype=np.uint8)
    small = shrunk(noise, 12)
    assert small.shape == galaxy.shape and small.std() < noise.std() / 2
    assert small.mean() == pytest.approx(noise.mean(), abs=1) and (shrunk(noise, 80) == noise).all()
