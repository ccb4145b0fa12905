"""From stacks to references, candidates and the report of the night."""

import csv
import datetime
import io
import json
import logging
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.runtime.events.candidates import query_candidates
from galaxy_edge.runtime.events.database import open_database
from galaxy_edge.runtime.report.candidates import candidates_section
from galaxy_edge.runtime.watch.references import ReferenceFolder
from galaxy_edge.runtime.watch.sink import Watcher, WatchSink
from galaxy_edge.sky.catalogue import combined
from galaxy_edge.sky.catalogue.objects import CatalogueObject
from galaxy_edge.sky.wcs import Wcs
from helpers.star_index import write_star_index

fits = pytest.importorskip("astropy.io.fits", reason="needs the sky extra")

SIDE, ZERO = 200, 20.0
FIRST = datetime.datetime(2026, 11, 27, 22, tzinfo=datetime.UTC)
SECOND = FIRST + datetime.timedelta(days=1)
HEADER = {"INSTRUME": "Test camera"}
GALAXY = CatalogueObject("NGC 1", (), "galaxy", 150.0, 30.0, 160.0, 100.0, 30.0, 11.0)
NEW = (150.012, 30.006, 13.5)
RNG = np.random.default_rng(3)
DISTANCE, ANGLE = 0.1 * np.sqrt(RNG.uniform(0.1, 1, 50)), RNG.uniform(0, 2 * np.pi, 50)
RA, DEC = 150 + DISTANCE * np.cos(ANGLE) / np.cos(np.radians(30)), 30 + DISTANCE * np.sin(ANGLE)
MAGNITUDE = RNG.uniform(9.5, 12.5, 50)


def wcs(scale=4.0):
    return Wcs((150.0, 30.0), (SIDE / 2, SIDE / 2), scale / 3600 * np.array([[-1.0, 0.0], [0.0, -1.0]]), SIDE, SIDE)


