"""Preprocessing: odd sizes, extreme shapes, boxes over the edge, pixel positions."""

import numpy as np
import pytest
from galaxy_edge.models.preprocess import ImagePyramid, crop, letterbox, resize


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# Resize


def test_halving_is_the_rounded_mean_of_four():
    # The arithmetic that makes the bits the same on every machine: whole numbers, a half rounded up.
    image = noise(64, 48)
    fours = image.astype(int)
    total = fours[::2, ::2] + fours[1::2, ::2] + fours[::2, 1::2] + fours[1::2, 1::2]
    assert np.array_equal(resize(image, 24, 32), (total + 2) // 4)


def test_quartering_is_halving_twice():
    image = noise(64, 48)
    assert np.array_equal(resize(image, 12, 16), resize(resize(image, 24, 32), 12, 16))


def test_halves_are_made_once_and_end_with_the_pixels():
    halves = ImagePyramid(noise(9, 7))
    assert halves[2] is halves[2] and halves[2].shape == (2, 1, 3) and halves.shape == (9, 7, 3)
    with pytest.raises(ValueError, match="7x9 pixels cannot be halved 3 times"):
        halves[3]


def test_same_size_is_the_same_image():
    image = noise(17, 23)
    assert np.array_equal(resize(image, 23, 17), image)


def test_part_of_an_image_comes_out_contiguous():
    # Engines take the memory as it lies.
    assert resize(noise(40, 40)[5:25, 5:25], 20, 20).flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 5), (319, 641), (1001, 333), (2, 40000)])
def test_flat_image_stays_flat(shape):
    # Nothing may come in from beyond the edge, whatever the size.
    image = np.full((*shape, 3), (10, 130, 250), np.uint8)
    assert np.all(resize(image, 32, 20) == (10, 130, 250))


def test_grey_image_is_resized_like_each_colour():
    image = noise(37, 53)
    assert np.array_equal(resize(np.ascontiguousarray(image[..., 1]), 16, 12), resize(image, 16, 12)[..., 1])


def test_large_reduction_does_not_alias():
    # A grid of lines finer than the result: sampled, it would come out as stripes of 0 and 255.
    image = np.zeros((512, 512, 3), np.uint8)
    image[:, ::2] = 255
    assert np.ptp(resize(image, 40, 40).astype(int)) <= 2


def test_enlarged_image_stays_within_its_levels():
    image = noise(5, 5)
    found = resize(image, 50, 50)
    assert found.min() >= image.min() and found.max() <= image.max()


# Letterbox


@pytest.mark.parametrize("shape", [(1, 1), (1, 40000), (40000, 1), (3, 40000), (641, 359), (240, 320), (7, 5)])
def test_letterbox_keeps_the_aspect_and_fills_the_rest(shape):
    height, width = shape
    canvas, (scale_x, scale_y) = letterbox(np.full((height, width, 3), 200, np.uint8), 96, 64, fill=7)
    assert canvas.shape == (64, 96, 3) and canvas.dtype == np.uint8
    columns = int(np.sum(np.all(canvas == 200, axis=2).any(axis=0)))
    rows = int(np.sum(np.all(canvas == 200, axis=2).any(axis=1)))
    assert np.all(canvas[:rows, :columns] == 200), "the image is at the top left"
    assert np.all(canvas[rows:] == 7) and np.all(canvas[:, columns:] == 7)
    assert columns == 96 or rows == 64, "the image is as large as it can be"
    exact = min(96 / width, 64 / height)
    # Each side is the exact one rounded to a whole pixel, but never to none.
    assert abs(columns - max(1, width * exact)) <= 0.5 and abs(rows - max(1, height * exact)) <= 0.5
    assert (scale_x * width, scale_y * height) == pytest.approx((columns, rows))


def test_letterbox_of_the_right_size_changes_nothing():
    image = noise(64, 96)
    canvas, scales = letterbox(image, 96, 64)
    assert np.array_equal(canvas, image) and scales == (1.0, 1.0)


