"""Drawn nebulae and clusters.

Light that can be added to any sky, different for every seed.
"""

import numpy as np
import pytest
from galaxy_edge.training.data.sample import Sample
from galaxy_edge.training.scenes import nebulae
from galaxy_edge.training.scenes.generator import SceneGenerator


@pytest.mark.parametrize("kind", nebulae.MIN_SIDES)
@pytest.mark.parametrize("side", [48, 131])
def test_light_ends_before_the_rim(kind, side):
    """No square may be visible where it is added, and nothing may become darker."""
    for seed in range(6):
        light = kind(np.random.default_rng(seed), side)
        assert light.shape == (side, side, 3) and light.dtype == np.float32
        assert np.isfinite(light).all() and light.min() >= 0
        rim = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
        assert not rim.any()
        assert light.max() > 1, "nothing is visible"


@pytest.mark.parametrize("kind", nebulae.MIN_SIDES)
def test_seed_determines_the_drawing(kind):
    """Scenes are repeatable, and a network must not be able to memorise the drawings."""
    first, again, other = (kind(np.random.default_rng(seed), 64) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_drawing_is_as_small_as_a_distant_galaxy():
    """A tiny nebula looks like a galaxy, so it must not be trained as a negative."""
    for seed in range(40):
        assert nebulae.draw_nebula(np.random.default_rng(seed), 4).shape[0] >= min(nebulae.MIN_SIDES.values())


def test_clusters_are_densest_in_the_middle():
    """Half of a Plummer profile's stars lie within 1.3 core radii in projection.

    The light therefore decreases outwards.
    """
    inner = outer = 0.0
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    radius = np.hypot(x, y)
    for seed in range(12):
        light = nebulae.cluster(np.random.default_rng(seed), 96).sum(axis=2)
        inner, outer = inner + light[radius < 0.3].mean(), outer + light[(radius > 0.6) & (radius < 0.9)].mean()
    assert inner > 4 * outer


def test_star_fields_alone_give_skies_with_nebulae(tmp_path):
    """A user may have star fields only.

    The network must still see nebulae, none of them boxed.
    """
    import zipfile

    import cv2

    sky = np.full((200, 200, 3), 12, np.uint8)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("sky.png", cv2.imencode(".png", sky)[1].tobytes())
    sample = Sample("sdss_starfields", "sky.png", tmp_path / "images.zip", "sky.png", kind="negative")
    generator = SceneGenerator([sample], 128)
    scenes = [generator.draw(np.random.default_rng(seed), "stars", plain=True) for seed in range(30)]
    assert sum(scene.image.max() > 60 for scene in scenes) > 10
    assert not any(len(scene.boxes) or len(scene.ignore) for scene in scenes)


def test_spikes_lie_at_the_given_angle():
    """The secondary mirror's vanes diffract every star in the same directions."""
    found = 0
    for seed in range(40):
        light = np.zeros((161, 161, 3), np.float32)
        angle = np.random.default_rng(seed).uniform(0, np.pi)
        nebulae.add_spikes(light, np.array([80.0, 80.0]), 60.0, 2.0, angle, 4, np.ones(3))
        y, x = np.nonzero(light[..., 0] > 0.05)
        away = np.hypot(x - 80, y - 80) > 15
        turned = np.arctan2(y[away] - 80, x[away] - 80) - angle
        assert np.abs(np.angle(np.exp(4j * turned))).max() < 4 * 0.25  # four spikes a quarter turn apart
        found += away.sum()
    assert found > 40 * 50
