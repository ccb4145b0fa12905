"""`eval names`: names against catalogued Hubble types."""

import json

import pytest
from galaxy_edge.benchmarks.accuracy.catalogue import CatalogueEntry, find_object, is_galaxy
from galaxy_edge.benchmarks.accuracy.names import NamedGalaxy, allowed_groups, name_rows, summarise_names
from helpers.command_line import galaxy_edge_in_process as command_line


@pytest.mark.parametrize(
    ("hubble", "ratio", "groups"),
    [
        ("E", 0.9, {"smooth"}),
        ("E", 0.4, {"smooth"}),  # an elliptical is never edge-on
        ("E-S0", 0.9, {"smooth", "disk_no_spiral"}),  # an early lenticular
        ("E-S0", 0.4, {"smooth", "disk_no_spiral", "edge_on"}),
        ("S0", 0.9, {"smooth", "disk_no_spiral"}),
        ("S0-a", 0.3, {"smooth", "disk_no_spiral", "edge_on"}),
        ("SABb", 0.8, {"spiral"}),
        ("Sc", 0.2, {"spiral", "edge_on"}),
        ("IB", 0.8, set()),
        ("", 0.8, set()),
    ],
)
def test_groups_that_a_hubble_type_allows(hubble, ratio, groups):
    """The type does not say how the galaxy is turned."""
    assert allowed_groups(CatalogueEntry("x", True, hubble, ratio)) == groups


def test_the_catalogue_knows_galaxies_from_other_objects():
    """Names as people and data sets write them."""
    pytest.importorskip("pyongc", reason="needs the catalogue extra")
    assert find_object("M 94 (Cat's Eye)").name == "NGC4736" and find_object("NGC0205").hubble == "E"
    assert (is_galaxy("M31"), is_galaxy("NGC7023"), is_galaxy("M13"), is_galaxy("Betelgeuse")) == (
        True,
        False,
        False,
        None,
    )


def test_components_and_disputed_numbers_are_found_as_what_they_are():
    """A part of a group has a type of its own, and M 102 is not M 101."""
    pytest.importorskip("pyongc", reason="needs the catalogue extra")
    assert [find_object(name).hubble for name in ("NGC6027", "NGC6027B", "ngc 1048A")] == ["S0-a", "S0", "SBbc"]
    assert find_object("NGC0520 NED01") is None and find_object("NGC4486Z") is None
    assert find_object("M102 (Spindle Galaxy)").name == "NGC5866" and find_object("M101").name == "NGC5457"
    assert find_object("M 104").axis_ratio < 0.5 < find_object("M81").axis_ratio


def test_shares_count_what_is_marked_sure():
    """A name that is not shown cannot be wrong; it lowers the coverage."""
    galaxies = [
        NamedGalaxy("set", "a", frozenset({"smooth"}), "smooth", 0.9, True, True),
        NamedGalaxy("set", "b", frozenset({"spiral"}), "smooth", 0.9, False, True),
        NamedGalaxy("set", "c", frozenset({"spiral"}), "smooth", 0.4, False, False),
        NamedGalaxy("set", "d", frozenset({"spiral"}), "spiral", 0.8, True, False),
    ]
    result = summarise_names(galaxies)
    assert (result.all.right, result.sure.galaxies, result.sure.right) == (2, 3, 2)
    assert result.coverage == 0.75 and result.sure_class.galaxies == 2
    assert name_rows({"set": result})[0][3] == "3 (75%)"


def test_names_that_are_marked_sure_are_mostly_right(shared_data):
    """More than 85 % of the sure names are right on photographs not trained on.

    Thresholds are chosen on one half of the objects and judged on the other.
    """
    pytest.importorskip("pyongc", reason="needs the catalogue extra")
    done = command_line("eval", "names", "--data", shared_data / "deepsky_frames", "--json")
    assert done.returncode == 0, done.stderr
    sure = json.loads(done.stdout)["sets"]["deepsky_frames"]["sure"]
    assert sure["galaxies"] > 150 and sure["right"] / sure["galaxies"] > 0.85


def test_names_on_messier_frames_of_large_telescopes(shared_data):
    """Burnt-out cores and galaxies as large as their frame.

    M 31 and M 59 were disks, and sure.
    """
    pytest.importorskip("pyongc", reason="needs the catalogue extra")
    done = command_line("eval", "names", "--data", shared_data / "lco_messier", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    sure = result["sets"]["lco_messier"]["sure"]
    assert sure["galaxies"] >= 10 and sure["right"] / sure["galaxies"] > 0.85
    assert not any(
        g["sure_class"] or g["sure_group"] for g in result["galaxies"] if g["object"] in ("NGC0224", "NGC4621")
    )
