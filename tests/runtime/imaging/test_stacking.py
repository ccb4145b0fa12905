"""Stacking: noise falls, stars stay where the newest frame has them, and what does not belong is left out."""

import datetime

import cv2
import numpy as np
import pytest
from galaxy_edge.models.images.stretch import to_rgb8
from galaxy_edge.runtime.frame import Frame
from galaxy_edge.runtime.imaging.sky_motion import SkyMotion, grey_thumbnail
from galaxy_edge.runtime.imaging.stacking import Stack

WIDTH, HEIGHT = 320, 240
TIME = datetime.datetime(2026, 11, 22, 21, tzinfo=datetime.UTC)
FAINT = (200.0, 90.0)  # a galaxy that one frame does not show


def sky(seed=5, faint=0.0):
    """Places, lights and sizes of eighty stars around the frame, and of a faint galaxy."""
    random = np.random.default_rng(seed)
    stars = [
        (*place, light, 1.4)
        for place, light in zip(random.uniform(-60, 380, (80, 2)), random.uniform(30, 220, 80), strict=True)
    ]
    return [*stars, (*FAINT, faint, 8.0)]


def shot(stars, number, drift=(0.0, 0.0), turn=0.0, noise=6.0, deep=False):
    """A frame of the sky after it drifted and turned (degrees a frame, around the middle)."""
    angle, middle = np.deg2rad(turn * number), np.array([WIDTH, HEIGHT]) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:2, 2] = middle - matrix[:2, :2] @ middle + np.array(drift) * number
    picture = np.full((HEIGHT, WIDTH), 15.0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for x, y, light, sigma in stars:
        at = matrix @ (x, y, 1.0)
        reach = int(5 * sigma)
        near = np.s_[
            max(0, int(at[1]) - reach) : max(0, int(at[1]) + reach),
            max(0, int(at[0]) - reach) : max(0, int(at[0]) + reach),
        ]
        picture[near] += light * np.exp(-((columns[near] - at[0]) ** 2 + (rows[near] - at[1]) ** 2) / (2 * sigma**2))
    picture += np.random.default_rng(1000 + number).normal(0, noise, picture.shape)
    if deep:
        raw = np.clip(40 * picture, 0, 65535).astype(np.uint16)
        pixels, stretch = to_rgb8(raw)
        return Frame(pixels, TIME, "sky", number, stretch, raw=raw)
    pixels = np.repeat(np.clip(np.round(picture), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return Frame(pixels, TIME, "sky", number)


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


@pytest.mark.parametrize(("drift", "turn"), [((0, 0), 0.0), ((0.7, -0.4), 0.0), ((0.3, 0.2), 0.1), ((4.0, 1.0), 0.0)])
def test_noise_falls_and_the_stars_stay_where_the_newest_frame_has_them(drift, turn):
    _, results = stacked(16, 20, drift=drift, turn=turn)
    assert [frame.stacked for frame in results[:3]] == [1, 2, 3] and results[-1].stacked == 16
    assert noise_of(results[-1]) < 0.45 * noise_of(results[0])  # a quarter, and what rounding to whole levels adds
    clean = shot(sky(), 19, drift=drift, turn=turn, noise=0.0)
    there = clean.pixels[..., 1] > 60  # the stars
    inner = np.zeros_like(there)
    inner[20:-20, 20:-20] = True  # where the whole stack has been
    difference = (results[-1].pixels[..., 1].astype(float) - clean.pixels[..., 1])[there & inner]
    assert there.sum() > 100 and np.abs(difference).mean() < 0.12 * clean.pixels[there][:, 1].mean()


def test_a_galaxy_that_no_frame_shows_stands_out():
    def contrast(frame):
        values = cv2.GaussianBlur(frame.pixels[..., 1].astype(np.float32), (0, 0), 3)
        x, y = (round(place) for place in FAINT)
        around = values[y - 40 : y + 41, x - 40 : x + 41]
        return (values[y, x] - np.median(around)) / (1.4826 * np.median(np.abs(around - np.median(around))))

    _, results = stacked(16, 16, stars=sky(faint=3.0))
    assert contrast(results[-1]) > 2 * contrast(results[0])


@pytest.mark.parametrize("at", [0, 1, 5, 9])
def test_a_plane_leaves_no_trail_whichever_frame_it_crosses(at):
    def plane(pixels, number):
        if number == at:
            cv2.line(pixels, (0, 60), (319, 160), (255, 255, 255), 3)

    _, results = stacked(16, 10, plane, drift=(0.5, 0.2))
    trail = np.zeros((HEIGHT, WIDTH), np.uint8)
    x, y = 0.5 * (9 - at), 0.2 * (9 - at)  # the sky has drifted on since
    cv2.line(trail, (round(x), round(60 + y)), (round(319 + x), round(160 + y)), 1, 3)
    clean = shot(sky(), 9, drift=(0.5, 0.2), noise=0.0)
    empty = (trail == 1) & (clean.pixels[..., 1] < 20)
    empty[:, :20] = empty[:, -20:] = False
    assert np.median(results[-1].pixels[..., 1][empty]) < 22


def test_hot_pixels_go_when_the_sky_drifts_over_them():
    def hot(pixels, number):
        pixels[50:200:30, 40:300:30] = 250

    _, results = stacked(12, 12, hot, drift=(1.5, 0.7))
    clean = shot(sky(), 11, drift=(1.5, 0.7), noise=0.0)
    places = np.zeros((HEIGHT, WIDTH), bool)
    places[50:200:30, 40:300:30] = clean.pixels[50:200:30, 40:300:30, 1] < 20
    assert np.median(results[0].pixels[..., 1][places]) == 250 and np.median(results[-1].pixels[..., 1][places]) < 30


def test_a_slew_begins_a_new_stack_and_shows_no_ghosts():
    stack, motion = Stack(16), SkyMotion()
    for number in range(12):
        frame = shot(sky(seed=5 if number < 8 else 6), number)
        small = grey_thumbnail(frame.pixels)
        result = stack.add(frame, small, motion.update(small, 1))
        assert result.stacked == (number + 1 if number < 8 else number - 7)


def test_another_frame_size_and_a_dark_frame_begin_a_new_stack():
    stack, motion = Stack(16), SkyMotion()
    for pixels in (shot(sky(), 0).pixels, shot(sky(), 1).pixels[::2, ::2].copy(), np.zeros((120, 160, 3), np.uint8)):
        small = grey_thumbnail(pixels)
        result = stack.add(Frame(pixels, TIME, "sky", 0), small, motion.update(small, 1))
        assert result.stacked == 1 and np.array_equal(result.pixels, pixels)


def test_values_of_16_bits_are_averaged_as_they_are_and_stretched_then():
    _, results = stacked(8, 8, deep=True, drift=(0.4, 0.1))
    assert results[-1].stacked == 8 and results[-1].stretch["kind"] == "asinh"
    # Black is one sigma below the sky, and sigma has fallen: the stretch follows what the stack can show.
    assert results[-1].stretch["black"] > results[0].stretch["black"] + 100
    # Who keeps the stack keeps the mean, not the newest frame: its noise has fallen.
    sky = [
        np.std(one.raw[50:70, 50:70].astype(float) - cv2.blur(one.raw, (5, 5))[50:70, 50:70])
        for one in (results[0], results[-1])
    ]
    assert results[-1].raw.dtype == np.float32 and sky[1] < 0.6 * sky[0]


def test_what_leaves_the_stack_leaves_no_trace():
    stack, _ = stacked(4, 12, drift=(0.3, 0.0))
    counts = sum(layer.counts.astype(int) for layer in stack._layers)
    values = sum(layer.values.astype(float) * layer.counts[..., None] for layer in stack._layers)
    assert np.array_equal(counts, stack._count) and np.allclose(values, stack._sum, atol=0.05)
    stack.depth = 2  # fewer from now on
    frame = shot(sky(), 12, drift=(0.3, 0.0))
    assert stack.add(frame, grey_thumbnail(frame.pixels), stack._sky).stacked == 2


def test_the_record_of_a_frame_tells_how_many_it_is_the_mean_of():
    import json
    from importlib import resources

    import jsonschema
    from galaxy_edge.runtime.events.frame_record import frame_record
    from galaxy_edge.runtime.frame import Detections

    _, results = stacked(3, 3)
    named = Detections.empty().with_probabilities(np.zeros((0, 2), np.float32))
    line = frame_record(results[-1], named, ("a", "b"), {}).to_dict()
    jsonschema.validate(
        line, json.loads((resources.files("galaxy_edge.runtime.events") / "frame.schema.json").read_text())
    )
    assert line["stacked"] == 3 and "stacked" not in frame_record(results[0], named, ("a", "b"), {}).to_dict()
