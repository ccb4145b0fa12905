"""Where a telescope stands, by the keywords of headers."""

import pytest
from galaxy_edge.sky.site import site_of

VIENNA = pytest.approx((48.2083, 16.3725), abs=2e-4)


@pytest.mark.parametrize(
    "header",
    [
        {"SITELAT": 48.2083, "SITELONG": 16.3725}, {"SITELAT": "48 12 30", "SITELONG": "16 22 21"},
        {"SITELAT": "+48:12:30", "SITELONG": "16d22m21s E"}, {"LAT-OBS": 48.2083, "LONG-OBS": 376.3725 - 360},
        {"SITELAT": 0.0, "SITELONG": 0.0, "OBSGEO-B": 48.2083, "OBSGEO-L": 16.3725},
        {"OBSGEO-X": 4085921.4, "OBSGEO-Y": 1200421.4, "OBSGEO-Z": 4732492.1},
    ],
)  # fmt: skip
def test_keywords_of_several_programs(header):
    assert site_of(header) == VIENNA


def test_west_and_south():
    """Degrees to 360, a minus sign, and letters."""
    west = pytest.approx((-30.1, -70.8), abs=1e-6)
    assert site_of({"SITELAT": -30.1, "SITELONG": 289.2}) == west
    assert site_of({"SITELAT": "-30 06 00", "SITELONG": "-70 48 00"}) == west
    assert site_of({"SITELAT": "30 06 00 S", "SITELONG": "70 48 00 W"}) == west


@pytest.mark.parametrize(
    "header",
    [
        {}, {"SITELAT": 48.2}, {"SITELAT": 0, "SITELONG": 0}, {"SITELAT": "home", "SITELONG": "garden"},
        {"SITELAT": 91, "SITELONG": 10}, {"SITELAT": "nan", "SITELONG": 10.0}, {"SITELAT": "1.2.3 4", "SITELONG": 5},
        {"OBSGEO-X": 1.0, "OBSGEO-Y": 2.0, "OBSGEO-Z": 3.0}, {"SITELAT": None, "SITELONG": True},
    ],
)  # fmt: skip
def test_what_cannot_be_a_place_is_none(header):
    assert site_of(header) is None
