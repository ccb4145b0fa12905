"""Events by their position on the sky: `events list --near` and `events objects`."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.events.event import events_from_tracks
from galaxy_edge.sky.coordinates import parse_angle, parse_position
from galaxy_edge.sky.position import SkyPosition
from helpers.tracks import output, track


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two nights: M 94 in both, a nebula, a user's object, one without position."""
    out = tmp_path_factory.mktemp("near")
    m94 = SkyPosition(192.7215, 41.1206, 2.0, 200.0, object_name="M 94", object_kind="galaxy", object_id="M 94")
    cloud = SkyPosition(
        315.4, 68.17, 2.0, 400.0, object_name="NGC 7023", object_kind="reflection nebula", object_id="NGC 7023"
    )
    mine = SkyPosition(0.001, 5.0, 2.0, 60.0, object_name="My galaxy", object_id="J000000.2+050000")
    for places in ((m94, cloud, None), (replace(m94, ra=192.7211), mine)):
        writer = output(out)
        tracks = [track(number, ended=True, score=0.5 + number / 10) for number in range(1, len(places) + 1)]
        events = [
            replace(event, sky=sky) for event, sky in zip(events_from_tracks(tracks, writer.info), places, strict=True)
        ]
        writer.writer.events(
            [replace(event, kind=cloud.object_kind) if event.sky is cloud else event for event in events]
        )
        writer.close(1, 0)
    return out


def listed(folder, *arguments, command="list"):
    more = ("--json",) if command == "objects" else ("--format", "json")
    done = CliRunner().invoke(cli, ["events", command, "--in", str(folder), *more, *arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("near", "radius", "names"),
    [
        ("192.72 41.12", "10m", ["M 94", "M 94"]), ("12h50m53s +41d07m13s", "60s", ["M 94", "M 94"]),
        ("12:50:53 +41:07:13", "1d", ["M 94", "M 94"]), ("m94", "30s", ["M 94", "M 94"]), ("359.999 5", "30s", ["My galaxy"]),
        ("my GALAXY", "1s", ["My galaxy"]), ("ngc 7023", "10m", ["NGC 7023"]), ("100 20", "10m", []),
    ],
)  # fmt: skip
def test_events_near_a_name_or_a_position(folder, near, radius, names):
    """Names of the folder's own objects need no catalogue."""
    assert [event["sky"]["object_name"] for event in listed(folder, "--near", near, "--radius", radius)] == names


def test_catalogued_names_that_were_not_seen_yet_are_known_too(folder):
    pytest.importorskip("pyongc", reason="needs the sky extra")
    assert listed(folder, "--near", "NGC 4736") and listed(folder, "--near", "M 31") == []


def test_near_limits_with_other_conditions_and_in_exports(folder):
    assert len(listed(folder, "--near", "M 94", "--run", "1")) == 1
    done = CliRunner().invoke(cli, ["events", "export", "--in", str(folder), "--near", "M 94", "-"])
    assert done.exit_code == 0 and done.stdout.count("M 94") >= 2 and "My galaxy" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--near", "nonsense"), "'nonsense' is neither a known object nor a position"),
        (("--near", "400 20"), "is not on the sky"), (("--near", "10 95"), "is not on the sky"),
        (("--near", "M 94", "--radius", "10"), "give it a unit"), (("--near", "M 94", "--radius", "999d"), "180 degrees"),
    ],
)  # fmt: skip
def test_what_is_not_a_position_is_refused_in_one_sentence(folder, arguments, message):
    done = CliRunner().invoke(cli, ["events", "list", "--in", str(folder), *arguments])
    assert isinstance(done.exception, UsageError) or done.exit_code == 2
    assert message in (str(done.exception) + done.output)


def test_objects_are_listed_once_with_all_their_nights(folder):
    found = listed(folder, command="objects")
    assert sorted((item["name"], item["runs"], item["events"]) for item in found) == [
        ("M 94", 2, 2), ("My galaxy", 1, 1), ("NGC 7023", 1, 1),
    ]  # fmt: skip
    text = CliRunner().invoke(cli, ["events", "objects", "--in", str(folder)]).output
    assert "reflection nebula" in text and "192.72" in text


def test_tables_show_the_object_and_what_is_not_a_galaxy(folder):
    text = CliRunner().invoke(cli, ["events", "list", "--in", str(folder)]).output
    assert "object" in text.split("M 94")[0] and text.count("M 94") == 2 and "reflection nebula" in text


def test_angles_and_positions_as_users_write_them():
    assert (parse_angle("30s"), parse_angle("10 arcmin"), parse_angle("1.5d")) == (30 / 3600, 10 / 60, 1.5)
    assert parse_position("0 -90") == (0.0, -90.0) and parse_position("360, 1.5") == (0.0, 1.5)
    assert parse_position("00h00m30s -00d30m00s") == pytest.approx((0.125, -0.5))
    assert parse_position("M 94") is None
