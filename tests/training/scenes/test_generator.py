"""Scenes: boxes must stay on the light they are about, whatever is done to a picture."""

from dataclasses import replace

import numpy as np
import pytest
from galaxy_edge.models.decode import anchor_grid, decode_boxes
from galaxy_edge.training.data.sample import DataError, read_set
from galaxy_edge.training.detector.anchor_matching import assign_targets, encode_boxes
from galaxy_edge.training.scenes import camera_effects as augment
from galaxy_edge.training.scenes.camera_effects import (
    add_saturated_stars,
    add_small_stars,
    apply_camera_effects,
    rotate_randomly,
)
from galaxy_edge.training.scenes.cutouts import Cutout, cut_out, paste, segment_sources, unboxed_sources
from galaxy_edge.training.scenes.generator import MIN_SIDE, MIXTURE, SceneGenerator, clip_boxes
from helpers.labelled_sets import galaxy_frame, make_close_ups, make_sets


def enclosing(light, share=0.90):
    """Box, by brute force, the light that is left when (1 - share) / 2 of it is cut off on each of the four sides."""
    ends = []
    for axis in (0, 1):
        along = np.cumsum(light.sum(axis=axis)) / light.sum()
        ends.append(np.searchsorted(along, [(1 - share) / 2, (1 + share) / 2]))
    return np.array([ends[0][0], ends[1][0], ends[0][1] + 1, ends[1][1] + 1])


