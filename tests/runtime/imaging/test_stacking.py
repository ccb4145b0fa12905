"""Check stacking: less noise, stars as in the newest frame, outliers rejected."""

import datetime
import io
import zipfile

import cv2
import numpy as np
import pytest
from galaxy_edge.models.raw.front_end import develop
from galaxy_edge.runtime.frame import Frame
from galaxy_edge.runtime.imaging.sky_motion import SkyMotion, grey_thumbnail
from galaxy_edge.runtime.imaging.stacking import Stack

WIDTH, HEIGHT = 320, 240
TIME = datetime.datetime(2026, 11, 22, 21, tzinfo=datetime.UTC)
FAINT = (200.0, 90.0)  # a galaxy that one frame does not show


from helpers.stacks import developed, noise_of, shot, sky, stack_frames, stacked


@pytest.mark.parametrize(("drift", "turn"), [((0, 0), 0.0), ((0.7, -0.4), 0.0), ((0.3, 0.2), 0.1), ((4.0, 1.0), 0.0)])
def test_noise_falls_and_stars_stay_where_the_newest_frame_has_them(drift, turn):
    _, results = stacked(16, 20, drift=drift, turn=turn)
    assert [frame.stacked for frame in results[:3]] == [1, 2, 3] and results[-1].stacked == 16
    assert noise_of(results[-1]) < 0.45 * noise_of(results[0])  # a quarter, plus the noise of rounding to whole levels
    clean = shot(sky(), 19, drift=drift, turn=turn, noise=0.0)
    is_star = clean.pixels[..., 1] > 60  # the stars
    inner = np.zeros_like(is_star)
    inner[20:-20, 20:-20] = True  # the part that all frames of the stack cover
    difference = (results[-1].pixels[..., 1].astype(float) - clean.pixels[..., 1])[is_star & inner]
    assert is_star.sum() > 100 and np.abs(difference).mean() < 0.12 * clean.pixels[is_star][:, 1].mean()


def test_contrast_of_a_faint_galaxy_at_least_doubles():
    def contrast(frame):
        values = cv2.GaussianBlur(frame.pixels[..., 1].astype(np.float32), (0, 0), 3)
        x, y = (round(coordinate) for coordinate in FAINT)
        neighbourhood = values[y - 40 : y + 41, x - 40 : x + 41]
        return (values[y, x] - np.median(neighbourhood)) / (
            1.4826 * np.median(np.abs(neighbourhood - np.median(neighbourhood)))
        )

    _, results = stacked(16, 16, stars=sky(faint=3.0))
    assert contrast(results[-1]) > 2 * contrast(results[0])


@pytest.mark.parametrize("plane_frame", [0, 1, 5, 9])
def test_plane_leaves_no_trail_in_whichever_frame_it_appears(plane_frame):
    def draw_plane(pixels, number):
        if number == plane_frame:
            cv2.line(pixels, (0, 60), (319, 160), (255, 255, 255), 3)

    _, results = stacked(16, 10, draw_plane, drift=(0.5, 0.2))
    trail = np.zeros((HEIGHT, WIDTH), np.uint8)
    x, y = 0.5 * (9 - plane_frame), 0.2 * (9 - plane_frame)  # the sky has drifted on since
    cv2.line(trail, (round(x), round(60 + y)), (round(319 + x), round(160 + y)), 1, 3)
    clean = shot(sky(), 9, drift=(0.5, 0.2), noise=0.0)
    dark_trail = (trail == 1) & (clean.pixels[..., 1] < 20)
    dark_trail[:, :20] = dark_trail[:, -20:] = False
    assert np.median(results[-1].pixels[..., 1][dark_trail]) < 22


