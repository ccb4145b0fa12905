"""Which catalogued object a box is, and where it is on the sky."""

import math

import numpy as np
import pytest
from galaxy_edge.sky.catalogue.objects import CatalogueObject
from galaxy_edge.sky.catalogue.openngc import OpenNgc, select_within
from galaxy_edge.sky.matching import SkyMatcher, light_angle
from galaxy_edge.sky.solution import Solution
from galaxy_edge.sky.wcs import Wcs

pytest.importorskip("pyongc", reason="needs the sky extra")
SCALE = 2.375
SIZE = (1080, 1920)


def solution(ra, dec, rotation=0.0, mirrored=False, scale=SCALE, residual=1.0):
    """A frame of a Seestar's size, its centre at a position."""
    turn = math.radians(rotation)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    cd = scale / 3600 * np.diag([1.0 if mirrored else -1.0, -1.0]) @ matrix
    wcs = Wcs((ra, dec), (SIZE[0] / 2, SIZE[1] / 2), cd, *SIZE)
    return Solution(wcs, "header", residual_arcsec=residual)


def box(solved, ra, dec, arcsec, off=(0.0, 0.0)):
    """A square box around a position, its centre `off` arcsec to the right and down."""
    centre = solved.wcs.to_pixels(np.array([[ra, dec]]))[0] + np.array(off) / solved.wcs.scale
    half = arcsec / 2 / solved.wcs.scale
    return np.concatenate([centre - half, centre + half])[None].astype(np.float32)


def identify(name, arcsec, off=(0.0, 0.0), where=None, **options):
    """Identify a box at a catalogued object, in a frame around it."""
    item = OpenNgc().find(name)
    solved = solution(*(where or (item.ra + 0.1, max(-89.9, min(89.9, item.dec + 0.1)))), **options)
    (found,) = SkyMatcher(OpenNgc()).identify(solved, box(solved, item.ra, item.dec, arcsec, off))
    return found


@pytest.mark.parametrize("rotation", [0.0, 137.0])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("arcsec", [130, 260, 670])
def test_m_94_is_named_whatever_part_of_its_light_the_box_holds(arcsec, mirrored, rotation):
    """One frame of a small telescope shows its inner disk, a stack all of it."""
    found = identify("M 94", arcsec, off=(8.0, -6.0), mirrored=mirrored, rotation=rotation)
    assert (found.object_name, found.object_kind, found.object_type) == ("M 94", "galaxy", "SABa")
    assert found.object_separation == pytest.approx(10.0, abs=0.3) and found.sky_note is None
    assert (found.ra, found.dec) == pytest.approx((192.7211, 41.1204), abs=0.005)
    assert found.size_arcsec == pytest.approx(arcsec, rel=0.01) and found.is_galaxy


@pytest.mark.parametrize(
    ("name", "arcsec", "off", "kind"),
    [
        ("NGC 7023", 200, (60, 60), "reflection nebula"), ("NGC 7023", 500, (0, 0), "reflection nebula"),
        ("M 13", 300, (0, 0), "globular cluster"), ("M 57", 80, (5, 0), "planetary nebula"),
        ("M 27", 300, (20, 0), "planetary nebula"), ("M 1", 300, (10, 10), "supernova remnant"),
    ],
)  # fmt: skip
def test_what_is_extended_and_not_a_galaxy_is_named_and_taken_out(name, arcsec, off, kind):
    found = identify(name, arcsec, off)
    assert (found.object_name, found.object_kind, found.is_galaxy) == (name, kind, False)
    assert found.label == f"{name}, {kind}"


@pytest.mark.parametrize("name", ["NGC 3172", "NGC 7814", "NGC 7832", "NGC 2573"])
def test_near_the_poles_and_right_ascension_0(name):
    """NGC 3172 and 2573 are the galaxies nearest to the poles."""
    assert identify(name, 80, off=(3.0, 0.0)).object_name == name


def test_neighbours_are_told_apart_and_a_merged_box_is_named_after_the_brighter():
    companion = identify("NGC 5195", 150)
    assert companion.object_name == "NGC 5195" and "M 51" not in companion.object_neighbours
    merged = identify("M 51", 700, off=(0.0, -100.0))
    assert merged.object_name == "M 51" and "NGC 5195" in merged.object_neighbours


