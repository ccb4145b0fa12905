"""The noise model recovers the parameters of simulated frames."""

import json

import numpy as np
import pytest
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.scenes.noise_model import measure_noise


def frames(rows: float = 0.0, pattern: float = 0.0, count: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    stays = rng.normal(0, 1, (400, 600)) * pattern
    return [
        800 + 50 * (stays + np.sqrt(1 - pattern**2) * rng.normal(0, 1, (400, 600)) + rng.normal(0, rows, (400, 1)))
        for _ in range(count)
    ]


def test_white_noise():
    found = measure_noise(frames(), None)
    assert abs(found.noise[0] / 50 - 1) < 0.03 and abs(found.sky[0] - 800) < 3
    assert found.rows < 0.03 and found.columns < 0.03 and abs(found.neighbours) < 0.01
    assert found.temporal[0] > 0.99 and found.channels == 1


def test_banding_and_pattern():
    found = measure_noise(frames(rows=0.3, pattern=0.5), None)
    assert abs(found.rows - 0.3) < 0.06 and found.columns < 0.05
    assert abs(found.pattern[0] - 0.5) < 0.06


def test_interpolated_noise_is_not_white():
    smooth = [(frame + np.roll(frame, 1, axis=1)) / 2 for frame in frames()]
    found = measure_noise(smooth, None)
    assert abs(found.neighbours - 0.5) < 0.05 and found.sensor().smooth > 0.3


def test_a_mosaic_has_three_channels_and_hot_pixels():
    rng = np.random.default_rng(2)
    mosaic = rng.normal(900, 40, (400, 600))
    mosaic[rng.integers(0, 400, 24), rng.integers(0, 600, 24)] += 5000
    found = measure_noise([mosaic], "GRBG")
    assert found.channels == 3 and abs(found.hot - 100) < 20
    assert abs(found.noise[1] / 28.3 - 1) < 0.05  # the mean of two greens
    json.dumps(found.plain())


def test_frames_that_cannot_be_measured():
    with pytest.raises(DataError):
        measure_noise([], None)
    with pytest.raises(DataError):
        measure_noise([np.zeros((40, 40)), np.zeros((40, 41))], None)
    with pytest.raises(DataError, match="noise"):
        measure_noise([np.full((40, 40), 7.0)], None)