def test_hot_pixels_are_rejected_when_the_sky_drifts():
    def draw_hot_pixels(pixels, number):
        pixels[50:200:30, 40:300:30] = 250

    _, results = stacked(12, 12, draw_hot_pixels, drift=(1.5, 0.7))
    clean = shot(sky(), 11, drift=(1.5, 0.7), noise=0.0)
    is_hot = np.zeros((HEIGHT, WIDTH), bool)
    is_hot[50:200:30, 40:300:30] = clean.pixels[50:200:30, 40:300:30, 1] < 20
    assert np.median(results[0].pixels[..., 1][is_hot]) == 250 and np.median(results[-1].pixels[..., 1][is_hot]) < 30


def test_slew_starts_a_new_stack_without_ghosts():
    stack, motion = Stack(16), SkyMotion()
    for number in range(12):
        frame = shot(sky(seed=5 if number < 8 else 6), number)
        thumbnail = grey_thumbnail(frame.pixels)
        result = stack.add(frame, thumbnail, motion.update(thumbnail, 1))
        assert result.stacked == (number + 1 if number < 8 else number - 7)


def test_new_frame_size_and_dark_frame_start_a_new_stack():
    stack, motion = Stack(16), SkyMotion()
    for pixels in (shot(sky(), 0).pixels, shot(sky(), 1).pixels[::2, ::2].copy(), np.zeros((120, 160, 3), np.uint8)):
        thumbnail = grey_thumbnail(pixels)
        result = stack.add(Frame(pixels, TIME, "sky", 0), thumbnail, motion.update(thumbnail, 1))
        assert result.stacked == 1 and np.array_equal(result.pixels, pixels)


def sky_noise(plane):
    """Return a plane's (H, W) noise (MAD) without that of stars and gradients."""
    detail = plane.astype(float) - cv2.blur(plane.astype(np.float32), (15, 15))
    return 1.4826 * np.median(np.abs(detail))


def test_linear_values_are_averaged_and_their_mean_is_developed():
    """Stretched levels must not be averaged: faint light is below a level a frame."""
    _, results = stacked(8, 8, deep=True, drift=(0.4, 0.1))
    first, last = results[0], results[-1]
    assert last.stacked == 8 and last.stretch["kind"] == first.stretch["kind"]
    assert last.planes[0].dtype == np.float32 and np.array_equal(last.raw, last.planes[0])
    assert sky_noise(last.planes[0]) < 0.4 * sky_noise(first.planes[0])
    assert abs(np.median(last.raw) - np.median(first.raw)) < 0.1 * sky_noise(first.raw)  # in the source's own units
    assert np.array_equal(last.pixels, develop(last.raw).pixels)
    # The stretch is in units of the noise: in the stack, a star is more of them.
    bright = shot(sky(), 7, drift=(0.4, 0.1), noise=0.0).pixels[..., 0] > 60
    assert last.pixels[bright].mean() > first.pixels[bright].mean() + 20


@pytest.mark.parametrize(
    "scale", [1 / 65535, 0.02, 1e6, 1e-15], ids=["0 to 1", "electrons a second", "large", "fluxes"]
)
def test_result_does_not_depend_on_the_unit_of_the_values(scale):
    """Rejection is relative to the noise: floats of 0..1 stack as 16-bit levels do."""

    def frames(factor):
        for number in range(8):
            raw = shot(sky(), number, deep=True, drift=(0.5, 0.2)).raw.copy()
            if number == 5:
                cv2.line(raw, (0, 60), (319, 160), 9000, 3)
            yield developed(raw if factor is None else raw.astype(np.float32) * np.float32(factor), number)

    counts, floats = stack_frames(frames(None)), stack_frames(frames(scale))
    assert [frame.stacked for frame in floats] == [frame.stacked for frame in counts] == list(range(1, 9))
    difference = np.abs(counts[-1].pixels.astype(int) - floats[-1].pixels)
    assert difference.max() <= 3 and difference.mean() < 0.1
    assert np.allclose(floats[-1].raw / np.float32(scale), counts[-1].raw, rtol=0.01)  # in the source's own units
    trail = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.line(trail, (1, 60), (320, 160), 1, 1)
    clean = shot(sky(), 7, drift=(0.5, 0.2), noise=0.0).pixels[..., 0] < 20
    inner = np.s_[20:-20, 20:-20]
    assert np.median(floats[-1].pixels[inner][((trail == 1) & clean)[inner]]) <= np.median(floats[-1].pixels) + 6