def test_a_companion_and_an_empty_part_of_a_large_galaxy_are_not_the_large_galaxy():
    """M 31 is 3 degrees long; M 32 and what is not catalogued lie on it."""
    assert identify("M 32", 200, where=(10.7, 41.0)).object_name == "M 32"
    assert identify("M 31", 100, off=(1500.0, 900.0)).object_name is None
    assert identify("M 31", 600, off=(30.0, 0.0)).object_name == "M 31"


def test_a_galaxy_behind_an_open_cluster_stays_a_galaxy():
    """The Hyades are 5 degrees wide."""
    found = identify("Hyades", 60, off=(700.0, 300.0))
    assert found.object_name is None and found.is_galaxy


class One:
    """A catalogue of one faint galaxy in the centre of a frame."""

    def __init__(self, major):
        self.item = CatalogueObject("faint", (), "galaxy", 100.0, 20.0, major, 0.75 * major, 0.0, 16.0)

    def within(self, ra, dec, radius, *, extent=False):
        return select_within([self.item], ra, dec, radius, extent)

    def identify(self, arcsec, off, residual=1.0):
        solved = solution(100.0, 20.0, residual=residual)
        return SkyMatcher(self).identify(solved, box(solved, 100.0, 20.0, arcsec, off))[0]


def test_a_faint_galaxy_at_the_edge_of_a_large_box_is_a_neighbour_only():
    found = One(20.0).identify(300.0, off=(130.0, 100.0))
    assert found.object_name is None and found.object_neighbours == ("faint",)


def test_the_error_of_the_solution_widens_the_search():
    assert One(12.0).identify(15.0, off=(20.0, 0.0)).object_name is None
    assert One(12.0).identify(15.0, off=(20.0, 0.0), residual=8.0).object_name == "faint"


def test_empty_sky_says_within_what_distance_nothing_is_catalogued():
    solved = solution(60.0, 55.0)
    (found,) = SkyMatcher(OpenNgc()).identify(solved, box(solved, 60.0, 55.0, 120.0))
    assert found.object_name is None and found.sky_note == "nothing catalogued within 60 arcsec"


def test_without_a_catalogue_there_are_positions_without_names():
    solved = solution(192.7, 41.1)
    (found,) = SkyMatcher(None, "not named").identify(solved, box(solved, 192.72, 41.12, 200.0))
    assert found.is_known and found.object_name is None and found.sky_note == "not named"


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0.0, 30.0, 200.0])
def test_position_angle_of_the_light_is_measured_from_north_to_east(rotation, mirrored):
    """An edge-on galaxy drawn at a position angle of 105 degrees."""
    solved = solution(192.7, 41.1, rotation, mirrored)
    centre = np.array([400.0, 500.0])
    (ra, dec), turn = solved.wcs.to_sky(centre[None])[0], math.radians(105.0)
    ahead = np.array([ra + 0.01 * math.sin(turn) / math.cos(math.radians(dec)), dec + 0.01 * math.cos(turn)])
    x, y = solved.wcs.to_pixels(ahead[None])[0] - centre
    length = math.hypot(x, y)
    rows, columns = np.mgrid[:1000, :800] + 0.5
    along = ((columns - centre[0]) * x + (rows - centre[1]) * y) / length
    across = ((rows - centre[1]) * x - (columns - centre[0]) * y) / length
    light = 200 * np.exp(-((along / 20) ** 2 + (across / 6) ** 2)) + 30
    pixels = np.repeat(light[..., None], 3, axis=2).astype(np.uint8)
    bounds = np.concatenate([centre - 40, centre + 40])
    (found,) = SkyMatcher(None).identify(solved, bounds[None], [light_angle(pixels, bounds)])
    assert found.position_angle == pytest.approx(105.0, abs=1.5)


def test_round_light_and_none_have_no_angle():
    rows, columns = np.mgrid[:80, :80] - 40.0
    light = 200 * np.exp(-(rows**2 + columns**2) / 200)
    assert light_angle(np.repeat(light[..., None], 3, axis=2).astype(np.uint8), np.array([10, 10, 70, 70])) is None
    assert light_angle(np.zeros((80, 80, 3), np.uint8), np.array([10, 10, 70, 70])) is None
    assert light_angle(np.zeros((80, 80, 3), np.uint8), np.array([10, 10, 12, 70])) is None
