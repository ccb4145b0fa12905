"""Altitudes and projections of the report, against astropy where it is installed."""

import numpy as np
import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.report.night import Place, night_from_name, night_of, parse_place
from galaxy_edge.runtime.report.sky_position import altitudes, dec_text, mean_position, project
from galaxy_edge.sky.angles import separation
from galaxy_edge.sky.coordinates import ra_text


def test_altitudes_agree_with_astropy():
    coordinates = pytest.importorskip("astropy.coordinates", reason="needs the fits extra")
    from astropy.time import Time
    from astropy.utils import iers

    place = Place(-33.3, 149.1)
    seconds = 1_735_689_600.0 + np.arange(0, 86_400, 7200.0)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        site = coordinates.EarthLocation.from_geodetic(place.longitude, place.latitude)
        frame = coordinates.AltAz(obstime=Time(seconds, format="unix"), location=site)
        expected = coordinates.SkyCoord(192.72, 41.12, unit="deg").transform_to(frame).alt.deg
    assert np.abs(altitudes(192.72, 41.12, seconds, place) - expected).max() < 0.4


def test_projection_has_east_and_north_in_degrees_also_at_the_pole():
    assert np.allclose(project(np.array([1.0, 0.0]), np.array([0.0, 1.0]), (0.0, 0.0)), [[1, 0], [0, 1]], atol=1e-3)
    ra, dec = mean_position(np.array([350.0, 10.0]), np.array([0.0, 0.0]))
    assert separation(ra, dec, 0.0, 0.0) < 1e-6
    assert mean_position(np.array([0.0, 90.0, 180.0, 270.0]), np.full(4, 89.0))[1] == pytest.approx(90.0)


@pytest.mark.parametrize(
    ("value", "shown"), [(192.7213, "12h50m53.1s"), (359.99999, "00h00m00.0s"), (0.0, "00h00m00.0s")]
)
def test_right_ascensions_are_rounded_as_a_whole(value, shown):
    assert ra_text(value) == shown


def test_declinations_keep_their_sign_near_the_equator():
    assert (dec_text(-0.5), dec_text(41.12), dec_text(59.99999)) == ("−00°30′00″", "+41°07′12″", "+60°00′00″")


def test_nights_of_a_place_begin_at_its_noon():
    """In America, the evening's date is that of the place, not of UTC."""
    place = parse_place("34.1,-118.3")
    assert night_of("2026-11-23T05:00:00.000Z", place).name == "2026-11-22"
    night = night_from_name("2026-11-22", place)
    assert night.since < "2026-11-22T20:00:00.000Z" < night.until == night_from_name("2026-11-23", place).since


@pytest.mark.parametrize("value", ["", "48", "48,16,3", "91,0", "0,181", "nan,0"])
def test_places_off_the_earth_are_refused(value):
    with pytest.raises(UsageError):
        parse_place(value)