def test_nan_pixels_do_not_enter_the_mean():
    """A masked pixel counts as 0 in a developed frame; it would darken a mean."""

    def frames():
        for number in range(6):
            raw = shot(sky(), number, deep=True).raw.astype(np.float32)
            if number in (0, 3):
                raw[100:120, 50:80] = np.nan
            yield developed(raw, number)

    results = stack_frames(frames())
    patch, level = results[-1].planes[0][102:118, 52:78], np.median(results[-1].planes[0])
    assert results[-1].stacked == 6 and np.isfinite(results[-1].planes[0]).all()
    assert abs(np.median(patch) - level) < 60 and patch.min() > 300


def test_a_sky_that_brightens_stays_in_the_stack():
    """Moon, dusk and thin clouds raise all pixels by many times their noise."""

    def frames():
        for number in range(8):
            raw = shot(sky(), number, deep=True, drift=(0.4, 0.1)).raw
            yield developed(raw + np.uint16(400 * number), number)

    results = stack_frames(frames())
    assert results[-1].stacked == 8 and sky_noise(results[-1].planes[0]) < 0.4 * sky_noise(results[0].planes[0])


def rotated_frame(number, degrees, light=1.0, width=480, height=360):
    """Draw a 16-bit star field rotated around its centre; `light` scales stars."""
    random = np.random.default_rng(8)
    star_positions = random.uniform(-300, 300, (160, 2))
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    image = np.zeros((height, width), np.float32)
    for (x, y), flux in zip(
        star_positions @ matrix.T + (width / 2 + 0.3, height / 2 - 0.2), random.exponential(6, 160), strict=True
    ):
        if 8 <= x < width - 8 and 8 <= y < height - 8:
            rows, columns = np.mgrid[int(y) - 7 : int(y) + 8, int(x) - 7 : int(x) + 8]
            image[rows, columns] += light * 400 * flux * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 4.5)
    noisy = 1000 + image + np.random.default_rng(100 + number).normal(0, 30, image.shape)
    return developed(np.clip(noisy, 0, 65535).astype(np.uint16), number)


def relative_brightness(result, frame_number, degrees):
    """Return the median brightness of the brightest stars, stack over single frame."""
    truth = rotated_frame(frame_number, degrees).planes[0].astype(np.float32) - 1000
    stars = (truth > 2000) & (truth == cv2.dilate(truth, np.ones((5, 5), np.uint8)))
    assert stars.sum() > 8
    return float(np.median((result.planes[0][stars] - np.median(result.planes[0])) / truth[stars]))


@pytest.mark.parametrize("step", [0.05, 0.5, 1.5])
def test_rotating_field_is_stacked_without_smearing(step):
    """On an alt-az mount the field turns, by up to a degree a minute near the zenith."""
    results = stack_frames(rotated_frame(number, step * number) for number in range(12))
    assert [frame.stacked for frame in results] == list(range(1, 13))
    assert relative_brightness(results[-1], 11, 11 * step) == pytest.approx(1, abs=0.2)
    assert sky_noise(results[-1].planes[0]) < 0.4 * sky_noise(results[0].planes[0])


@pytest.mark.parametrize("gap", [3.0, 5.5, 20.0])
def test_gap_between_frames_resumes_the_stack_or_starts_a_new_one(gap):
    """The field rotates during a gap: two orientations must never be averaged."""
    angles = [0.1 * number + gap * (number >= 6) for number in range(12)]
    results = stack_frames(rotated_frame(number, angle) for number, angle in enumerate(angles))
    assert results[5].stacked == 6
    assert results[-1].stacked == (12 if gap < 10 else 6)
    for number in (6, 11):
        assert relative_brightness(results[number], number, angles[number]) == pytest.approx(1, abs=0.25)


