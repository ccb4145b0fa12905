"""Star fields and their exposures, for tests of stacking."""

import datetime

import numpy as np
from galaxy_edge.models.raw.front_end import develop, linear_planes
from galaxy_edge.runtime.frame import Frame
from galaxy_edge.runtime.imaging.sky_motion import SkyMotion, grey_thumbnail
from galaxy_edge.runtime.imaging.stacking import Stack

WIDTH, HEIGHT = 320, 240
TIME = datetime.datetime(2026, 11, 22, 21, tzinfo=datetime.UTC)
FAINT = (200.0, 90.0)  # a galaxy that one frame does not show


def sky(seed=5, faint=0.0):
    """Return positions, brightnesses and sizes of eighty stars and a faint galaxy.

    The stars are in and around the frame.
    """
    random = np.random.default_rng(seed)
    stars = [
        (*position, light, 1.4)
        for position, light in zip(random.uniform(-60, 380, (80, 2)), random.uniform(30, 220, 80), strict=True)
    ]
    return [*stars, (*FAINT, faint, 8.0)]


def shot(stars, number, drift=(0.0, 0.0), turn=0.0, noise=6.0, deep=False):
    """Draw a frame of the sky after it drifted and turned.

    Turns are in degrees a frame, around the middle.
    """
    angle, middle = np.deg2rad(turn * number), np.array([WIDTH, HEIGHT]) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:2, 2] = middle - matrix[:2, :2] @ middle + np.array(drift) * number
    image = np.full((HEIGHT, WIDTH), 15.0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for x, y, light, sigma in stars:
        at = matrix @ (x, y, 1.0)
        reach = int(5 * sigma)
        near = np.s_[
            max(0, int(at[1]) - reach) : max(0, int(at[1]) + reach),
            max(0, int(at[0]) - reach) : max(0, int(at[0]) + reach),
        ]
        image[near] += light * np.exp(-((columns[near] - at[0]) ** 2 + (rows[near] - at[1]) ** 2) / (2 * sigma**2))
    image += np.random.default_rng(1000 + number).normal(0, noise, image.shape)
    if deep:
        return developed(np.clip(40 * image, 0, 65535).astype(np.uint16), number)
    pixels = np.repeat(np.clip(np.round(image), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return Frame(pixels, TIME, "sky", number)


def developed(raw, number, pattern=None):
    """The frame that a source makes of linear values."""
    result, planes = develop(raw, pattern), linear_planes(raw, pattern)[0]
    return Frame(
        result.pixels, TIME, "sky", number, result.record,
        raw=raw, binning=result.binning, cfa=pattern, planes=tuple(planes),
    )  # fmt: skip


def stack_frames(frames, depth=16):
    """Stack frames as the pipeline does; return each result."""
    stack, motion, results = Stack(depth), SkyMotion(), []
    for frame in frames:
        small = grey_thumbnail(frame.pixels)
        results.append(stack.add(frame, small, motion.update(small, frame.width // small.shape[1])))
    return results


def stacked(depth, frames, change=lambda pixels, number: None, stars=None, **how):
    """Stack frames; return the stack and each result."""
    stack, motion, results = Stack(depth), SkyMotion(), []
    for number in range(frames):
        frame = shot(stars or sky(), number, **how)
        change(frame.pixels, number)
        small = grey_thumbnail(frame.pixels)
        results.append(stack.add(frame, small, motion.update(small, frame.width // small.shape[1])))
    return stack, results


def noise_of(frame):
    values = frame.pixels[..., 1].astype(float)
    return 1.4826 * np.median(np.abs(values - np.median(values)))
