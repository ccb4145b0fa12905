"""Position and scale from headers and options."""

import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.sky.hints import Hints, hints_from, parse_angle
from helpers.star_field import make_wcs


@pytest.mark.parametrize(
    ("text", "is_ra", "degrees"),
    [
        ("192.72", True, 192.72), ("12h50m53s", True, 192.72083), ("12:50:53.1", True, 192.72125), ("0", True, 0.0),
        ("12 50 53", True, 192.72083), ("360", True, 0.0), ("+41d07m13s", False, 41.12028), ("-0:30:00", False, -0.5),
        ("-0 30 00", False, -0.5), ("+41:07", False, 41.11667), ("192d43m15s", True, 192.72083), ("90", False, 90.0),
    ],
)  # fmt: skip
def test_angles_are_read(text, is_ra, degrees):
    assert parse_angle(text, is_ra) == pytest.approx(degrees, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "is_ra"),
    [("noon", True), ("nan", True), ("400", True), ("25:00:00", True), ("91", False), ("1:75:00", False), ("", False),
     ("inf", False)],
)  # fmt: skip
def test_what_is_no_angle_is_refused_in_words(text, is_ra):
    with pytest.raises(UsageError, match=r"declination|right ascension"):
        parse_angle(text, is_ra)


@pytest.mark.parametrize(
    ("header", "position", "scale"),
    [
        ({"RA": 192.7, "DEC": 41.1, "FOCALLEN": 250, "XPIXSZ": 2.9}, (192.7, 41.1), 2.393),
        ({"OBJCTRA": "12 50 53", "OBJCTDEC": "+41 07 13"}, (192.7208, 41.1203), None),
        ({"RA": "12:50:53", "DEC": "+41:07:13", "SCALE": 1.5}, (192.7208, 41.1203), 1.5),
        ({"RA": "unknown", "DEC": 41.0, "OBJCTRA": "01 00 00", "OBJCTDEC": "-10 00 00"}, (15.0, -10.0), None),
        ({"RA": 10.0, "DEC": 100.0, "FOCALLEN": 0, "XPIXSZ": 3.8}, None, None),
        ({"FOCALLEN": "about 500", "XPIXSZ": float("nan")}, None, None),
    ],
)
def test_headers_of_capture_programs(header, position, scale):
    hints = hints_from(header)
    assert hints.has_position == (position is not None)
    if position:
        assert (hints.ra, hints.dec) == pytest.approx(position, abs=1e-3)
    assert (hints.scale is not None) == (scale is not None)
    if scale:
        assert hints.scale[0] < scale < hints.scale[1]


def test_a_binned_frame_may_have_the_size_of_its_pixels_with_or_without_binning():
    low, high = hints_from({"FOCALLEN": 250, "XPIXSZ": 2.9, "XBINNING": 2}).scale
    assert low < 2.393 and high > 2 * 2.393


def test_what_the_user_gives_takes_the_place_of_the_header():
    given = Hints(10.0, 20.0, 5.0, (1.0, 1.2))
    assert hints_from({"RA": 192.7, "DEC": 41.1, "SCALE": 3.0}, given) == given


def test_an_earlier_wcs_is_a_hint():
    wcs = make_wcs()
    hints = hints_from(wcs.to_header() | {"NAXIS1": 640, "NAXIS2": 480, "RA": 1.0, "DEC": 1.0})
    assert (hints.ra, hints.dec) == pytest.approx((187.0, 41.0)) and hints.scale[0] < 2.4 < hints.scale[1]


def test_a_search_widens_from_the_position_to_the_whole_sky():
    attempts = list(Hints(100.0, 20.0, 2.0, (1.0, 1.2)).attempts())
    assert [(hints.has_position, hints.radius, hints.scale is not None) for hints in attempts] == [
        (True, 2.0, True), (True, 15.0, True), (False, 3.0, True), (False, 3.0, False),
    ]  # fmt: skip
    assert list(Hints().attempts()) == [Hints()]


def test_a_right_ascension_in_hours_is_tried_before_the_sky_is_searched():
    first, second, third, *_ = Hints(12.85, 41.1, 3.0, (2.1, 2.6)).attempts()
    assert (first.ra, second.ra, third.ra) == (12.85, pytest.approx(192.75), 12.85)
    assert (second.dec, second.radius, third.radius) == (41.1, 3.0, 15.0)
    assert all(attempt.ra in (30.0, None) for attempt in Hints(30.0, 41.1).attempts())
