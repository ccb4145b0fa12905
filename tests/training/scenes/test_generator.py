"""Training scenes: boxes stay on their galaxies, and a seed determines a scene."""

import hashlib
import platform
from dataclasses import replace

import cv2
import numpy as np
import pytest
import sep
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.data.sample import Sample
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.scenes import camera_effects as augment
from galaxy_edge.training.scenes.camera_effects import (
    add_saturated_stars,
    add_small_stars,
    apply_camera_effects,
    rotate_randomly,
)
from galaxy_edge.training.scenes.cutouts import Cutout, cut_out, paste, segment_sources, unboxed_sources
from galaxy_edge.training.scenes.frames import FrameCache
from galaxy_edge.training.scenes.generator import MIN_SIDE, SceneGenerator, clip_boxes
from galaxy_edge.training.scenes.mixture import MIXTURE
from helpers.labelled_sets import galaxy_frame, make_close_ups, make_sets


def enclosing(light, share=0.90):
    """Return the box left when (1 - share) / 2 of the light is cut off on each side."""
    ends = []
    for axis in (0, 1):
        along = np.cumsum(light.sum(axis=axis)) / light.sum()
        ends.append(np.searchsorted(along, [(1 - share) / 2, (1 + share) / 2]))
    return np.array([ends[0][0], ends[1][0], ends[0][1] + 1, ends[1][1] + 1])


