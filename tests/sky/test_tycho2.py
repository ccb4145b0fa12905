"""The star catalogue: searches, and files that are not what they should be."""

import numpy as np
import pytest
from galaxy_edge.sky.tycho2 import FOLDERS, StarCatalogueError, find_tycho2, open_tycho2, unit_vectors
from helpers.star_index import write_star_index


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """Stars over the whole sky, and their index."""
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, 4000), np.degrees(np.arcsin(rng.uniform(-1, 1, 4000)))
    magnitude = rng.uniform(2, 13, 4000)
    path = tmp_path_factory.mktemp("tycho") / "index.fits"
    write_star_index(path, ra, dec, magnitude)
    return path, ra, dec, magnitude


@pytest.mark.parametrize(
    ("ra", "dec", "radius"), [(0.0, 0.0, 5), (359.9, 30, 8), (77, 90, 10), (10, -90, 6), (190, 41, 0.01), (5, 5, 180)]
)
def test_a_circle_has_the_stars_of_a_search_through_all(sky, ra, dec, radius):
    path, *stars, magnitude = sky
    angle = np.degrees(np.arccos(np.clip(unit_vectors(*stars) @ unit_vectors([ra], [dec])[0], -1, 1)))
    expected = np.sort(magnitude[(angle <= radius) & (magnitude <= 11)])
    found = open_tycho2(path).within(ra, dec, radius, faintest=11)
    np.testing.assert_allclose(found.magnitude, expected, atol=1e-5)
    assert np.all((found.ra >= 0) & (found.ra < 360))


def test_positions_are_exact(sky):
    path, ra, dec, _ = sky
    found = open_tycho2(path).within(ra[7], dec[7], 0.001)
    assert (found.ra[0], found.dec[0]) == pytest.approx((ra[7], dec[7]), abs=1e-6)


def test_a_missing_file_says_which_package_brings_it(tmp_path):
    with pytest.raises(StarCatalogueError, match=r"missing.*sudo apt install astrometry-data-tycho2-07"):
        open_tycho2(tmp_path / "no.fits")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_a_file_cut_short_is_refused(sky, tmp_path, share):
    content = sky[0].read_bytes()
    short = tmp_path / "short.fits"
    short.write_bytes(content[: int(share * len(content))])
    with pytest.raises(StarCatalogueError, match="apt install --reinstall"):
        open_tycho2(short)


def test_other_files_are_refused(tmp_path):
    other = tmp_path / "other.fits"
    other.write_bytes(b"SIMPLE  =                    T" + b" " * 5000)
    with pytest.raises(StarCatalogueError, match="cannot be read"):
        open_tycho2(other)


def test_the_catalogue_of_debian_has_the_sky(monkeypatch):
    """Betelgeuse, VT 0.77, and the stars around M 94; only these are read."""
    monkeypatch.delenv("GALAXY_EDGE_TYCHO2", raising=False)
    if not find_tycho2(FOLDERS):
        pytest.skip("the package astrometry-data-tycho2-07-littleendian is not installed")
    catalogue = open_tycho2()
    red = catalogue.within(88.7929, 7.4071, 0.01)
    assert len(red) == 1 and red.magnitude[0] == pytest.approx(0.769, abs=0.001)
    assert len(catalogue.within(192.72, 41.12, 0.7)) == 22
