"""Close-ups: the measured ellipse against discs of known light, and the cutouts."""

import cv2
import numpy as np
import pytest
from galaxy_edge.models.preprocess import crop
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.scenes.close_ups import cut_out_close_up, measure_ellipse
from galaxy_edge.training.scenes.cutouts import paste
from helpers.labelled_sets import close_up_frame

SIDE = 88


def with_noise(image, rng):
    """Add noise to rendered light and convert it to uint8."""
    return np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)


def half_sides(scale, axis, angle):
    """Return half sides of the ellipse with 90 % of an exponential disc's light.

    The light is that above 2 % of the central level.
    """
    radii, radius = np.linspace(0, 8, 8000), 3.0
    for _ in range(20):
        profile = np.exp(-radii)
        growth = np.cumsum(radii * profile * (profile > 0.02 * profile[radii < 0.3 * radius].mean()))
        radius = radii[np.searchsorted(growth, 0.9 * growth[-1])]
    radius *= scale * SIDE
    along, across = (np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))
    return radius * np.sqrt([major**2 + (axis * minor) ** 2 for major, minor in zip(along, across, strict=True)])


@pytest.mark.parametrize("angle", [0.0, 0.7, 1.9])
@pytest.mark.parametrize("axis", [0.5, 0.7, 0.95])
@pytest.mark.parametrize("scale", [0.1, 0.12])
def test_ellipse_contains_the_light_of_a_disc(scale, axis, angle):
    """Close-ups take their boxes from this ellipse alone, so it must be right."""
    rng = np.random.default_rng(5)
    ellipse, sky = measure_ellipse(with_noise(close_up_frame(rng, SIDE, scale, axis, angle), rng))
    # In so few pixels, the removal of stars flattens the middle, so small discs are measured too wide.
    np.testing.assert_allclose(np.sqrt(np.diag(ellipse)), half_sides(scale, axis, angle), rtol=0.2)
    if axis < 0.9 and angle:
        assert np.sign(ellipse[0, 1]) == np.sign(np.sin(2 * angle))
    np.testing.assert_allclose(sky, 10, atol=6)


def test_stars_and_a_neighbour_do_not_change_the_ellipse():
    """Foreground stars are in most images of catalogues."""
    rng = np.random.default_rng(6)
    image = close_up_frame(rng, SIDE, 0.11, 0.6, 0.7)
    for x, y in rng.integers(4, SIDE - 4, (8, 2)):
        cv2.circle(image, (int(x), int(y)), 1, (220, 220, 220), -1)
    cv2.circle(image, (12, 70), 6, (150, 120, 90), -1)
    ellipse, _ = measure_ellipse(with_noise(image, rng))
    np.testing.assert_allclose(np.sqrt(np.diag(ellipse)), half_sides(0.11, 0.6, 0.7), rtol=0.2)


def test_light_of_a_pasted_cutout_lies_in_its_box():
    """The detector learns the box that pasting returns, so light must lie inside."""
    rng = np.random.default_rng(7)
    cutout = cut_out_close_up(with_noise(close_up_frame(rng, SIDE, 0.11, 0.5, 0.7), rng))
    canvas = np.zeros((224, 224, 3), np.float32)
    x0, y0, x1, y1 = paste(canvas, cutout, (112.0, 112.0), 2 * np.eye(2), 1.0).round().astype(int)
    assert 0.8 < canvas[y0:y1, x0:x1].sum() / canvas.sum() < 1.0
    assert not canvas[:20].any() and not canvas[:, :20].any()  # it fades before the edges of its image
    assert canvas[104:120, 104:120].mean() > 80


@pytest.mark.parametrize("image", [
    np.full((SIDE, SIDE, 3), 30, np.uint8),
    close_up_frame(np.random.default_rng(1), SIDE, 0.25, 0.2, 0.0).clip(0, 255).astype(np.uint8),
    (10 + 0.06 * (close_up_frame(np.random.default_rng(1), SIDE) - 10)).astype(np.uint8),
], ids=["empty", "larger than the image", "faint"])  # fmt: skip
def test_image_without_a_usable_galaxy_gives_no_cutout(image):
    """A wrong cutout would teach a wrong box.

    The generator tries another image instead.
    """
    assert cut_out_close_up(image) is None


def test_ellipse_agrees_with_boxes_of_survey_frames(shared_data):
    """Close-ups and survey frames train one network, so they share a convention."""
    samples = [sample for sample in read_set(shared_data / "gz_frames") if len(sample.boxes) and sample.coarse]
    overlaps = []
    for index in np.random.default_rng(1).choice(len(samples), 150, replace=False):
        box = samples[index].boxes[0]
        side = 1.3 * max(box[2:] - box[:2])
        found = measure_ellipse(crop(samples[index].load(), box, 0.3, SIDE))
        half = np.zeros(2) if found is None else np.sqrt(np.diag(found[0])) * side / SIDE
        wanted = (box[2:] - box[:2]) / 2
        shared = np.prod(np.minimum(half, wanted))
        overlaps.append(shared / (np.prod(half) + np.prod(wanted) - shared))
    assert np.median(overlaps) > 0.85 and np.percentile(overlaps, 10) > 0.65