def test_turn_keeps_boxes_on_their_light():
    image = np.zeros((40, 60, 3), np.uint8)
    image[5:12, 30:50] = 200
    box = np.array([[30, 5, 50, 12]], np.float32)
    seen = set()
    for seed in range(40):
        turned, moved = rotate_randomly(np.random.default_rng(seed), image, box)
        x0, y0, x1, y1 = moved[0].astype(int)
        assert turned[y0:y1, x0:x1].min() == 200 and turned.sum() == image.sum()
        seen.add((turned.shape[0], x0, y0))
    assert len(seen) == 8, "four turns, each mirrored or not"


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.2, 2.5])
@pytest.mark.parametrize("scale", [0.2, 0.6, 1.3])
def test_pasted_box_encloses_the_added_light(angle, scale):
    # An inclined ellipse with a sharp edge: its box is known exactly after any turn and scale.
    rows, columns = np.mgrid[:120, :160]
    cross = (columns + 0.5 - 80) * np.cos(0.5) + (rows + 0.5 - 60) * np.sin(0.5)
    along = (rows + 0.5 - 60) * np.cos(0.5) - (columns + 0.5 - 80) * np.sin(0.5)
    inside = (cross / 50) ** 2 + (along / 18) ** 2 <= 1
    ys, xs = np.nonzero(inside)
    box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)
    half = (box[2:] - box[:2]) / 2
    tilt = (50**2 - 18**2) * np.sin(0.5) * np.cos(0.5) / (half[0] * half[1])
    cutout = Cutout(np.repeat(inside[..., None] * np.uint8(200), 3, axis=2), box, float(tilt))
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([-1.0, 1.0])
    canvas = np.zeros((256, 256, 3), np.float32)
    found = paste(canvas, cutout, (120.3, 140.8), matrix, 1.0)
    ys, xs = np.nonzero(canvas[..., 0] > 100)
    np.testing.assert_allclose(found, [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=1.6)


def test_paste_off_the_canvas_adds_nothing():
    cutout = Cutout(np.full((20, 20, 3), 90, np.uint8), np.array([2, 2, 18, 18], np.float32), 0.0)
    canvas = np.zeros((64, 64, 3), np.float32)
    paste(canvas, cutout, (-200.0, 30.0), np.eye(2), 1.0)
    assert not canvas.any()


def test_cut_out_takes_the_galaxy_and_no_neighbour():
    image, box = galaxy_frame(np.random.default_rng(3), 200, neighbour=(150, 40))
    parts = segment_sources(image)
    cutout = cut_out(image, box, parts)
    assert cutout is not None
    found = enclosing(cutout.light.astype(float).sum(axis=2))
    wanted = cutout.box
    overlap = np.prod(np.minimum(found[2:], wanted[2:]) - np.maximum(found[:2], wanted[:2]))
    assert overlap / np.prod(found[2:] - found[:2]) > 0.8
    others = unboxed_sources(parts, box[None])
    assert len(others) == 1 and np.all(others[0, :2] < (150, 40)) and np.all(others[0, 2:] > (150, 40))


def test_clip_boxes_sorts_by_the_visible_share():
    boxes = np.array([[-5, 0, 5, 10], [-9, 0, 1, 10], [20, 0, 30, 10]], np.float32)
    seen, cut = clip_boxes(boxes, 16, 16, 0.4)
    np.testing.assert_array_equal(seen, [[0, 0, 5, 10]])
    np.testing.assert_array_equal(cut, [[0, 0, 1, 10]])


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    return SceneGenerator(read_set(make_close_ups(make_sets(tmp_path_factory.mktemp("sets")))), 128)


@pytest.mark.parametrize("kind", MIXTURE)
def test_scenes_are_well_formed_and_repeatable(maker, kind):
    for seed in range(6):
        scene = maker.draw(np.random.default_rng(seed), kind)
        again = maker.draw(np.random.default_rng(seed), kind)
        assert scene.image.shape == (128, 128, 3) and scene.image.dtype == np.uint8
        np.testing.assert_array_equal(scene.image, again.image)
        np.testing.assert_array_equal(scene.boxes, again.boxes)
        for boxes in (scene.boxes, scene.ignore):
            assert boxes.shape[1:] == (4,) and np.isfinite(boxes).all()
            assert np.all(boxes >= -1e-3) and np.all(boxes <= 128 + 1e-3)
        assert np.all(np.max(scene.boxes[:, 2:] - scene.boxes[:, :2], axis=1, initial=99) >= MIN_SIDE)
        if kind in ("negative", "stars", "nebula"):
            assert not len(scene.boxes) and not len(scene.ignore)


def test_a_real_scene_has_its_galaxy_in_its_box(maker):
    # Frames of the small sets hold bright galaxies only, so the box must be brighter than the rest.
    for seed in range(10):
        scene = maker.draw(np.random.default_rng(seed), "survey", plain=True)
        assert len(scene.boxes) == 1
        x0, y0, x1, y1 = scene.boxes[0].astype(int)
        assert scene.image[y0:y1, x0:x1].mean() > 2 * np.median(scene.image)


def test_close_ups_fill_much_of_the_picture(maker):
    sides = []
    for seed in range(20):
        scene = maker.draw(np.random.default_rng(seed), "close_up", plain=True)
        assert len(scene.boxes) == 1
        sides.append(max(scene.boxes[0][2:] - scene.boxes[0][:2]) / 128)
    assert min(sides) > 0.15 and max(sides) > 0.7 and np.median(sides) > 0.35


def test_nothing_to_draw_from_is_an_error(maker):
    with pytest.raises(DataError, match="usable box"):
        SceneGenerator([replace(sample, kind="galaxy") for sample in maker.fields], 128)
    assert SceneGenerator(maker.fields, 128).kinds == [
        "stars",
        "nebula",
    ]  # a sky without galaxies is enough to measure on


def test_camera_and_stars_keep_shape_and_range():
    rng = np.random.default_rng(0)
    for _ in range(60):
        canvas = np.full((96, 96, 3), 12, np.float32)
        add_saturated_stars(rng, canvas, 20.0, int(rng.integers(1, 5)), None if rng.random() < 0.5 else 8.0)
        add_small_stars(rng, canvas, 5)
        result = apply_camera_effects(rng, canvas)
        assert result.shape == (96, 96, 3) and result.dtype == np.uint8
        assert np.isfinite(canvas).all() and canvas.max() > 12


def test_stretches_keep_the_order_of_levels_and_both_ends():
    # What was brighter stays brighter: a stretch shows more or less of the faint light, it does not invent any.
    levels = np.linspace(0, 255, 50, dtype=np.float32)
    middles = []
    for seed in range(30):
        stretched = augment._restretch(np.random.default_rng(seed), levels)
        assert (np.diff(stretched) > 0).all() and stretched[[0, -1]] == pytest.approx([0, 255], abs=1e-3)
        middles.append(stretched[12])
    assert min(middles) < levels[12] < max(middles)


def test_vignettes_darken_towards_the_corners():
    for seed in range(30):
        fall = augment._vignette(np.random.default_rng(seed), 60, 80)[..., 0]
        corners = fall[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert fall.max() <= 1 and fall.min() >= 0.4 and corners.max() < fall[30, 40]


def test_skies_come_in_colours_and_lose_nothing_that_shines():
    """A town's sky is orange, a stretched one blue: a network that knows black ones only takes the rest for light."""
    dark = np.full((48, 48, 3), 8, np.float32)
    dark[20:28, 20:28] = 200
    shown = [apply_camera_effects(np.random.default_rng(seed), dark).astype(int) for seed in range(200)]
    skies = np.array([np.median(one[:16], axis=(0, 1)) for one in shown])
    assert 20 < np.sum(np.ptp(skies, axis=1) > 10) < 100
    blue, red = skies[:, 2] - skies[:, 0] > 10, skies[:, 0] - skies[:, 2] > 10
    assert blue.any() and red.any()
    assert all(one[20:28, 20:28].mean() > np.median(one[:16]) for one in shown)


ANCHORS = anchor_grid(128, 128, 3, 7, 2.0, 2, (1.0, 2.0, 0.5))


def test_encode_is_the_inverse_of_decode():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 90, (len(ANCHORS), 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 80, low.shape)], axis=1).astype(np.float32)
    np.testing.assert_allclose(decode_boxes(encode_boxes(boxes, ANCHORS), ANCHORS), boxes, atol=1e-2)


