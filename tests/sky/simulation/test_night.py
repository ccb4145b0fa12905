"""A simulated night: the light of its sources, its noise, its files."""

import dataclasses
import datetime

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from galaxy_edge.errors import UsageError
from galaxy_edge.models.raw.bayer import superpixels
from galaxy_edge.sky.simulation.light import Galaxy, disk_scale_lengths, galaxy_stamp, star_stamp
from galaxy_edge.sky.simulation.night import Night, NightOptions
from galaxy_edge.sky.simulation.telescopes import find_telescope
from galaxy_edge.sky.simulation.writing import write_night
from galaxy_edge.sky.tycho2 import open_tycho2
from galaxy_edge.sky.wcs import Wcs
from helpers.star_index import write_star_index

RA, DEC = 192.7211, 41.1204  # M 94
SMALL = dataclasses.replace(find_telescope("seestar-s50"), width=400, height=300)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    """A few stars around M 94."""
    path = tmp_path_factory.mktemp("stars") / "index.fits"
    rng = np.random.default_rng(8)
    ra, dec = RA + rng.uniform(-0.2, 0.2, 40), DEC + rng.uniform(-0.15, 0.15, 40)
    write_star_index(path, ra, dec, rng.uniform(8.5, 10.5, 40))
    return open_tycho2(path)


def options(**changes):
    start = datetime.datetime(2026, 3, 20, 21, tzinfo=datetime.UTC)
    return NightOptions(RA, DEC, **({"frames": 2, "exposure": 10.0, "seed": 4, "start": start} | changes))


def test_the_same_seed_gives_the_same_bytes(catalogue, tmp_path):
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        list(write_night(Night(SMALL, options(seed=seed, satellites=1), catalogue), tmp_path / name, "M 94", False))
    first, second, third = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abc")
    assert first == second and first != third and len(first) == 4


def test_files_are_those_of_the_telescope(catalogue, tmp_path):
    path, *_ = write_night(Night(SMALL, options(), catalogue), tmp_path / "out", "M 94", False)
    header = fits.getheader(path)
    assert header["BAYERPAT"] == "GRBG" and header["FOCALLEN"] == 250 and header["XPIXSZ"] == 2.9
    assert header["RA"] == pytest.approx(RA, abs=0.3) and header["NAXIS1"] == 400 and header["BZERO"] == 32768
    assert "CTYPE1" not in header and "not an observation" in str(header["HISTORY"])
    truth = Table.read(tmp_path / "out" / "truth.ecsv", format="ascii.ecsv")
    galaxy = truth[(truth["name"] == "M 94") & (truth["frame"] == 0)]
    assert truth["ra"].unit == "deg" and galaxy["x"][0] == pytest.approx(200, abs=8)


def test_a_header_with_wcs_agrees_with_the_truth(catalogue, tmp_path):
    path, *_ = write_night(Night(SMALL, options(angle=70.0), catalogue), tmp_path / "out", "M 94", True)
    wcs = Wcs.from_header(dict(fits.getheader(path)))
    truth = Table.read(tmp_path / "out" / "truth.ecsv", format="ascii.ecsv")
    truth = truth[(truth["frame"] == 0) & (truth["kind"] == "star")]
    xy = wcs.to_pixels(np.stack([truth["ra"], truth["dec"]], axis=1))
    np.testing.assert_allclose(xy, np.stack([truth["x"], truth["y"]], axis=1), atol=1e-4)
    assert wcs.rotation == pytest.approx(70.0) and not wcs.mirrored


def test_programs_for_other_cameras_write_their_own_keywords(catalogue):
    from galaxy_edge.sky.simulation.writing import header_cards

    telescope = dataclasses.replace(find_telescope("nina-asi533mc"), width=200, height=200)
    night = Night(telescope, options(frames=1), catalogue)
    cards = header_cards(night, next(iter(night.frames())), "M 94")
    assert cards["OBJCTRA"].startswith("12 50 5") and cards["OBJCTDEC"].startswith("+41 0")
    assert cards["ROWORDER"] == "TOP-DOWN" and cards["FOCALLEN"] == 250


