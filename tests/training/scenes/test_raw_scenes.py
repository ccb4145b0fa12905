"""Raw scenes: repeatable by seed, boxes on visible light, skies without targets."""

import numpy as np
import pytest
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.scenes.cutouts import Cutout
from galaxy_edge.training.scenes.generator import SceneGenerator
from galaxy_edge.training.scenes.linear_light import destretched, point_spread, sersic, stars
from galaxy_edge.training.scenes.raw_scenes import KINDS, VIEWS, MixedScenes, RawSceneGenerator
from galaxy_edge.training.scenes.raw_sky import RawSky, raw_sky, stacked
from helpers.labelled_sets import make_close_ups, make_sets


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    return SceneGenerator(read_set(make_close_ups(make_sets(tmp_path_factory.mktemp("sets")))), 128)


@pytest.fixture(scope="module")
def generator(maker):
    sky = RawSky(np.random.default_rng(1).normal(0, 1, (540, 960, 3)).astype(np.float16))
    return RawSceneGenerator(maker, [sky])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("view", VIEWS)
def test_a_scene_is_drawn_from_its_seed(generator, kind, view):
    first, second = (generator.draw(np.random.default_rng(7), kind, view) for _ in range(2))
    assert np.array_equal(first.image, second.image) and np.array_equal(first.boxes, second.boxes)
    assert first.image.shape == (128, 128, 3) and first.image.dtype == np.uint8 and first.kind == kind
    assert kind == "raw_galaxies" or not len(first.boxes) + len(first.ignore)


def test_boxes_lie_inside_and_on_light(generator):
    brighter = []
    for seed in range(60):
        scene = generator.draw(np.random.default_rng(seed), "raw_galaxies", 1)
        assert (scene.boxes >= 0).all() and (scene.boxes <= 128).all()
        for x0, y0, x1, y1 in scene.boxes.round().astype(int):
            inside = scene.image[y0:y1, x0:x1].mean()
            brighter.append(inside > np.median(scene.image))
    assert len(brighter) > 40 and np.mean(brighter) > 0.9


def test_mixture(maker, generator):
    mixed = MixedScenes(maker, generator, 0.5)
    kinds = [mixed.draw(np.random.default_rng(seed)).kind for seed in range(60)]
    raw = sum(kind in KINDS for kind in kinds)
    assert 15 < raw < 45 and set(mixed.kinds) == {*maker.kinds, *KINDS}
    assert mixed.draw(np.random.default_rng(1), "raw_stars").kind == "raw_stars"


def test_stars_are_many_faint_and_few_bright():
    field = stars(np.random.default_rng(2), 300, 300)
    assert field.shape == (300, 300, 3) and field.min() >= 0 and field.max() > 20 * np.median(field)


def test_spread_light_keeps_its_sum():
    canvas = np.zeros((128, 128, 3), np.float32)
    canvas[64, 64] = 1000
    assert abs(point_spread(canvas, 1.0).sum() / 3000 - 1) < 0.02


@pytest.mark.parametrize("seed", range(8))
def test_sersic_galaxies_lie_in_their_boxes(seed):
    galaxy = sersic(np.random.default_rng(seed), 60.0)
    x0, y0, x1, y1 = galaxy.box.round().astype(int)
    light = galaxy.light.mean(axis=2)
    assert 0 < max(galaxy.box[2:] - galaxy.box[:2]) < 61.5
    assert light[y0:y1, x0:x1].sum() > 0.6 * light.sum() and np.isfinite(light).all()


def test_destretching_undoes_a_stretch():
    linear = np.linspace(0, 1, 256, dtype=np.float32)
    stretched = np.arcsinh(linear * np.sinh(4.0)) / 4.0
    image = np.repeat(np.round(255 * stretched)[None, :, None], 3, axis=2).astype(np.uint8)
    found = destretched(Cutout(image, np.array([0, 0, 256, 1], np.float32), 0.0), 4.0)
    assert np.abs(found.light[0, :, 0] - linear).max() < 0.02


def test_a_stack_has_less_noise_and_the_same_stars():
    rng = np.random.default_rng(3)
    light = rng.normal(0, 1, (200, 200, 3)).astype(np.float32)
    light[100, 100:102] += 40
    deep = stacked(light, 16)
    assert abs(np.median(np.abs(deep)) / np.median(np.abs(light)) - 1) < 0.1  # in units of its own noise
    assert deep[100, 100, 1] > 2.5 * light[100, 100, 1]


def test_a_sky_is_without_its_target():
    rng = np.random.default_rng(4)
    mosaic = rng.normal(900, 40, (400, 600))
    y, x = np.mgrid[:400, :600]
    mosaic += 3000 * np.exp(-((x - 300) ** 2 + (y - 200) ** 2) / 800)
    sky = raw_sky(mosaic, "RGGB", [(300, 200, 90)])
    assert sky.light.shape == (200, 300, 3) and np.abs(sky.light[90:110, 140:160].astype(float)).mean() < 1.5
    assert sky.cut(rng, 500, 500) is None and sky.cut(rng, 100, 120, 4).shape == (100, 120, 3)