@pytest.mark.parametrize("side", [7, 12, 30, 120])
def test_every_galaxy_has_an_anchor_whatever_its_size(side):
    box = np.array([[4, 5, 4 + side, 5 + 0.4 * side]], np.float32)
    target, deltas = assign_targets(ANCHORS, box, np.zeros((0, 4), np.float32))
    positive = target == 1
    assert 1 <= positive.sum() < 80
    np.testing.assert_allclose(
        decode_boxes(deltas[positive], ANCHORS[positive]), np.repeat(box, positive.sum(), 0), atol=1e-2
    )


def test_ignored_boxes_are_not_sky_and_do_not_hide_a_galaxy():
    box = np.array([[30, 30, 60, 60]], np.float32)
    target, _ = assign_targets(ANCHORS, np.zeros((0, 4), np.float32), box)
    assert (target == -1).any() and not (target == 1).any()
    both, _ = assign_targets(ANCHORS, box, box)
    alone, _ = assign_targets(ANCHORS, box, np.zeros((0, 4), np.float32))
    np.testing.assert_array_equal(both == 1, alone == 1)


def test_an_empty_sky_is_all_sky():
    none = np.zeros((0, 4), np.float32)
    target, deltas = assign_targets(ANCHORS, none, none)
    assert not target.any() and not deltas.any()


def test_other_hues_hold_no_more_light_and_the_same_shapes():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (20, 30, 3), np.uint8)
    changed = 0
    for _ in range(20):
        mixed = augment.mix_channels(rng, picture)
        assert mixed.shape == picture.shape and mixed.dtype == np.uint8
        assert np.abs(mixed.sum(axis=2, dtype=int) - picture.sum(axis=2, dtype=int)).max() <= 3  # rounding
        changed += bool((mixed != picture).any())
    assert changed > 10