def test_stars_and_sky_have_their_brightness(catalogue):
    """A star's light is that of its magnitude, and the noise that of electrons."""
    night = Night(SMALL, options(frames=1, sky=18.0), catalogue)
    frame = next(iter(night.frames()))
    planes = superpixels(frame.mosaic, "GRBG", hot_pixels=False)
    green = planes[..., 1] - np.median(planes[..., 1])
    errors = []
    for row in frame.truth:
        others = [np.hypot(other.x - row.x, other.y - row.y) for other in frame.truth if other.kind == "star"]
        x, y = int(row.x / 2), int(row.y / 2)
        near = min(distance for distance in others if distance > 0)
        if row.kind == "star" and near > 20 and 9 <= x < 190 and 9 <= y < 140 and np.hypot(x - 100, y - 75) > 60:
            electrons = green[y - 8 : y + 9, x - 8 : x + 9].sum() * 4 * SMALL.gain / 10
            errors.append(SMALL.zero_points[1] - 2.5 * np.log10(electrons) - row.magnitude)
    assert len(errors) > 3 and abs(np.median(errors)) < 0.06
    corner = frame.mosaic[:60:2, :60:2].astype(float)
    expected = np.hypot(np.sqrt((np.median(corner) - SMALL.bias) * SMALL.gain), SMALL.read_noise) / SMALL.gain
    assert 1.4826 * np.median(np.abs(corner - np.median(corner))) == pytest.approx(expected, rel=0.15)


def test_a_new_star_appears_in_the_galaxy_when_it_is_due(catalogue):
    night = Night(SMALL, options(new_star=9.0, new_star_from=1), catalogue)
    before, after = night.frames()
    assert night.new_star.host == "M 94"
    assert not [row for row in before.truth if row.kind == "new star"]
    star = next(row for row in after.truth if row.kind == "new star")
    x, y = int(star.x), int(star.y)
    lit, dark = (frame.mosaic[y - 4 : y + 5, x - 4 : x + 5].astype(float).mean() for frame in (after, before))
    assert lit > dark + 200


def test_clouds_take_light(catalogue):
    frames = list(Night(SMALL, options(frames=30, clouds=0.8), catalogue)._weather)
    assert min(frames) < 0.7 and min(frames) >= 0.19 and max(frames) <= 1


@pytest.mark.parametrize(("x", "y"), [(50.0, 50.0), (50.37, 49.81)])
def test_a_star_has_all_of_its_light_at_its_position(x, y):
    stamp, x0, y0 = star_stamp(x, y, 3.0, (1.0, 0.5), 20)
    rows, columns = np.indices(stamp.shape)
    assert stamp.sum() == pytest.approx(1, abs=0.01)
    assert (stamp * (columns + 0.5 + x0)).sum() / stamp.sum() == pytest.approx(x, abs=0.02)
    assert (stamp * (rows + 0.5 + y0)).sum() / stamp.sum() == pytest.approx(y, abs=0.02)


@pytest.mark.parametrize("bulge", [0.0, 0.8])
def test_a_galaxy_has_all_of_its_light(bulge):
    stamp, x0, _ = galaxy_stamp(Galaxy(200, 200, 50, 0.6, 30, 4.0, bulge), 3.0, 400, 400)
    assert stamp.sum() == pytest.approx(1, abs=0.06)
    rows, columns = np.indices(stamp.shape)
    assert (stamp * (columns + 0.5 + x0)).sum() / stamp.sum() == pytest.approx(200, abs=0.1)
    angle = np.arctan2(
        *[
            np.linalg.eigh(np.cov(np.stack([columns, rows]).reshape(2, -1), aweights=stamp.ravel()))[1][i, 1]
            for i in (1, 0)
        ]
    )
    assert np.degrees(angle) % 180 == pytest.approx(30, abs=1)


def test_the_isophote_of_a_disk_is_at_its_radius():
    """M 94: 8.24 mag, 11.2' x 9.1'; the disk has 24.3 mag/arcsec2 at its radius."""
    x = disk_scale_lengths(8.24, 672, 0.81)
    h = 336 / x
    surface = 8.24 + 2.5 * np.log10(2 * np.pi * 0.81 * h**2) + 1.0857 * x
    assert surface == pytest.approx(24.3, abs=0.01)


def test_a_folder_with_frames_is_refused(catalogue, tmp_path):
    (tmp_path / "old.fit").write_bytes(b"")
    with pytest.raises(UsageError, match="new folder"):
        list(write_night(Night(SMALL, options(), catalogue), tmp_path, "M 94", False))


def test_the_field_of_view_is_that_of_the_option():
    telescope = find_telescope("seestar-s50").with_fov(10)
    assert telescope.fov == pytest.approx(10, rel=0.01) and telescope.aperture_mm < 10
    with pytest.raises(UsageError, match="known: seestar-s50"):
        find_telescope("hubble")
