"""The report's augmentation is within its limits and agrees with scipy and Keras."""

import cv2
import numpy as np
import pytest
from galaxy_edge.models.preprocess import crop, resize
from galaxy_edge.training.augmentation.presets import AUGMENTATIONS, REPORT, TURNED, AffineAugmentation, warp_matrix
from galaxy_edge.training.augmentation.views import prepare

SIZE = 69


def smooth(size=SIZE):
    """Return a smooth image without symmetry, whose rim shows the fill.

    It is so smooth that interpolation hardly matters elsewhere.
    """
    y, x = np.mgrid[:size, :size] / size
    planes = [np.sin(3 * x + 2 * y), np.cos(4 * y - x), np.exp(-8 * ((x - 0.3) ** 2 + (y - 0.6) ** 2))]
    return np.clip(120 + 100 * np.stack(planes, axis=2), 0, 255).astype(np.uint8)


def taken_apart(matrix, warp):
    """Find what a matrix was drawn from.

    Turn and shear in degrees, zooms, handedness, and shift over the side.

    A turn, a shear, then scales: the columns are turned by the same angle but for the shear, and what is mirrored
    shows in the sign of the determinant.
    """
    linear = matrix[:, :2]
    hand = np.sign(np.linalg.det(linear))
    flips = np.array([hand, 1.0]) if warp.mirror[0] else np.ones(2)
    linear = linear * flips
    turn = np.arctan2(linear[0, 1], linear[1, 1])
    cosine, sine = np.cos(turn), np.sin(turn)
    sheared = np.array([[cosine, -sine], [sine, cosine]]) @ linear  # turned back
    shear = np.arctan2(-sheared[1, 0], sheared[0, 0])
    zooms = np.hypot(*sheared[:, 0]), sheared[1, 1]
    middle = np.full(2, (SIZE - 1) / 2)
    shift = (matrix @ [*middle, 1] - middle) / SIZE
    assert sheared[0, 1] == pytest.approx(0, abs=1e-9)
    return np.rad2deg(turn), np.rad2deg(shear), *zooms, hand, *shift


def test_matrices_stay_within_the_parameters_and_reach_them():
    rng = np.random.default_rng(3)
    drawn = np.array([taken_apart(warp_matrix(SIZE, REPORT, rng), REPORT) for _ in range(2000)])
    low, high = [-40, -0.2, 0.8, 0.8, -1, -0.2, -0.1], [40, 0.2, 1.2, 1.2, 1, 0.2, 0.1]
    assert (drawn >= np.array(low) - 1e-6).all() and (drawn <= np.array(high) + 1e-6).all()
    span = np.array(high) - low
    assert (np.ptp(drawn, axis=0) > 0.98 * span).all()
    # Uniform, so in the middle on average: six standard errors of a uniform mean.
    assert (np.abs(drawn.mean(axis=0) - (np.array(low) + high) / 2) < 6 * span / np.sqrt(4 * 2000)).all()


def drawn_by_report(image, seed):
    """Draw a view, and the matrix that the same state of the generator gives."""
    canvas = prepare(image, None, 0.3)
    # A canvas of the network's own size is not scaled, so that what is warped is known to the level.
    canvas = type(canvas)(image, float(len(image)), canvas.sky, canvas.peak)
    view = AUGMENTATIONS["report"](canvas, SIZE, np.random.default_rng(seed))
    return view, warp_matrix(SIZE, REPORT, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(6))
def test_view_is_what_scipy_makes_of_the_matrix(seed):
    ndimage = pytest.importorskip("scipy.ndimage")
    image = smooth()
    view, matrix = drawn_by_report(image, seed)
    linear = matrix[::-1, 1::-1]  # scipy counts rows first
    expected = np.stack(
        [
            ndimage.affine_transform(plane.astype(float), linear, matrix[::-1, 2], order=1, mode="nearest")
            for plane in np.moveaxis(image, 2, 0)
        ],
        axis=2,
    )
    # OpenCV interpolates in 32nds of a pixel and rounds.
    assert np.abs(view - expected).max() < 2.5 and np.abs(view - expected).mean() < 0.6
    assert np.abs(view.astype(float) - image).mean() > 5  # and it did move


@pytest.mark.parametrize("seed", range(3))
def test_view_is_what_keras_makes_of_the_parameters(seed):
    # The generator that the report used, as Keras still carries it, given the turn, shear, zooms and shift drawn.
    legacy = pytest.importorskip("keras.src.legacy.preprocessing.image")
    image = smooth()
    view, matrix = drawn_by_report(image, seed)
    turn, shear, across, down, hand, columns, rows = taken_apart(matrix, REPORT)
    # Keras turns its shift too; and it flips after it has moved.
    cosine, sine = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    shift = np.array([[cosine, sine], [-sine, cosine]]) @ [rows * SIZE, columns * SIZE]
    expected = legacy.apply_affine_transform(
        image.astype(float),
        turn,
        shift[0],
        shift[1],
        shear,
        down,
        across,
        row_axis=1,
        col_axis=0,
        channel_axis=2,
        fill_mode="nearest",  # so it keeps rows before columns
    )
    expected = expected[:, ::-1] if hand < 0 else expected
    assert np.abs(view - expected).max() < 2.5


def test_report_views_keep_the_orientation_and_turned_views_do_not():
    def ups(warp):
        rng = np.random.default_rng(4)
        matrices = np.array([warp_matrix(SIZE, warp, rng)[:, :2] for _ in range(400)])
        up = np.rad2deg(np.arctan2(matrices[:, 0, 1], matrices[:, 1, 1]))
        return up, np.linalg.det(matrices)

    up, hands = ups(REPORT)
    assert np.abs(up).max() < 41
    assert 0.4 < (hands < 0).mean() < 0.6
    up, hands = ups(TURNED)
    for hand in (hands < 0, hands > 0):
        # An eighth of the turns in each of eight sectors, for either hand: no sector is empty, or nearly so.
        assert np.histogram(up[hand], 8, (-180, 180))[0].min() > 8


def test_warp_without_parameters_is_the_identity():
    still = AffineAugmentation(rotation=0, shift=(0, 0), shear=0, zoom=0, mirror=(False, False))
    assert warp_matrix(SIZE, still, np.random.default_rng(0)) == pytest.approx(np.eye(2, 3))


def test_without_augmentation_inputs_are_those_of_evaluation():
    image = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 255, (150, 150, 3), np.uint8), (0, 0), 4)
    whole, box = image[:88, :88], np.array([40, 45, 100, 95], np.float32)
    still = np.random.default_rng(0)
    assert np.array_equal(AUGMENTATIONS["none"](prepare(whole, None, 0.3), SIZE, still), resize(whole, SIZE, SIZE))
    boxed = AUGMENTATIONS["none"](prepare(image, box, 0.3), SIZE, still).astype(float)
    assert np.abs(boxed - crop(image, box, 0.3, SIZE)).mean() < 1  # resampled twice


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_views_are_images_and_repeatable(name):
    canvas = prepare(smooth(120), np.array([30, 30, 90, 80], np.float32), 0.3)
    first, again, other = (AUGMENTATIONS[name](canvas, 48, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (48, 48, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) is (name == "none")