def test_rotation_keeps_boxes_on_their_light():
    """Mirroring and quarter turns are applied to every scene."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[5:12, 30:50] = 200
    box = np.array([[30, 5, 50, 12]], np.float32)
    seen = set()
    for seed in range(40):
        turned, moved = rotate_randomly(np.random.default_rng(seed), image, box)
        x0, y0, x1, y1 = moved[0].astype(int)
        assert turned[y0:y1, x0:x1].min() == 200 and turned.sum() == image.sum()
        seen.add((turned.shape[0], x0, y0))
    assert len(seen) == 8, "four rotations, each mirrored or not"


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.2, 2.5])
@pytest.mark.parametrize("scale", [0.2, 0.6, 1.3])
def test_pasted_box_encloses_the_added_light(angle, scale):
    """The box of an ellipse with a sharp edge is known after any rotation and scale."""
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
    """The clipping of the warped part must handle an empty intersection."""
    cutout = Cutout(np.full((20, 20, 3), 90, np.uint8), np.array([2, 2, 18, 18], np.float32), 0.0)
    canvas = np.zeros((64, 64, 3), np.float32)
    paste(canvas, cutout, (-200.0, 30.0), np.eye(2), 1.0)
    assert not canvas.any()


def test_cut_out_excludes_neighbours():
    """A neighbour would be pasted along without a box."""
    image, box = galaxy_frame(np.random.default_rng(3), 200, neighbour=(150, 40))
    segments = segment_sources(image)
    cutout = cut_out(image, box, segments)
    assert cutout is not None
    found = enclosing(cutout.light.astype(float).sum(axis=2))
    wanted = cutout.box
    overlap = np.prod(np.minimum(found[2:], wanted[2:]) - np.maximum(found[:2], wanted[:2]))
    assert overlap / np.prod(found[2:] - found[:2]) > 0.8
    others = unboxed_sources(segments, box[None])
    assert len(others) == 1 and np.all(others[0, :2] < (150, 40)) and np.all(others[0, 2:] > (150, 40))


def test_clip_boxes_separates_by_visible_share():
    """Galaxies that are mostly outside are ignored rather than taught."""
    boxes = np.array([[-5, 0, 5, 10], [-9, 0, 1, 10], [20, 0, 30, 10]], np.float32)
    seen, cut = clip_boxes(boxes, 16, 16, 0.4)
    np.testing.assert_array_equal(seen, [[0, 0, 5, 10]])
    np.testing.assert_array_equal(cut, [[0, 0, 1, 10]])


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    return SceneGenerator(read_set(make_close_ups(make_sets(tmp_path_factory.mktemp("sets")))), 128)


DRAWN_SCENES = {
    "survey": ("29e7ba6623aed50e", "fb9562ec5d422629"),
    "deepsky": ("a2f6f3b535444fbb", "ca263d446ad40acf"),
    "composed": ("c166a768424d52a1", "274cbf89364cd3ad"),
    "deep_field": ("11549a2621a02050", "5fd703279c8c748c"),
    "mosaic": ("36606f03ab246ae9", "0661d1f5450c80cb"),
    "close_up": ("548f4da7d0fc6e1a", "d79a2388a5d608f8"),
    "negative": ("e4eeeb47fc2edf82", "53456f80de1c886f"),
    "stars": ("2d20c68d7051e251", "9e05198c3bc5cee2"),
    "nebula": ("83af085c5c32919c", "129e0802621b789e"),
}
"""Hashes of three scenes of each kind: of the pixels and boxes, and of the random state afterwards and whole boxes."""
HASHED_WITH = ("x86_64", "5.0", "2.4", "1.4")
"""Machine and versions of OpenCV, NumPy and SEP of the hashes of the pixels; others round differently."""


@pytest.mark.parametrize("kind", MIXTURE)
def test_seed_gives_the_same_scenes_as_in_earlier_versions(generator, kind):
    """Published detectors name a seed.

    It must keep giving the scenes that they were trained on.
    """
    versions = (module.__version__.rpartition(".")[0] for module in (cv2, np, sep))
    pixels, draws = hashlib.sha256(), hashlib.sha256()
    for seed in range(3):
        rng = np.random.default_rng([11, seed])
        scene = generator.draw(rng, kind)
        for array in (scene.image, scene.boxes.astype(np.float32), scene.ignore.astype(np.float32)):
            pixels.update(np.ascontiguousarray(array).tobytes())
        draws.update(str(rng.bit_generator.state["state"]["state"]).encode())
        draws.update(np.round(scene.boxes).astype(int).tobytes())
    assert draws.hexdigest()[:16] == DRAWN_SCENES[kind][1]
    if (platform.machine(), *versions) == HASHED_WITH:
        assert pixels.hexdigest()[:16] == DRAWN_SCENES[kind][0]


@pytest.mark.parametrize("kind", MIXTURE)
def test_scenes_are_well_formed_and_repeatable(generator, kind):
    """Shapes, ranges and minimum sizes hold for each kind, with or without caches."""
    for seed in range(6):
        scene = generator.draw(np.random.default_rng(seed), kind)
        again = generator.draw(np.random.default_rng(seed), kind)
        assert scene.image.shape == (128, 128, 3) and scene.image.dtype == np.uint8
        np.testing.assert_array_equal(scene.image, again.image)
        np.testing.assert_array_equal(scene.boxes, again.boxes)
        for boxes in (scene.boxes, scene.ignore):
            assert boxes.shape[1:] == (4,) and np.isfinite(boxes).all()
            assert np.all(boxes >= -1e-3) and np.all(boxes <= 128 + 1e-3)
        assert np.all(np.max(scene.boxes[:, 2:] - scene.boxes[:, :2], axis=1, initial=99) >= MIN_SIDE)
        if kind in ("negative", "stars", "nebula"):
            assert not len(scene.boxes) and not len(scene.ignore)


def test_survey_scene_has_its_galaxy_in_its_box(generator):
    """The small sets have bright galaxies only, so a box is brighter than the rest."""
    for seed in range(10):
        scene = generator.draw(np.random.default_rng(seed), "survey", plain=True)
        assert len(scene.boxes) == 1
        x0, y0, x1, y1 = scene.boxes[0].astype(int)
        assert scene.image[y0:y1, x0:x1].mean() > 2 * np.median(scene.image)


def test_close_ups_fill_much_of_the_image(generator):
    """They are there to teach large galaxies, which survey frames lack."""
    sides = []
    for seed in range(20):
        scene = generator.draw(np.random.default_rng(seed), "close_up", plain=True)
        assert len(scene.boxes) == 1
        sides.append(max(scene.boxes[0][2:] - scene.boxes[0][:2]) / 128)
    assert min(sides) > 0.15 and max(sides) > 0.7 and np.median(sides) > 0.35


@pytest.mark.parametrize("shares", [{"deep_field": 0.3}, {"deep_field": 0.1, "survey": 0.4}, {"survey": 0.0}])
def test_given_shares_leave_the_other_kinds_in_proportion(generator, shares):
    more = SceneGenerator([*generator.survey, *generator.deepsky], 64, shares)
    usual = SceneGenerator([*generator.survey, *generator.deepsky], 64)
    given = [more.kinds.index(kind) for kind in shares]
    assert more.weights[given].tolist() == list(shares.values()) and more.weights.sum() == pytest.approx(1)
    ratios = np.delete(more.weights / usual.weights, given)
    np.testing.assert_allclose(ratios, ratios[0])


def test_shares_that_do_not_fit_the_images_are_an_error(generator):
    """A share that cannot be kept must not be ignored."""
    every = SceneGenerator(generator.fields, 64, {"stars": 0.2, "nebula": 0.6, "survey": 0.0})
    assert every.weights == pytest.approx([0.25, 0.75]), "where all kinds are given, they fill the whole"
    with pytest.raises(DataError, match="share of survey scenes is given, but there are no images"):
        SceneGenerator(generator.fields, 64, {"survey": 0.2})
    with pytest.raises(DataError, match="have a share of 0"):
        SceneGenerator(generator.fields, 64, {"stars": 0.0, "nebula": 0.0})


def test_samples_without_boxes_or_negatives_are_an_error(generator):
    """The message must come before the training starts.

    Star fields alone are enough to evaluate on.
    """
    with pytest.raises(DataError, match="usable box"):
        SceneGenerator([replace(sample, kind="galaxy") for sample in generator.fields], 128)
    assert SceneGenerator(generator.fields, 128).kinds == ["stars", "nebula"]


def test_camera_effects_and_stars_keep_shape_and_range():
    """Random parameters must never give NaN or another shape."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        canvas = np.full((96, 96, 3), 12, np.float32)
        add_saturated_stars(rng, canvas, 20.0, int(rng.integers(1, 5)), None if rng.random() < 0.5 else 8.0)
        add_small_stars(rng, canvas, 5)
        result = apply_camera_effects(rng, canvas)
        assert result.shape == (96, 96, 3) and result.dtype == np.uint8
        assert np.isfinite(canvas).all() and canvas.max() > 12


