"""Check that the change gate distinguishes noise and scintillation from changes."""

import datetime

import numpy as np
import pytest
from galaxy_edge.runtime.imaging.change_gate import ChangeGate

START = datetime.datetime(2026, 11, 22, 21, tzinfo=datetime.UTC)
RANDOM = np.random.default_rng(3)
STARS = RANDOM.uniform(10, 250, 40), RANDOM.uniform(10, 230, 40), RANDOM.uniform(20, 200, 40)


def sky(seed, shift=0.0, twinkle=0.0, noise=4.0, level=12.0, blob=0.0):
    """Draw a thumbnail (240, 320).

    Stars, noise, and optionally a faint round blob in an empty area.
    """
    random = np.random.default_rng(seed)
    image = np.full((240, 320), level, np.float32)
    rows, columns = np.mgrid[:240, :320]
    for x, y, light in zip(*STARS, strict=True):
        light = light * (1 + twinkle * random.uniform(-1, 1))
        near = np.s_[max(0, int(y) - 6) : int(y) + 7, max(0, int(x) - 6) : int(x) + 7]
        image[near] += light * np.exp(-((columns[near] - x - shift) ** 2 + (rows[near] - y) ** 2) / 3)
    image += blob * np.exp(-((columns - 280) ** 2 + (rows - 120) ** 2) / 50)
    return np.clip(image + random.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def after(seconds):
    return START + datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize("noise", [0.0, 1.0, 4.0, 10.0])
def test_noise_and_scintillation_are_not_changes(noise):
    gate = ChangeGate(10)
    assert gate.has_changed(sky(0, noise=noise), after(0))
    assert not any(gate.has_changed(sky(seed, noise=noise, twinkle=0.08), after(seed / 10)) for seed in range(1, 40))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"blob": 15.0}, "a faint galaxy that was not there, four sigma of one pixel"),
        ({"shift": 1.0}, "a drift by a pixel of the thumbnail"),
        ({"level": 16.0}, "the whole sky has brightened"),
        ({"twinkle": 0.9}, "stars that vanish"),
    ],
)
def test_changes_beyond_noise_are_detected(change, why):
    gate = ChangeGate(10)
    gate.has_changed(sky(0), after(0))
    assert gate.has_changed(sky(1, **change), after(1)), why


def test_slow_drift_is_measured_from_the_last_changed_frame():
    gate = ChangeGate(1000)
    changed = [gate.has_changed(sky(seed, shift=0.1 * seed), after(seed)) for seed in range(40)]
    assert changed[0] and 3 <= sum(changed) <= 20 and not all(changed)


def test_every_frame_counts_as_changed_after_the_interval():
    gate = ChangeGate(10)
    changed = [gate.has_changed(sky(0, noise=0.0), after(seconds)) for seconds in (0, 4, 9.9, 10, 12, 20.1)]
    assert changed == [True, False, False, True, False, True]


def test_clock_set_back_and_new_size_count_as_changed():
    gate = ChangeGate(10)
    assert gate.has_changed(sky(0), after(0)) and gate.has_changed(sky(0), after(-3600))
    assert gate.has_changed(sky(0)[::2, ::2], after(-3600))
