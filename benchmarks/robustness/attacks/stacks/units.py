"""Stack exposures in other units: the result must not depend on the unit."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np

from .....models.raw.front_end import develop, linear_planes
from .....runtime.frame import Frame
from .....runtime.imaging.sky_motion import SkyMotion, grey_thumbnail
from .....runtime.imaging.stacking import Stack
from ...attack import Attack, Outcome

WIDTH, HEIGHT, FRAMES = 320, 240, 8
UNITS = 1 / 65_535, 1e-15, 0.01, 1e6
"""Factors from ADU: 0 to 1, fluxes, electrons per second, and scaled counts."""
TIME = datetime.datetime(2026, 11, 22, 21, tzinfo=datetime.UTC)


def run(count: int, folder: Path) -> Outcome:
    """Stack `count` series of drifting exposures in ADU and in another unit.

    They have a satellite and masked pixels.
    """
    worst, fewer, satellites, masked = 0.0, 0, 0, 0
    for number in range(count):
        unit = UNITS[number % len(UNITS)]
        frames = list(_exposures(number))
        expected, given = (_stack([frame * np.float32(factor) for frame in frames]) for factor in (1.0, unit))
        assert expected.raw is not None
        assert given.raw is not None
        plane = given.raw / np.float32(unit)
        noise = float(np.median(np.abs(expected.raw - np.median(expected.raw))) * 1.4826)
        worst = max(worst, float(np.percentile(np.abs(plane - expected.raw), 99.9)) / noise)
        fewer += given.stacked < FRAMES
        satellites += float(np.max(plane)) > 30_000
        masked += float(np.min(plane)) < 500
    figures: dict[str, int | float | str] = {"stacks": count, "worst_difference_in_noise": round(worst, 3)}
    figures |= {"frames_not_aligned": fewer, "satellites_left": satellites, "masked_pixels_dark": masked}
    return Outcome(figures, worst < 0.5 and not fewer and not satellites and not masked)


def _exposures(seed: int) -> list[np.ndarray]:
    """Return drifting stars, float32 (H, W) in ADU, for a series of exposures.

    One frame has a bright line, another has masked pixels.
    """
    random = np.random.default_rng(seed)
    columns_of_stars, rows_of_stars = random.uniform(-20, WIDTH + 40, 90), random.uniform(0, HEIGHT, 90)
    lights = random.uniform(800, 9000, 90)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    frames = []
    for number in range(FRAMES):
        frame = random.normal(1000, 40, (HEIGHT, WIDTH))
        for star_x, y, light in zip(columns_of_stars, rows_of_stars, lights, strict=True):
            x = star_x - 2 * number
            near = np.s_[max(0, int(y) - 7) : int(y) + 8, max(0, int(x) - 7) : max(0, int(x) + 8)]
            frame[near] += light * np.exp(-((columns[near] - x) ** 2 + (rows[near] - y) ** 2) / 4)
        frames.append(frame.astype(np.float32))
    frames[5][100:103] = 60_000
    frames[3][150:160, 200:210] = np.nan
    return frames


def _stack(exposures: list[np.ndarray]) -> Frame:
    stack, motion = Stack(FRAMES), SkyMotion()
    result = None
    for number, raw in enumerate(exposures):
        shown, planes = develop(raw, None), linear_planes(raw, None)[0]
        frame = Frame(shown.pixels, TIME, "sky", number, shown.record, raw=raw, planes=tuple(planes))
        small = grey_thumbnail(frame.pixels)
        result = stack.add(frame, small, motion.update(small, frame.width // small.shape[1]))
    assert result is not None
    return result


ATTACK = Attack(
    promise="A stack is the same in any unit: its frames are aligned, satellites are rejected, and masked pixels do "
    "not count.",
    method="{count} series of eight drifting exposures with a satellite and masked pixels, in ADU and in another unit",
    run=run,
    count=200,
    small_count=4,
)
