"""Objects keep their ids across runs."""

import pytest
from galaxy_edge.runtime.events.objects import ObjectRegistry, position_name, read_objects
from galaxy_edge.sky.position import SkyPosition


def seen(ra, dec, name=None, error=2.0):
    return SkyPosition(ra, dec, error, 20.0, object_name=name)


def test_an_object_is_recognised_within_the_errors_of_both_positions():
    """Five sigma apart are two objects, also at right ascension 0."""
    registry = ObjectRegistry()
    first = registry.identify(seen(359.9995, 10.0))
    assert first == "J235959.8+100000"
    assert registry.identify(seen(0.0005, 10.0)) == first  # 3.5 arcsec
    assert registry.identify(seen(0.004, 10.0)) != first and len(registry) == 2
    assert registry.identify(seen(0.004, 10.0, error=10.0)) != first and len(registry) == 2


def test_a_named_object_is_recognised_by_its_name_and_by_its_position():
    """A part of a large galaxy may be an arcminute off its centre."""
    registry = ObjectRegistry()
    assert registry.identify(seen(192.72, 41.12, "M 94")) == "M 94"
    assert registry.identify(seen(192.75, 41.12, "M 94")) == "M 94"
    assert registry.identify(seen(192.7201, 41.12)) == "M 94"  # of a run without the catalogue
    assert registry.identify(seen(192.7201, 41.12, "companion")) == "companion"  # two names are two objects


def test_an_id_stays_when_the_object_gets_a_name():
    registry = ObjectRegistry()
    first = registry.identify(seen(100.0, -20.0))
    assert first == "J064000.0-200000"
    assert registry.identify(seen(100.0002, -20.0, "My galaxy")) == first
    assert registry.identify(seen(100.0, -20.0003)) == first and len(registry) == 1


def test_two_objects_in_one_second_of_arc_have_two_ids():
    registry = ObjectRegistry()
    ids = {
        registry.identify(seen(10.0, 5.0)),
        registry.identify(seen(10.0, 5.0, "a")),
        registry.identify(seen(10.0, 5.0, "b")),
    }
    assert ids == {"J004000.0+050000", "b"} and len(registry) == 2


@pytest.mark.parametrize("position", [(0.0, 0.0), (359.99999, 89.99999), (15.0, -89.99999), (192.7211, 41.1204)])
def test_names_of_positions_are_valid(position):
    hours, minutes, seconds = (
        int(text) for text in (position_name(*position)[start : start + 2] for start in (1, 3, 5))
    )
    assert hours < 24 and minutes < 60 and seconds < 60 and len(position_name(*position)) == 16


def test_unreadable_file_gives_no_objects(tmp_path, caplog):
    """The run continues; its objects get new ids."""
    (tmp_path / "events.sqlite").write_bytes(b"x" * 5000)
    assert len(read_objects(tmp_path / "events.sqlite")) == 0
    assert "known objects cannot be read" in caplog.text


def test_boxes_of_another_telescope_are_joined_within_a_quarter_of_their_size():
    """It shows more of the light, so that its box's centre is elsewhere."""
    registry = ObjectRegistry()
    first = registry.identify(SkyPosition(10.0, 20.0, 7.0, 200.0))
    assert registry.identify(SkyPosition(10.0, 20.0 + 60 / 3600, 7.0, 200.0)) == first
    assert registry.identify(SkyPosition(10.0, 20.0 + 75 / 3600, 7.0, 200.0)) != first
