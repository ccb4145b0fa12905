"""Augmented views: repeatable, centred as documented, independent of the survey."""

import cv2
import numpy as np
import pytest
from galaxy_edge.models.levels import normalise_levels
from galaxy_edge.models.preprocess import crop
from galaxy_edge.training.augmentation.views import (
    FIELD,
    REACH,
    Canvas,
    SkyAugmentation,
    draw_view,
    level_table,
    prepare,
    view_matrix,
)

STILL = SkyAugmentation(
    shift=0,
    scale=(1, 1),
    anisotropy=0,
    gain=0,
    channel_gain=0,
    gamma=(1, 1),
    offset=0,
    colourless=0,
    blurred=0,
    levelled=0,
    noise=0,
)


def blob(size=200, at=(120, 90), sigma=12.0, sky=(10, 20, 30)):
    y, x = np.mgrid[:size, :size]
    light = 180 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * sigma**2))
    return np.clip(light[..., None] + np.array(sky), 0, 255).astype(np.uint8)


def centre(view):
    light = np.clip(view.sum(axis=2, dtype=float) - np.median(view.sum(axis=2)) - 20, 0, None)
    y, x = np.mgrid[: view.shape[0], : view.shape[1]]
    return np.array([(light * x).sum(), (light * y).sum()]) / light.sum()


BOXED = (blob(), np.array([95, 65, 146, 116], np.float32))


def test_canvas_holds_the_field_of_the_crop():
    # What is prepared for training must show, in its middle, what evaluation and runtime cut out.
    canvas = prepare(*BOXED, margin=0.3)
    assert canvas.pixels.shape == (round(FIELD * REACH),) * 2 + (3,)
    edge = (canvas.pixels.shape[0] - FIELD) // 2
    middle = canvas.pixels[edge : edge + FIELD, edge : edge + FIELD].astype(float)
    assert np.abs(middle - crop(*BOXED, 0.3, FIELD)).mean() < 2


def test_sky_is_the_level_of_the_rim():
    assert prepare(*BOXED, margin=1.0).sky == pytest.approx([10, 20, 30], abs=2)


def test_image_without_a_box_is_its_own_field():
    canvas = prepare(blob(88, (44, 44)), None, margin=0.3)
    assert canvas.pixels.shape == (88, 88, 3)
    assert canvas.side == 88


def test_same_seed_same_view_and_another_seed_another():
    canvas = prepare(*BOXED, margin=0.3)
    views = [draw_view(canvas, 69, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert views[0].shape == (69, 69, 3) and views[0].dtype == np.uint8
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])


def test_turning_and_mirroring_keep_the_galaxy_in_the_middle():
    canvas = prepare(*BOXED, margin=0.3)
    for seed in range(20):
        assert centre(draw_view(canvas, 69, np.random.default_rng(seed), STILL)) == pytest.approx([34, 34], abs=1)


def test_frame_moves_within_its_limit():
    canvas = prepare(*BOXED, margin=0.3)
    offsets = []
    for seed in range(200):
        matrix = view_matrix(canvas, 69, np.random.default_rng(seed), SkyAugmentation())
        side = np.sqrt(abs(np.linalg.det(matrix[:, :2]))) * 69 / canvas.side
        assert 0.8 <= side <= 1.2
        offsets.append(matrix @ [34, 34, 1] - (canvas.pixels.shape[0] - 1) / 2)
    assert 0.05 * canvas.side < np.abs(offsets).max() <= 0.06 * canvas.side


def test_both_mirror_images_are_drawn():
    # A mirrored galaxy is as likely as the other: spirals of either sense are one class.
    canvas = prepare(*BOXED, margin=0.3)
    signs = [
        np.sign(np.linalg.det(view_matrix(canvas, 69, np.random.default_rng(seed), SkyAugmentation())[:, :2]))
        for seed in range(100)
    ]
    assert 30 < signs.count(1.0) < 70


def test_sky_of_two_surveys_overlaps():
    # The level of the sky alone distinguishes the two surveys; in augmented views it must do so far less well.
    dark, grey = (level_skies(np.array(sky, np.float32)) for sky in ([2, 2, 2], [38, 40, 46]))
    below = np.searchsorted(np.sort(dark), grey) / len(dark)
    assert 0.5 < below.mean() < 0.9  # the chance that the grey one is brighter: 1 as the surveys are


def level_skies(sky):
    level = round(float(sky.mean()))
    canvas = flat(sky)
    return np.array(
        [level_table(canvas, np.random.default_rng(seed), SkyAugmentation())[level].mean() for seed in range(400)]
    )


def flat(sky, peak=200.0):
    return Canvas(np.zeros((88, 88, 3), np.uint8), 88.0, np.asarray(sky, np.float32), peak)


def test_levels_without_variation_have_the_sky_subtracted_only():
    table = level_table(flat([0, 0, 0]), np.random.default_rng(0), STILL)
    assert np.array_equal(table, np.repeat(np.arange(256)[:, None], 3, axis=1))


def test_colourless_view_has_equal_channels():
    grey = SkyAugmentation(colourless=1.0, noise=0.0)
    view = draw_view(prepare(*BOXED, margin=0.3), 69, np.random.default_rng(0), grey)
    assert (view == view[:, :, :1]).all()


def test_no_dark_corners_when_a_whole_image_turns():
    bright = np.full((88, 88, 3), 90, np.uint8)
    cv2.circle(bright, (44, 44), 10, (200, 200, 200), -1)
    for seed in range(10):
        view = draw_view(prepare(bright, None, 0.3), 69, np.random.default_rng(seed), STILL)
        assert view[:3, :3].std() < 1  # the sky, whatever was taken off it, and no edge


def test_normalised_levels_have_no_sky_and_no_stretch():
    # Another sky and another stretch of the same galaxy must look the same afterwards.
    y, x = np.mgrid[:69, :69] - 34.0
    light = 120 * np.exp(-(x**2 + y**2) / 200)[..., None] * np.array([1.0, 0.9, 0.8])
    plain, other = (
        np.clip(np.round(light * gain + np.array(sky)), 0, 255).astype(np.uint8)
        for gain, sky in ((1.0, (5, 5, 5)), (1.6, (30, 20, 40)))
    )
    assert np.abs(plain.astype(float) - other).mean() > 15
    assert np.abs(normalise_levels(plain).astype(float) - normalise_levels(other)).mean() < 1.5
    assert 225 <= normalise_levels(plain).max() <= 240


def test_part_of_the_views_has_normalised_levels():
    canvas = flat([30, 30, 30], 100.0)
    full = [
        table
        for seed in range(300)
        if not (table := level_table(canvas, np.random.default_rng(seed), SkyAugmentation()))[30].any()
        and table[130].mean() > 149
    ]
    assert 25 < len(full) < 120
