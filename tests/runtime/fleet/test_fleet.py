"""Stations on a real broker: what is shown of them, and what is warned of."""

import io
import json
import urllib.request

import pytest
from galaxy_edge.cli.remote.fleet import fleet_table
from galaxy_edge.runtime.monitoring.console import PlainConsole
from galaxy_edge.runtime.monitoring.health import RunMonitor
from helpers.tracks import until

pytest.importorskip("paho.mqtt.client")
from galaxy_edge.errors import UserError
from galaxy_edge.runtime.fleet.listener import FleetListener
from galaxy_edge.runtime.fleet.page import FleetPage
from galaxy_edge.runtime.fleet.stations import MAX_STATIONS, Fleet
from galaxy_edge.runtime.mqtt.address import parse_broker

STATS = {"state": "running", "frames_per_second": 2.0, "temperature": 61.0, "events": 4, "version": "1.0",
         "last_frame": "2026-11-22T21:00:00.000Z", "bundles": {"galaxy-detector": "a" * 64}}  # fmt: skip


def hear(fleet, station, **figures):
    fleet.receive(f"galaxy-edge/{station}/available", b"online")
    fleet.receive(f"galaxy-edge/{station}/stats", json.dumps({**STATS, **figures}).encode())


def warnings(fleet):
    return {row.name: row.warnings for row in fleet.rows()}


def test_stations_that_differ_or_are_silent_are_warned_of():
    now = [0.0]
    fleet = Fleet("galaxy-edge", silent=60, clock=lambda: now[0])
    for station in ("a", "b", "c"):
        hear(fleet, station)
    assert warnings(fleet) == {"a": (), "b": (), "c": ()}
    hear(fleet, "c", version="0.9", bundles={"galaxy-detector": "b" * 64}, depth=18.5)
    assert warnings(fleet)["c"] == (
        "version 0.9, most stations have 1.0", "galaxy-detector bbbbbbbb, most stations have aaaaaaaa",
    )  # fmt: skip
    assert fleet.rows()[2].depth == 18.5
    hear(fleet, "a", depth=17.9)
    hear(fleet, "b", depth=18.6)
    assert warnings(fleet)["a"] == ("depth 17.9, the median is 18.5",)
    now[0] = 70
    hear(fleet, "a", state="stalled")
    fleet.receive("galaxy-edge/b/available", b"offline")
    assert warnings(fleet)["a"] == ("no frames arrive, or nothing can be written",)
    assert warnings(fleet)["b"] == ("offline",)
    assert warnings(fleet)["c"][0] == "silent for 70 s"


def test_the_table_fits_a_terminal_of_80_columns_and_escapes_what_stations_publish():
    fleet = Fleet("galaxy-edge")
    bundles = {"galaxy-detector": "a" * 64, "galaxy-classifier": "b" * 64}
    for station in ("dome1", "dome2", "roof[/]\x1b"):
        hear(fleet, station, depth=18.2, bundles=bundles, version="0.1.0" if station[0] == "d" else "0.0.9")
    stream = io.StringIO()
    console = PlainConsole(width=80)
    console.file = stream
    console.print(fleet_table(fleet))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["station", "state", "frame", "fps", "deg", "C", "depth", "events", "version", "bundles"]
    assert "detector aaaaaaaa" in stream.getvalue() and "21:00:00" in stream.getvalue()
    assert lines[-1] == "roof[/]\\x1b: version 0.0.9, most stations have 0.1.0"


def test_messages_that_are_not_of_a_station_do_no_harm():
    fleet = Fleet("galaxy-edge")
    for payload in (b"", b"{", b"[1]", b"[" * 100_000, b'{"bundles": 3, "temperature": "x", "events": 1e400}'):
        fleet.receive("galaxy-edge/a/stats", payload)
        fleet.receive("galaxy-edge/a/events", payload)
    fleet.receive("other/a/stats", b"{}")
    assert [row.name for row in fleet.rows()] == ["a"]
    for number in range(MAX_STATIONS + 10):
        fleet.receive(f"galaxy-edge/n{number}/available", b"online")
    assert len(fleet.rows()) == MAX_STATIONS


def test_a_run_is_shown_with_its_events_version_and_bundles(broker, make_sink):
    monitor = RunMonitor()
    monitor.about = {"version": "1.2", "bundles": {"galaxy-detector": "c" * 64}}
    fleet = Fleet("dome")
    listener = FleetListener(parse_broker(broker.url, "dome", "", 1.0), fleet)
    page = FleetPage(fleet, "127.0.0.1:0", None)
    make_sink(broker, monitor, prefix="dome/<b>one")
    try:
        until(lambda: [row.version for row in fleet.rows()] == ["1.2"])
        with urllib.request.urlopen(f"{page.url}api/fleet") as answer:
            (station,) = json.load(answer)["stations"]
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert (station["name"], station["bundles"]) == ("<b>one", {"galaxy-detector": "c" * 64})
        assert "dome/<b>one" not in urllib.request.urlopen(page.url).read().decode()
        assert "&lt;b&gt;one" in urllib.request.urlopen(page.url).read().decode()
    finally:
        page.close()
        listener.close()


def test_a_broker_that_does_not_answer_is_one_line(broker):
    broker.kill()
    with pytest.raises(UserError, match="cannot be reached: Connection refused"):
        FleetListener(parse_broker(broker.url, "sky", "", 1.0), Fleet("sky"))
