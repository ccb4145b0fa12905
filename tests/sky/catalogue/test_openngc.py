"""OpenNGC as it is read here, compared with PyOngc's own functions."""

import numpy as np
import pytest
from galaxy_edge.sky.angles import separation
from galaxy_edge.sky.catalogue.openngc import OpenNgc

pytest.importorskip("pyongc", reason="needs the sky extra")


@pytest.mark.parametrize(
    ("name", "expected", "kind"),
    [
        ("m94", "M 94", "galaxy"), ("NGC 4736", "M 94", "galaxy"), ("ngc4736", "M 94", "galaxy"),
        ("UGC 7996", "M 94", "galaxy"), ("Messier 31", "M 31", "galaxy"), ("andromeda galaxy", "M 31", "galaxy"),
        ("NGC 7023", "NGC 7023", "reflection nebula"), ("Caldwell 4", "NGC 7023", "reflection nebula"),
        ("IC 11", "NGC 281", "HII region"), ("M102", "NGC 5866", "galaxy"), ("M 45", "M 45", "open cluster"),
        ("M13", "M 13", "globular cluster"), ("NGC 6027A", "NGC 6027A", "galaxy"),
    ],
)  # fmt: skip
def test_objects_are_found_by_any_of_their_names(name, expected, kind):
    found = OpenNgc().find(name)
    assert (found.name, found.kind) == (expected, kind)


@pytest.mark.parametrize("name", ["", "nonsense", "%", "M 40", "M 999", "NGC 99999", "'; DROP TABLE objects"])
def test_unknown_names_are_not_found(name):
    """M 40 is a double star, which no detection is named after."""
    assert OpenNgc().find(name) is None


def test_values_are_those_of_the_catalogue_in_our_units():
    """Positions come in radians and axes in arcminutes."""
    from pyongc import ongc

    found, reference = OpenNgc().find("M 94"), ongc.get("NGC4736")
    assert (found.ra, found.dec) == pytest.approx(np.degrees(reference.rad_coords))
    assert (found.major_arcsec, found.minor_arcsec) == pytest.approx((7.74 * 60, 6.68 * 60))
    assert (found.position_angle, found.magnitude, found.hubble_type) == (105, 8.24, "SABa")
    assert "NGC 4736" in found.aliases


@pytest.mark.parametrize(("ra", "dec"), [(192.7, 41.1), (0.05, 1.0), (359.9, -20.0), (120.0, 89.5), (10.0, -90.0)])
def test_objects_within_a_radius_at_right_ascension_0_and_the_poles(ra, dec):
    """Compared with the distances to all objects of the catalogue."""
    catalogue = OpenNgc()
    everything = catalogue.within(0.0, 0.0, 180.0)
    distances = separation(ra, dec, [item.ra for item in everything], [item.dec for item in everything])
    expected = {everything[row].name for row in np.flatnonzero(distances <= 3.0)}
    assert len(everything) > 11_000 and expected
    assert {item.name for item in catalogue.within(ra, dec, 3.0)} == expected


def test_large_objects_reach_into_a_field_beyond_their_centre():
    """M 31 is 3 degrees long."""
    arm = (10.0, 40.5, 0.1)
    assert "M 31" not in {item.name for item in OpenNgc().within(*arm)}
    assert "M 31" in {item.name for item in OpenNgc().within(*arm, extent=True)}