@pytest.mark.parametrize("seed", range(40))
def test_letterbox_scales_say_where_a_square_ends_up(seed):
    # What boxes rest on: an image's pixel times the scale is the input's pixel, within one, at every size and
    # also after the odd row or column that halving leaves out.
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(60, 2500, 2))
    side = int(min(height, width) * rng.uniform(0.3, 0.8))
    x0, y0 = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
    image = np.zeros((height, width, 3), np.uint8)
    image[y0 : y0 + side, x0 : x0 + side] = 255
    canvas, (scale_x, scale_y) = letterbox(image, 320, 320)
    lit = canvas[..., 0] / 255.0
    row = lit[int((y0 + side / 2) * scale_y)]
    column = lit[:, int((x0 + side / 2) * scale_x)]
    for profile, start, scale in ((row, x0, scale_x), (column, y0, scale_y)):
        first = int(np.argmax(profile > 0.5))
        last = len(profile) - int(np.argmax(profile[::-1] > 0.5))
        assert abs(first - start * scale) <= 1.0
        assert abs(last - (start + side) * scale) <= 1.0


# Crop


def reference_crop(image, box, side):
    """Cut a square around a box's centre from the image with wide padding.

    The padding repeats the nearest pixels.
    """
    pad = 200
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    left = round((box[0] + box[2]) / 2 - side / 2) + pad
    top = round((box[1] + box[3]) / 2 - side / 2) + pad
    return padded[top : top + side, left : left + side]


@pytest.mark.parametrize(
    "box",
    [
        (20, 30, 40, 50),  # inside
        (-10, 30, 10, 50),  # beyond the left
        (50, -8, 70, 12),  # beyond the top
        (95, 30, 115, 50),  # beyond the right
        (40, 72, 60, 92),  # beyond the bottom
        (90, 70, 110, 90),  # beyond a corner
        (-30, -40, 130, 120),  # beyond everything
    ],
)
def test_crop_is_the_square_of_the_box(box):
    # No margin and no resizing: pixel for pixel what the definition says, also where it leaves the image.
    image, side = noise(80, 100), int(box[2] - box[0])
    assert np.array_equal(crop(image, np.array(box), 0.0, side), reference_crop(image, box, side))


def test_margin_is_added_in_all_not_on_each_side():
    image, box = noise(80, 100), (30, 30, 50, 50)
    assert np.array_equal(crop(image, np.array(box), 0.2, 24), reference_crop(image, box, 24))


@pytest.mark.parametrize("box", [(20, 35, 60, 45), (35, 20, 45, 60)])
def test_long_box_is_cut_as_a_square_of_its_longer_side(box):
    # Not squeezed: an edge-on galaxy must not look like a round one.
    image = noise(80, 100)
    assert np.array_equal(crop(image, np.array(box), 0.0, 40), reference_crop(image, box, 40))


@pytest.mark.parametrize("seed", range(20))
def test_crop_is_centred_to_a_pixel(seed):
    # A point at the centre of the box is at the centre of the crop.
    rng = np.random.default_rng(seed)
    centre, side = rng.uniform(60, 140, 2), int(rng.integers(20, 60))
    image = np.zeros((200, 200, 3), np.uint8)
    image[int(centre[1]), int(centre[0])] = 255
    found = crop(image, np.concatenate([centre - side / 2, centre + side / 2]), 0.0, side)
    y, x = np.unravel_index(np.argmax(found[..., 0]), found.shape[:2])
    assert abs(x + 0.5 - side / 2) <= 1.0 and abs(y + 0.5 - side / 2) <= 1.0


@pytest.mark.parametrize("box", [(10, 10, 10, 10), (10.2, 10.2, 10.6, 10.4), (0, 0, 1, 1), (99, 79, 100, 80)])
def test_tiny_box_still_gives_an_image(box):
    assert crop(noise(80, 100), np.array(box), 0.2, 64).shape == (64, 64, 3)


def test_crop_of_a_single_pixel_is_flat():
    image = np.full((1, 1, 3), (1, 2, 3), np.uint8)
    assert np.all(crop(image, np.array([0, 0, 1, 1]), 0.2, 32) == (1, 2, 3))


@pytest.mark.parametrize("box", [(-60, 10, -20, 50), (10, 200, 50, 240), (101, 81, 140, 120), (120, -50, 160, -10)])
def test_box_outside_the_image_is_refused(box):
    with pytest.raises(ValueError, match="outside the image of 100x80"):
        crop(noise(80, 100), np.array(box), 0.0, 64)


def test_crop_does_not_change_or_share_the_image():
    image = noise(80, 100)
    before = image.copy()
    found = crop(image, np.array([10, 10, 74, 74]), 0.0, 64)
    found[:] = 0
    assert np.array_equal(image, before), "drawing on a crop must not draw on the frame"