def stack(seed, more=(), scale=4.0, light=1.0):
    """Return the light of a stack; `more` has position and magnitude of others."""
    image = np.random.default_rng(seed).normal(1000, 4, (SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    stars = [*zip(RA, DEC, MAGNITUDE, strict=True), *more]
    for (sx, sy), (_, _, magnitude) in zip(wcs(scale).to_pixels(np.array([s[:2] for s in stars])), stars, strict=True):
        flux = light * 10 ** (-0.4 * (magnitude - ZERO)) / (2 * np.pi * 1.21)
        image += flux * np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / 2.42)
    return image.astype(np.float32)


class Galaxies:
    """A catalogue of one galaxy."""

    def within(self, ra, dec, radius, *, extent=False):
        return [GALAXY]


@pytest.fixture
def out(tmp_path, monkeypatch):
    """Return an output folder; both catalogues are those of the field."""
    write_star_index(tmp_path / "stars.fits", RA, DEC, MAGNITUDE)
    monkeypatch.setenv("GALAXY_EDGE_TYCHO2", str(tmp_path / "stars.fits"))
    monkeypatch.setattr(combined, "open_catalogue", lambda *_: Galaxies())
    folder = tmp_path / "out"
    folder.mkdir()
    open_database(folder / "events.sqlite")[0].close()
    return folder


def watch(out, night, stacks, run=1, **options):
    watcher = Watcher(out, run, out / "references", 3)
    for number, light in enumerate(stacks):
        time = night + datetime.timedelta(minutes=5 * number)
        watcher.add(light, wcs(options.get("scale", 4.0)), time, HEADER)
    return watcher


def test_second_night_shows_a_new_star_as_a_candidate(out, caplog):
    caplog.set_level(logging.INFO)
    watch(out, FIRST, [stack(seed) for seed in range(4)])
    assert "reference made for NGC 1" in caplog.text and "watching begins on the next night" in caplog.text
    assert query_candidates(out) == []
    watch(out, SECOND, [stack(10 + seed, [NEW]) for seed in range(4)], run=2)
    (row,) = query_candidates(out)
    assert row.galaxy == "NGC 1" and (row.sightings, row.stacks, row.run) == (4, 4, 2)
    assert abs(row.magnitude - 13.5) < 0.15 and row.recovered > 0.7 and "please check it" in caplog.text
    assert abs(row.ra - NEW[0]) < 0.0006 and abs(row.dec - NEW[1]) < 0.0005

    report = (out / row.folder / "report.txt").read_text()
    assert "not a discovery" in report and "Minor planets" in report and "supernova " not in report.lower()
    assert json.loads((out / row.folder / "candidate.json").read_text()) == row.to_dict()
    with fits.open(out / row.folder / "difference.fits") as units:
        crop = Wcs.from_header(dict(units[0].header))
        x, y = crop.to_pixels(np.array([[row.ra, row.dec]]))[0]
        peak = np.unravel_index(int(units[0].data.argmax()), units[0].data.shape)
        assert (int(y), int(x)) == peak
    page = candidates_section(out, [row])
    assert page.count("data:image/png;base64,") == 3 and row.id in page
    assert "data:" not in candidates_section(out, [row], is_served=True)

    done = CliRunner().invoke(cli, ["events", "candidates", "--in", str(out), "--format", "json"])
    assert json.loads(done.stdout) == [row.to_dict()]
    done = CliRunner().invoke(cli, ["events", "candidates", "--in", str(out), "--format", "csv"])
    assert [line["id"] for line in csv.DictReader(io.StringIO(done.stdout))] == [row.id]
    done = CliRunner().invoke(cli, ["events", "candidates", "--in", str(out), row.id])
    assert done.stdout == report
    done = CliRunner().invoke(cli, ["events", "candidates", "--in", str(out), "nothing"])
    assert done.exit_code == 2 and "there is no candidate 'nothing'" in done.stderr
    assert "NGC 1" in CliRunner().invoke(cli, ["events", "candidates", "--in", str(out)]).stdout


def test_reference_collects_one_night_and_clouded_stacks_are_left_out(out, caplog):
    watch(out, FIRST, [stack(1), stack(2), stack(3, light=0.3), stack(4)])
    (reference,) = ReferenceFolder(out / "references").references
    assert reference.stacks == 3 and "of the light is not added" in caplog.text
    before = reference.path.read_bytes()
    watch(out, SECOND, [stack(5)], run=2)
    assert reference.path.read_bytes() == before


def test_broken_reference_is_named_and_ignored(out, caplog):
    """The next stack of its field begins a new one in its place."""
    watch(out, FIRST, [stack(seed) for seed in range(3)])
    (path,) = (out / "references").glob("*.fits")
    path.write_bytes(path.read_bytes()[:20_000])
    (out / "references" / "note.fits").write_text("not FITS")
    assert ReferenceFolder(out / "references").references == []
    assert caplog.text.count("cannot be read") == 2 and path.name in caplog.text
    watch(out, SECOND, [stack(5)])
    assert [item.path for item in ReferenceFolder(out / "references").references] == [path]


def test_other_cameras_and_scales_have_references_of_their_own(out):
    watch(out, FIRST, [stack(seed) for seed in range(3)])
    folder = ReferenceFolder(out / "references")
    assert folder.find(wcs(), "Test camera") and not folder.find(wcs(), "Other camera")
    assert not folder.find(wcs(5.5), "Test camera")


def test_stack_in_clouds_is_a_sentence(out, caplog):
    watch(out, FIRST, [stack(seed) for seed in range(3)])
    watch(out, SECOND, [np.random.default_rng(1).normal(1000, 4, (SIDE, SIDE)).astype(np.float32)] * 3, run=2)
    assert caplog.text.count("a stack is not compared with its reference") == 1


def test_folder_that_cannot_be_written_is_a_sentence(out, caplog):
    """As a full disk is."""
    (out / "references").mkdir()
    watcher = Watcher(out, 1, out / "references", 3)
    (out / "references").rmdir()
    watcher.add(stack(1), wcs(), FIRST, HEADER)
    assert "cannot be written: No such file or directory" in caplog.text


def test_event_file_of_schema_5_gets_the_table(tmp_path):
    path = tmp_path / "events.sqlite"
    database, _ = open_database(path)
    with closing(database):
        database.executescript("DROP TABLE candidates; PRAGMA user_version=5;")
    assert query_candidates(tmp_path) == []
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (6,)


def test_a_run_without_a_solved_stack_says_that_it_compared_nothing(tmp_path, caplog):
    WatchSink(tmp_path, 1, tmp_path / "references", 10, 2).close(frames=0, bad=0)
    assert not caplog.text
    WatchSink(tmp_path, 1, tmp_path / "references", 10, 2).close(frames=30, bad=0)
    assert "nothing new was watched for: no stack of 10 frames had a position on the sky" in caplog.text
