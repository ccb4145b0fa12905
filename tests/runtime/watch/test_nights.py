"""Whole runs with --watch-new over simulated nights of one field."""

import dataclasses
import datetime
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.runtime.notify.config import NotifyConfig
from galaxy_edge.runtime.run_config import WatchConfig
from galaxy_edge.runtime.session import RunConfig, Session
from helpers.message_servers import web_hook
from helpers.star_index import write_star_index

pytest.importorskip("apprise", reason="needs the notify extra")
pytest.importorskip("astropy", reason="needs the sky extra")
pytest.importorskip("pyongc", reason="needs the sky extra")

FIRST = datetime.datetime(2026, 3, 20, 22, tzinfo=datetime.UTC)
STACKS = 3
MAGNITUDE = 13.5


@pytest.fixture
def galaxy(tmp_path, monkeypatch):
    """Return a galaxy; the star catalogue has drawn stars around it."""
    from galaxy_edge.sky.catalogue.openngc import OpenNgc

    galaxy = OpenNgc().find("NGC 3344")
    rng = np.random.default_rng(3)
    east, north = rng.uniform(-0.15, 0.15, (2, 40))
    ra = galaxy.ra + east / math.cos(math.radians(galaxy.dec))
    write_star_index(tmp_path / "stars.fits", ra, galaxy.dec + north, rng.uniform(9.0, 12.0, 40))
    monkeypatch.setenv("GALAXY_EDGE_TYCHO2", str(tmp_path / "stars.fits"))
    return galaxy


def take_night(galaxy, folder, number, new_star=None):
    """Write the frames of a night; return its new star."""
    from galaxy_edge.sky.simulation.night import Night, NightOptions
    from galaxy_edge.sky.simulation.telescopes import find_telescope
    from galaxy_edge.sky.simulation.writing import write_night
    from galaxy_edge.sky.tycho2 import open_tycho2

    telescope = dataclasses.replace(find_telescope("nina-asi533mm"), width=320, height=320)
    options = NightOptions(
        galaxy.ra, galaxy.dec, STACKS, 60.0, 5, FIRST + datetime.timedelta(days=number),
        angle=4.0 * number, jitter=3.0, new_star=new_star,
    )  # fmt: skip
    night = Night(telescope, options, open_tycho2())
    assert len(list(write_night(night, folder, galaxy.name, with_wcs=True))) == STACKS
    return night.new_star


def candidates(out):
    done = CliRunner().invoke(cli, ["events", "candidates", "--in", str(out), "--format", "json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def server():
    with web_hook() as server:
        yield server


def test_nights_without_and_with_a_new_star(galaxy, tmp_path, server):
    """The first is the reference, the second shows nothing, the third one star.

    The last stack makes it a candidate, at the end of the run: its notification is sent all the same.
    """
    notify = NotifyConfig((f"json://{server.address}/hook",), settle=60.0, interval=0.0)
    out, networks, found, star = tmp_path / "out", {}, [], None
    for number, magnitude in enumerate((None, None, MAGNITUDE)):
        folder = tmp_path / f"night{number}"
        star = take_night(galaxy, folder, number, magnitude)
        config = RunConfig(source=str(folder), out=out, video=False, watch=WatchConfig(stacks=STACKS), notify=notify)
        session = Session(config, **networks)
        networks = {"detector": session.detector, "classifier": session.classifier}
        stats = session.run()
        assert stats.failure is None and stats.bad_pictures == 0
        found.append(candidates(out))
    assert found[:2] == [[], []]
    (row,) = found[2]
    sent = [json.loads(content) for _, _, content in server.received]
    (message,) = [message for message in sent if message["title"].startswith("Candidate near NGC 3344")]
    assert row["id"] in message["message"] and "To be checked" in message["message"]
    off = math.hypot((row["ra"] - star.ra) * math.cos(math.radians(star.dec)), row["dec"] - star.dec) * 3600
    assert off < max(2.0, 4 * row["position_error"]) and abs(row["magnitude"] - MAGNITUDE) < 0.3
    assert row["galaxy"] == star.host == galaxy.name and (row["run"], row["sightings"], row["stacks"]) == (3, 3, 3)
    assert sorted(path.name for path in (out / "candidates").iterdir()) == [row["id"]]