def test_meridian_flip_keeps_the_stack_and_rotates_it():
    """A German mount turns the camera by 180 degrees at the meridian."""
    angles = [0.02 * number + 180 * (number >= 5) for number in range(10)]
    results = stack_frames(rotated_frame(number, angle) for number, angle in enumerate(angles))
    assert [frame.stacked for frame in results] == list(range(1, 11))
    for number in (5, 9):
        assert relative_brightness(results[number], number, angles[number]) == pytest.approx(1, abs=0.25)


def test_passing_cloud_does_not_suppress_stars():
    """A mean of cloudy frames must not reject the stars that reappear."""
    results = stack_frames(rotated_frame(number, 0.0, light=0.0 if 4 <= number < 8 else 1.0) for number in range(12))
    assert results[3].stacked == 4 and results[8].stacked == 1
    assert relative_brightness(results[-1], 11, 0.0) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("depth", [8, 16])
def test_all_real_frames_of_a_smart_telescope_are_stacked(shared_data, depth):
    """Noise falls with the square root of the number of stacked alt-az frames.

    The test has 20 frames of 10 s, with gaps.
    """
    fits = pytest.importorskip("astropy.io.fits", reason="needs the fits extra")
    archive = shared_data / "seestar_subs" / "m94_night1.zip"
    if not archive.exists():
        pytest.skip("needs the raw frames of M 94: seestar_subs")

    def frames():
        with zipfile.ZipFile(archive) as members:
            for number, name in enumerate(sorted(members.namelist())):
                with fits.open(io.BytesIO(members.read(name))) as units:
                    raw = np.ascontiguousarray(units[0].data.astype(np.uint16))
                    yield developed(raw, number, units[0].header["BAYERPAT"])

    results = stack_frames(frames(), depth)
    assert [frame.stacked for frame in results] == [min(number + 1, depth) for number in range(20)]
    for channel in range(3):
        pair_noise, stack_noise = (
            sky_noise(frame.planes[channel][100:-100, 100:-100]) for frame in (results[1], results[-1])
        )
        assert stack_noise < 1.25 * pair_noise * (2 / depth) ** 0.5  # two frames, not one: interpolation smooths both
    assert results[-1].raw.shape == (*results[-1].planes[0].shape, 3) and results[-1].cfa is None
    assert results[-1].source_size == (1080, 1920)


def test_frame_that_leaves_the_stack_leaves_no_trace():
    """Light that is in no frame of the stack any more must leave the running sums."""
    results = stack_frames(
        (
            developed(shot(sky(), number % 4, deep=True).raw + np.uint16(8 * (number < 8)), number)
            for number in range(12)
        ),
        4,
    )
    expected = stack_frames((developed(shot(sky(), number, deep=True).raw, number) for number in range(4)), 4)
    assert results[-1].stacked == 4
    difference = results[-1].planes[0] - expected[-1].planes[0]
    assert np.median(np.abs(difference - np.median(difference))) < 0.5


def test_smaller_depth_applies_from_the_next_frame():
    """The user changes the depth in the live view during a run."""
    stack, _ = stacked(4, 12, drift=(0.3, 0.0))
    stack.depth = 2
    frame = shot(sky(), 12, drift=(0.3, 0.0))
    moved = np.eye(3)
    moved[0, 2] = 12 * 0.3
    assert stack.add(frame, grey_thumbnail(frame.pixels), moved).stacked == 2


def test_frame_record_gives_the_number_of_stacked_frames():
    import json
    from importlib import resources

    import jsonschema
    from galaxy_edge.runtime.events.frame_record import frame_record
    from galaxy_edge.runtime.frame import Detections

    _, results = stacked(3, 3)
    detections = Detections.empty().with_probabilities(np.zeros((0, 2), np.float32))
    record = frame_record(results[-1], detections, ("a", "b"), {}).to_dict()
    jsonschema.validate(
        record, json.loads((resources.files("galaxy_edge.runtime.events") / "frame.schema.json").read_text())
    )
    assert record["stacked"] == 3 and "stacked" not in frame_record(results[0], detections, ("a", "b"), {}).to_dict()
