"""Times of FITS images, in the forms that programs write.

Other time scales are compared with astropy.
"""

import datetime

import pytest
from astropy.time import Time
from galaxy_edge.models.images.decoder import decode_image
from galaxy_edge.models.images.fits_time import observation_time
from galaxy_edge.runtime.sources.image_order import exposure_start
from helpers.mosaics import fits_file, scene

TAKEN = datetime.datetime(2026, 11, 20, 21, 4, 5, 250_000, tzinfo=datetime.UTC)


@pytest.mark.parametrize("header", [
    {"DATE-OBS": "2026-11-20T21:04:05.250"}, {"DATE-OBS": "2026-11-20T21:04:05.250Z"},
    {"DATE-OBS": "2026-11-20 21:04:05.25"}, {"DATE-OBS": "2026-11-20T22:04:05.250+01:00"},
    {"DATE-OBS": "2026-11-20T21:4:5.2500000"}, {"DATE_OBS": "2026-11-20T21:04:05.250"},
    {"DATE-OBS": "2026-11-20", "TIME-OBS": "21:04:05.250"}, {"DATE-OBS": "2026-11-20", "UT": "21:04:05.25"},
    {"DATE-OBS": "20/11/26", "UTC": "21:04:05.25"}, {"DATE-OBS": "20/11/2026", "UT": "21:04:05.25"},
    {"DATE-OBS": "11/20/2026", "UTSTART": "21:04:05.25"},
    {"DATE-OBS": "2026-11-20T21:04:05.250", "UT": "03:00:00"}, {"DATE-OBS": "unknown", "MJD-OBS": 61364.87783854167},
    {"MJD-OBS": "61364.87783854167"}, {"DATE-OBS": "2026-11-20T21:04:05.250", "TIMESYS": "UTC"},
])  # fmt: skip
def test_every_form_is_read(header):
    assert abs(observation_time(header) - TAKEN) < datetime.timedelta(milliseconds=1)


@pytest.mark.parametrize(("scale", "text"), [("tai", "TAI"), ("tt", "TT"), ("tdb", " tdb")])
def test_other_time_scales_are_converted(scale, text):
    date = getattr(Time(TAKEN), scale).isot
    assert abs(observation_time({"DATE-OBS": date, "TIMESYS": text}) - TAKEN) < datetime.timedelta(milliseconds=2)
    gps = (TAKEN + datetime.timedelta(seconds=18)).replace(tzinfo=None).isoformat()
    assert observation_time({"DATE-OBS": gps, "TIMESYS": "GPS"}) == TAKEN


@pytest.mark.parametrize("header", [
    {}, {"DATE-OBS": "2026-11-20"}, {"DATE-OBS": "20/11/26"}, {"DATE-OBS": "2026-13-40T00:00:00"}, {"DATE-OBS": 7},
    {"DATE-OBS": "0001-01-01T00:00:00"}, {"DATE-OBS": "2026-11-20", "UT": "25:00:00"}, {"MJD-OBS": 0.0},
    {"DATE-OBS": "9999-12-31T23:59:59"}, {"MJD-OBS": 1e12}, {"DATE-OBS": "31/02/26", "UT": "01:00:00"},
    {"DATE-OBS": "2026-11-20", "UT": 3.5}, {"DATE-OBS": "2026-11-20", "UT": "21:99:00"},
])  # fmt: skip
def test_incomplete_and_absurd_times_are_none(header):
    """A clock that was never set gives 1970 or year 1: no event begins then."""
    assert observation_time(header) is None


def test_reader_and_order_agree():
    cards = {"DATE-OBS": "20/11/26", "TIME-OBS": "21:04:05.250"}
    content = fits_file(scene(40, 40)[..., 0], **cards)
    assert decode_image(content, "a.fits").time == exposure_start(content[:2880]) == TAKEN