def test_stretches_are_monotonic_and_keep_both_ends():
    """A stretch shows more or less of the faint light, but does not reorder levels."""
    levels = np.linspace(0, 255, 50, dtype=np.float32)
    middles = []
    for seed in range(30):
        stretched = augment.restretch(np.random.default_rng(seed), levels)
        assert (np.diff(stretched) > 0).all() and stretched[[0, -1]] == pytest.approx([0, 255], abs=1e-3)
        middles.append(stretched[12])
    assert min(middles) < levels[12] < max(middles)


def test_vignettes_darken_towards_the_corners():
    """The factors stay in 0.4 to 1, so no galaxy disappears."""
    for seed in range(30):
        factors = augment.vignette(np.random.default_rng(seed), 60, 80)[..., 0]
        corners = factors[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert factors.max() <= 1 and factors.min() >= 0.4 and corners.max() < factors[30, 40]


def test_skies_are_coloured_and_objects_stay_brighter():
    """A town's sky is orange, a stretched one blue.

    A network must not take either for light of a galaxy.
    """
    dark = np.full((48, 48, 3), 8, np.float32)
    dark[20:28, 20:28] = 200
    shown = [apply_camera_effects(np.random.default_rng(seed), dark).astype(int) for seed in range(200)]
    skies = np.array([np.median(image[:16], axis=(0, 1)) for image in shown])
    assert 20 < np.sum(np.ptp(skies, axis=1) > 10) < 100
    blue, red = skies[:, 2] - skies[:, 0] > 10, skies[:, 0] - skies[:, 2] > 10
    assert blue.any() and red.any()
    assert all(image[20:28, 20:28].mean() > np.median(image[:16]) for image in shown)


def test_mixed_channels_keep_light_and_shape():
    """Only the hue may change, or the network would learn from artefacts."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    changed = 0
    for _ in range(20):
        mixed = augment.mix_channels(rng, image)
        assert mixed.shape == image.shape and mixed.dtype == np.uint8
        assert np.abs(mixed.sum(axis=2, dtype=int) - image.sum(axis=2, dtype=int)).max() <= 3  # rounding
        changed += bool((mixed != image).any())
    assert changed > 10


def test_images_of_one_name_in_two_folders_keep_their_own_pixels_and_boxes(tmp_path):
    """The boxes of one frame were taken for those of the other."""
    samples = []
    for number, night in enumerate(("monday", "tuesday")):
        (tmp_path / night).mkdir()
        image = np.full((64, 64, 3), 40 + 100 * number, np.uint8)
        cv2.imwrite(str(tmp_path / night / "frame1.png"), image)
        box = np.array([[number, 2, 20, 20]], np.float32)
        samples.append(Sample("user", "frame1.png", tmp_path / night, "frame1.png", ignore=box))
    cache = FrameCache(samples)
    for _ in range(2):
        for number, sample in enumerate(samples):
            assert cache.load(sample).max() == 40 + 100 * number
            assert cache.ignored(sample, cache.load(sample)).tolist() == [[number, 2, 20, 20]]
