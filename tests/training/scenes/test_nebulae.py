"""What a detector must learn not to take for a galaxy: drawn anew each time, and light that can be added to any sky."""

import numpy as np
import pytest
from galaxy_edge.training.data.sample import Sample
from galaxy_edge.training.scenes import nebulae
from galaxy_edge.training.scenes.generator import SceneGenerator


@pytest.mark.parametrize("kind", nebulae.MIN_SIDES)
@pytest.mark.parametrize("side", [48, 131])
def test_it_is_light_that_ends_before_its_rim(kind, side):
    """Where it was added no square may be seen, and nothing may get darker."""
    for seed in range(6):
        light = kind(np.random.default_rng(seed), side)
        assert light.shape == (side, side, 3) and light.dtype == np.float32
        assert np.isfinite(light).all() and light.min() >= 0
        rim = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
        assert not rim.any()
        assert light.max() > 1, "nothing to be seen"


@pytest.mark.parametrize("kind", nebulae.MIN_SIDES)
def test_a_seed_names_it_and_another_seed_another(kind):
    first, again, other = (kind(np.random.default_rng(seed), 64) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_none_is_so_small_that_it_could_be_a_galaxy():
    for seed in range(40):
        assert nebulae.draw_nebula(np.random.default_rng(seed), 4).shape[0] >= min(nebulae.MIN_SIDES.values())


def test_clusters_are_crowded_in_the_middle():
    """By the Plummer profile half of the stars lie within 1.3 core radii in projection: light falls outwards."""
    inner = outer = 0.0
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    radius = np.hypot(x, y)
    for seed in range(12):
        light = nebulae.cluster(np.random.default_rng(seed), 96).sum(axis=2)
        inner, outer = inner + light[radius < 0.3].mean(), outer + light[(radius > 0.6) & (radius < 0.9)].mean()
    assert inner > 4 * outer


def test_a_set_without_frames_of_nebulae_has_them_in_its_skies(tmp_path):
    """A user may have star fields only: the network must still meet nebulae, and none of them is boxed."""
    import zipfile

    import cv2

    sky = np.full((200, 200, 3), 12, np.uint8)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("sky.png", cv2.imencode(".png", sky)[1].tobytes())
    sample = Sample("sdss_starfields", "sky.png", tmp_path / "images.zip", "sky.png", kind="negative")
    maker = SceneGenerator([sample], 128)
    scenes = [maker.draw(np.random.default_rng(seed), "stars", plain=True) for seed in range(30)]
    assert sum(scene.image.max() > 60 for scene in scenes) > 10
    assert not any(len(scene.boxes) or len(scene.ignore) for scene in scenes)


def test_all_stars_of_a_telescope_have_their_spikes_at_one_angle():
    """Vanes hold the secondary mirror, so what they spread light along is the same for every star of a picture."""
    found = 0
    for seed in range(40):
        light = np.zeros((161, 161, 3), np.float32)
        angle = np.random.default_rng(seed).uniform(0, np.pi)
        nebulae._add_spikes(light, np.array([80.0, 80.0]), 60.0, 2.0, angle, 4, np.ones(3))
        y, x = np.nonzero(light[..., 0] > 0.05)
        away = np.hypot(x - 80, y - 80) > 15
        turned = np.arctan2(y[away] - 80, x[away] - 80) - angle
        assert np.abs(np.angle(np.exp(4j * turned))).max() < 4 * 0.25  # four spikes a quarter turn apart
        found += away.sum()
    assert found > 40 * 50
