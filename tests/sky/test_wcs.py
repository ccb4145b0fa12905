"""The WCS of a frame, compared with astropy."""

import numpy as np
import pytest
from galaxy_edge.sky.angles import direction, separation
from galaxy_edge.sky.sip import Sip
from galaxy_edge.sky.wcs import Wcs


def make_wcs(ra=187.0, dec=41.0, angle=30.0, mirror=1, sip=False, scale=2.4):
    turn, step = np.radians(angle), scale / 3600
    cd = step * np.array([[-np.cos(turn), np.sin(turn)], [-np.sin(turn), -np.cos(turn)]]) @ np.diag([mirror, 1])
    distortion = None
    if sip:
        x, y = np.zeros((3, 3)), np.zeros((3, 3))
        x[2, 0], x[1, 1], y[0, 2] = 3e-6, -2e-6, 4e-6
        distortion = Sip(x, y)
    return Wcs((ra, dec), (500.0, 900.0), cd, 1080, 1920, distortion)


def points():
    return np.random.default_rng(1).uniform(0, 1080, (50, 2))


@pytest.mark.parametrize(("ra", "dec"), [(187.0, 41.0), (0.01, -20.0), (120.0, 89.95), (120.0, -89.95), (5.0, 90.0)])
@pytest.mark.parametrize("sip", [False, True])
def test_positions_are_those_of_astropy(ra, dec, sip):
    from astropy.wcs import WCS

    ours = make_wcs(ra, dec, sip=sip)
    theirs, xy = WCS(ours.to_header()), points()
    expected = theirs.all_pix2world(xy + 0.5, 1)
    found = ours.to_sky(xy)
    assert separation(*found.T, *expected.T).max() * 3600 < 1e-6
    assert np.abs(ours.to_pixels(found) - xy).max() < 1e-5


@pytest.mark.parametrize("sip", [False, True])
def test_a_header_is_read_as_it_was_written(sip):
    ours = make_wcs(sip=sip)
    again = Wcs.from_header(ours.to_header() | {"NAXIS1": 1080, "NAXIS2": 1920})
    assert again is not None and (again.width, again.height) == (1080, 1920)
    assert np.allclose(again.to_sky(points()), ours.to_sky(points()), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "keys",
    [
        {"CDELT1": -0.001, "CDELT2": 0.001, "CROTA2": 20.0},
        {"CDELT1": -0.001, "CDELT2": 0.001, "PC1_1": 0.9, "PC1_2": -0.3, "PC2_1": 0.3, "PC2_2": 0.9},
        {"CDELT1": -0.001, "CDELT2": 0.001},
    ],
)
def test_older_forms_of_the_matrix_are_read_as_astropy_does(keys):
    from astropy.wcs import WCS

    header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 50.0, "CRPIX1": 100.0,
              "CRPIX2": 120.0, "NAXIS1": 300, "NAXIS2": 300} | keys  # fmt: skip
    found = Wcs.from_header(header)
    assert found is not None
    expected = WCS({key: value for key, value in header.items() if "NAXIS" not in key}).all_pix2world(points() + 0.5, 1)
    assert np.allclose(found.to_sky(points()), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        {"CTYPE1": "GLON-TAN"}, {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}, {"EQUINOX": 1950.0}, {"RADESYS": "FK4"},
        {"CRVAL1": "unknown"}, {"CRVAL2": 91.0}, {"CD1_1": 0.0, "CD1_2": 0.0}, {"CRPIX1": float("nan")},
        {"LONPOLE": 90.0}, {"NAXIS1": None},
        {"CD1_1": 5.0, "CD2_2": 5.0}, {"CD1_1": 1e308, "CD2_2": -1e308}, {"CRPIX1": 1e9}, {"CRVAL1": 1e300},
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_no_wcs(change):
    assert Wcs.from_header(make_wcs().to_header() | {"NAXIS1": 10, "NAXIS2": 10} | change) is None


@pytest.mark.parametrize("coefficient", [1.0, 1e30, 1e300])
def test_a_distortion_across_the_frame_is_not_believed(coefficient):
    header = make_wcs(sip=True).to_header() | {"NAXIS1": 1080, "NAXIS2": 1920}
    assert Wcs.from_header(header | {"A_2_0": coefficient}) is None


def test_a_small_crop_far_from_the_reference_point_keeps_its_distortion():
    crop = make_wcs(sip=True).cropped(5000, 3000, 12, 12)
    assert Wcs.from_header(crop.to_header(), 12, 12) is not None


def test_an_equinox_in_words_is_read():
    assert Wcs.from_header(make_wcs().to_header() | {"EQUINOX": "J2000.0"}, 10, 10) is not None


def test_scale_rotation_and_mirror():
    wcs = make_wcs(angle=30.0)
    assert wcs.scale == pytest.approx(2.4) and not wcs.mirrored
    assert make_wcs(mirror=-1).mirrored
    x, y = wcs.crpix
    above = wcs.to_sky(np.array([[x, y], [x, y - 10]]))
    assert direction(*above[0], *above[1]) % 360 == pytest.approx(wcs.rotation % 360, abs=1e-3)
    left = wcs.to_sky(np.array([[x - 10, y]]))[0]  # east is 90 degrees to the left of north, seen from inside
    assert direction(*above[0], *left) == pytest.approx((wcs.rotation + 90) % 360, abs=1e-3)


@pytest.mark.parametrize("sip", [False, True])
def test_a_shifted_wcs_follows_the_sky(sip):
    wcs, turn = make_wcs(sip=sip), np.radians(12)
    motion = np.array([[np.cos(turn), -np.sin(turn), 30.0], [np.sin(turn), np.cos(turn), -7.0]])
    moved = points() @ motion[:, :2].T + motion[:, 2]
    assert np.allclose(wcs.shifted(motion).to_sky(moved), wcs.to_sky(points()), rtol=0, atol=1e-9)


@pytest.mark.parametrize("sip", [False, True])
def test_crops_and_binned_frames(sip):
    wcs = make_wcs(sip=sip)
    crop, half = wcs.cropped(100, 200, 50, 60), wcs.binned(2)
    assert (crop.width, crop.height, half.width, half.height) == (50, 60, 540, 960)
    assert np.allclose(crop.to_sky(points() - (100, 200)), wcs.to_sky(points()), rtol=0, atol=1e-10)
    assert np.allclose(half.to_sky(points() / 2), wcs.to_sky(points()), rtol=0, atol=1e-9)


def test_the_other_side_of_the_sky_has_no_pixel():
    assert np.isnan(make_wcs().to_pixels(np.array([[7.0, -41.0]]))).all()


def test_centre_and_radius_of_a_field():
    wcs = make_wcs(ra=0.0, dec=0.0)
    assert wcs.radius == pytest.approx(np.hypot(540, 960) * 2.4 / 3600, rel=0.08)
    assert separation(*wcs.centre, 0.0, 0.0) < 0.1
