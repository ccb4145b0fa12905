"""The depth of frames, against the truth of simulated ones."""

import dataclasses
import datetime
import math

import numpy as np
import pytest
from galaxy_edge.models.raw.bayer import superpixels
from galaxy_edge.sky.catalogue.objects import CatalogueObject
from galaxy_edge.sky.depth import Completeness, FieldGalaxy, Transparency, field_galaxies
from galaxy_edge.sky.photometry import Photometry, measure_depth, pedestal_of
from galaxy_edge.sky.simulation.light import star_stamp
from galaxy_edge.sky.simulation.night import Night, NightOptions
from galaxy_edge.sky.simulation.telescopes import find_telescope
from galaxy_edge.sky.tycho2 import open_tycho2
from galaxy_edge.sky.wcs import Wcs
from helpers.star_index import write_star_index

RA, DEC = 200.0, 20.0
TELESCOPE = dataclasses.replace(find_telescope("seestar-s50"), width=700, height=700)
MEASURED = Photometry(20, 21.5, 0.01, 14.0, 8.0, 1.1, 1000.0, 60.0, 18.0)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    path = tmp_path_factory.mktemp("stars") / "index.fits"
    rng = np.random.default_rng(3)
    write_star_index(
        path, RA + rng.uniform(-0.22, 0.22, 40), DEC + rng.uniform(-0.2, 0.2, 40), rng.uniform(8.5, 11, 40)
    )
    return open_tycho2(path)


@pytest.mark.parametrize(("sky", "exposure", "clouds"), [(18.0, 10.0, 0.0), (20.0, 30.0, 0.0), (19.0, 10.0, 0.9)])
def test_the_limit_is_that_of_the_noise_and_the_width_of_stars(catalogue, sky, exposure, clouds):
    """The truth is 5 sigma of the best filter for the true profile of stars."""
    start = datetime.datetime(2026, 3, 20, tzinfo=datetime.UTC)
    options = NightOptions(RA, DEC, 1, exposure, 5, start, trail=0.0, clouds=clouds, sky=sky)
    night = Night(TELESCOPE, options, catalogue)
    frame = next(iter(night.frames()))
    green = superpixels(frame.mosaic, "GRBG", hot_pixels=False)[..., 1]
    found = measure_depth(green, frame.wcs.binned(2), catalogue, TELESCOPE.bias)
    stamp, _, _ = star_stamp(41.0, 41.0, TELESCOPE.fwhm / TELESCOPE.scale, (0.0, 0.0), 40)
    profile = stamp[:80, :80].reshape(40, 2, 40, 2).sum(axis=(1, 3))
    area = TELESCOPE.scale**2 * exposure
    electrons = 10 ** (-0.4 * (sky - TELESCOPE.zero_points[1])) * area
    noise = math.sqrt((electrons + TELESCOPE.read_noise**2) / 2 / float((profile**2).sum()))
    rate = 5 * noise * 4 / exposure / frame.transparency
    truth = TELESCOPE.zero_points[1] - 2.5 * math.log10(rate)
    assert found.stars >= 8
    assert found.limiting_magnitude == pytest.approx(truth, abs=0.15)
    if not clouds:
        assert found.sky_brightness == pytest.approx(sky, abs=0.1)


def test_a_frame_without_stars_has_no_limit(catalogue):
    noise = np.random.default_rng(1).normal(1000, 30, (200, 200)).astype(np.float32)
    wcs = Wcs((RA, DEC), (100.0, 100.0), np.array([[-0.001, 0], [0, -0.001]]), 200, 200)
    found = measure_depth(noise, wcs, catalogue)
    assert math.isnan(found.limiting_magnitude) and math.isnan(found.sky_brightness)


@pytest.mark.parametrize(
    ("header", "level"),
    [({"PEDESTAL": -100}, 100.0), ({"INSTRUME": "Seestar S50"}, 395.0), ({"PEDESTAL": "x"}, None), ({}, None)],
)
def test_the_level_without_light_is_that_of_the_header_or_the_camera(header, level):
    assert pedestal_of(header) == level


def test_galaxies_that_are_bright_and_large_are_expected():
    wcs = Wcs((RA, DEC), (100.0, 100.0), np.array([[-0.001, 0], [0, -0.001]]), 200, 200)
    objects = [
        CatalogueObject("bright", (), "galaxy", RA, DEC, 120.0, 90.0, 0.0, 9.0),
        CatalogueObject("faint", (), "galaxy", RA + 0.05, DEC, 120.0, 90.0, 0.0, 16.0),
        CatalogueObject("tiny", (), "galaxy", RA, DEC + 0.05, 5.0, 5.0, 0.0, 10.0),
        CatalogueObject("outside", (), "galaxy", RA, DEC + 1, 120.0, 90.0, 0.0, 9.0),
        CatalogueObject("nebula", (), "reflection nebula", RA, DEC, 120.0, 90.0, 0.0, 9.0),
    ]
    found = field_galaxies(objects, wcs, MEASURED, np.array([[90.0, 90.0, 110.0, 110.0]]))
    assert [(item.name, item.expected, item.found) for item in found] == [
        ("bright", True, True), ("faint", False, False), ("tiny", False, False),
    ]  # fmt: skip
    named = field_galaxies(objects, wcs, MEASURED, np.zeros((1, 4)), ("faint",))
    assert [item.found for item in named] == [False, True, False]


def test_a_galaxy_is_counted_once_a_night():
    counts = Completeness()
    counts.add([FieldGalaxy("A", 10.2, 22.5, 50, True, False), FieldGalaxy("B", 10.9, 23.1, 30, True, False)])
    counts.add([FieldGalaxy("A", 10.2, 22.5, 50, True, True)])
    assert counts.missed() == ["B"] and counts.totals() == (2, 1)
    assert counts.bins("magnitude") == [
        {"from": 10, "to": 11, "galaxies": 2, "expected": 2, "found": 1, "missed": 1}
    ]  # fmt: skip
    assert [entry["from"] for entry in counts.bins("surface_brightness")] == [22, 23]


def test_transparency_is_relative_to_the_best_frame():
    clear = Transparency()
    assert clear.add(MEASURED, 10.0) == 1.0
    assert clear.add(dataclasses.replace(MEASURED, zero_point=21.0), 10.0) == pytest.approx(0.631, abs=0.001)
    assert clear.add(dataclasses.replace(MEASURED, zero_point=22.5), 10.0, ("other filter",)) == 1.0
