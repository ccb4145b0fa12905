"""Real plate solving, with astrometry.net and the stars of Tycho-2."""

import csv
import io
import json
import os
import shutil
import zipfile

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.runtime.astrometry.background import BackgroundSolver
from galaxy_edge.sky.angles import separation
from galaxy_edge.sky.hints import Hints
from galaxy_edge.sky.solve import SolveError, make_field, solve
from galaxy_edge.sky.solvers.astrometry_net import AstrometryNet, index_files
from galaxy_edge.sky.tycho2 import find_tycho2, open_tycho2
from galaxy_edge.sky.wcs import Wcs
from helpers.star_field import draw_stars, make_wcs

pytestmark = pytest.mark.skipif(
    bool(AstrometryNet().missing()) or find_tycho2() is None,
    reason="needs the packages astrometry.net and astrometry-data-tycho2",
)


def real_field(wcs: Wcs) -> np.ndarray:
    """Draw the stars of Tycho-2 in a field."""
    stars = open_tycho2().within(*wcs.centre, wcs.radius)
    return draw_stars(wcs, np.stack([stars.ra, stars.dec], axis=1), 10 ** (0.4 * (19.5 - stars.magnitude)))


@pytest.mark.parametrize(
    ("wcs", "hints"),
    [
        (make_wcs(ra=192.7, dec=41.1, scale=6.0), Hints(193.5, 41.5, 3.0, (5.5, 6.5))),
        (make_wcs(ra=0.01, dec=-0.02, scale=8.0), Hints(scale=(7.5, 8.5))),
        (make_wcs(ra=40.0, dec=89.7, scale=8.0, mirror=-1), Hints(0.0, 89.0, 3.0, (7.0, 9.0))),
        (make_wcs(ra=192.7, dec=41.1, scale=8.0), Hints(192.7 / 15, 41.1, 3.0, (7.5, 8.5))),
    ],
    ids=["near", "RA 0h, no position", "pole, mirrored", "hours for degrees"],
)
def test_drawn_fields_of_real_stars_are_solved(wcs, hints):
    light = real_field(wcs)
    found = solve(make_field([light], wcs.width, wcs.height), hints, 60.0, [AstrometryNet()])
    corners = np.array([[0, 0], [640, 0], [320, 240], [640, 480.0]])
    errors = separation(*found.wcs.to_sky(corners).T, *wcs.to_sky(corners).T) * 3600
    assert errors.max() < wcs.scale and found.wcs.mirrored == wcs.mirrored


def test_an_index_file_cut_short_is_named(tmp_path, monkeypatch):
    """An interrupted download; solve-field gets a configuration of its own."""
    whole = next(path for path in index_files() if "tycho2-07" in path.name)
    short = tmp_path / whole.name
    short.write_bytes(whole.read_bytes()[:100_000])
    (tmp_path / "cfg").write_text(f"add_path {tmp_path}\nindex {short.name}\n")
    program = tmp_path / "solve-field"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("solve-field")} --config {tmp_path}/cfg "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    wcs = make_wcs(ra=192.7, dec=41.1, scale=6.0)
    field = make_field([real_field(wcs)], wcs.width, wcs.height)
    with pytest.raises(SolveError, match=rf"the index file {short} is cut short or damaged; sudo apt install"):
        solve(field, Hints(192.7, 41.1, 3.0, (5.5, 6.5)), 60.0, [AstrometryNet()])


def test_a_solve_in_the_background_gives_the_same():
    wcs = make_wcs(ra=192.7, dec=41.1, scale=6.0)
    background = BackgroundSolver()
    background.start(real_field(wcs), (640, 480), 1, Hints(192.7, 41.1, 3.0, (5.5, 6.5)), 60.0, wcs)
    found = background.take(90.0)
    assert found.solver == "followed" and separation(*found.wcs.centre, *wcs.centre) * 3600 < 3


def test_raw_frames_agree_with_their_plate_solutions(shared_data, tmp_path):
    folder = shared_data / "seestar_subs"
    if not folder.is_dir():
        pytest.skip("needs seestar_subs in the folder GALAXY_EDGE_DATA")
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO((folder / "plate_solutions.csv").read_text()))}
    for archive in ("m94_night1.zip", "ngc7023.zip"):
        with zipfile.ZipFile(folder / archive) as files:
            name = files.namelist()[0]
            (tmp_path / name).write_bytes(files.read(name))
        target = tmp_path / "out"
        done = CliRunner().invoke(cli, ["solve", str(tmp_path / name), "--out", str(target), "--json"])
        assert done.exit_code == 0, done.output
        found, row = json.loads(done.stdout.splitlines()[-1]), rows[name]
        centre = float(row["ra_centre_deg"]), float(row["dec_centre_deg"])
        assert separation(found["ra"], found["dec"], *centre) * 3600 < 2
        with fits.open(found["written"]) as units, fits.open(tmp_path / name) as before:
            assert (units[0].data == before[0].data).all() and units[0].header["BAYERPAT"] == "GRBG"
            wcs = Wcs.from_header(dict(units[0].header))
            seen = wcs.to_sky(np.array([[540.0, 960.0]]))[0]
        assert separation(*seen, found["ra"], found["dec"]) * 3600 < 0.1
        shutil.rmtree(target)


def test_in_place_keeps_the_file_and_replaces_its_wcs(tmp_path):
    """Data, scaling, other keywords and extensions stay; no other file is left."""
    wcs = make_wcs(ra=192.7, dec=41.1, scale=6.0)
    path = tmp_path / "m94.fit"
    frame = fits.PrimaryHDU(np.clip(real_field(wcs), 0, 65_535).astype(np.uint16))
    frame.header.update({"OBJECT": "M 94", "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 10.0, "PV2_1": 0.5})
    table = fits.BinTableHDU.from_columns([fits.Column("X", "D", array=np.arange(3.0))], name="NOTES")
    fits.HDUList([frame, table]).writeto(path)
    hints = ["--ra", "192.7", "--dec", "41.1", "--scale", "6"]
    done = CliRunner().invoke(cli, ["solve", "--in-place", "--json", *hints, str(path)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["written"] == str(path) and list(tmp_path.iterdir()) == [path]
    with fits.open(path) as units:
        header = units[0].header
        assert np.array_equal(units[0].data, frame.data) and units["NOTES"].data["X"].tolist() == [0, 1, 2]
        assert (header["OBJECT"], header["CTYPE1"], "PV2_1" in header) == ("M 94", "RA---TAN", False)
        assert separation(header["CRVAL1"], header["CRVAL2"], 192.7, 41.1) < 0.5


def test_in_place_refuses_what_is_not_fits_and_leaves_unsolved_files_alone(tmp_path):
    photo, empty = tmp_path / "a.png", tmp_path / "b.fits"
    photo.touch()
    done = CliRunner().invoke(cli, ["solve", "--in-place", str(photo)])
    assert done.exit_code == 2 and "--in-place is for FITS files, and" in done.output
    done = CliRunner().invoke(cli, ["solve", "--in-place", "--out", str(tmp_path), str(empty)])
    assert done.exit_code == 2
    fits.PrimaryHDU(np.full((100, 100), 1000, np.uint16)).writeto(empty)
    before = empty.read_bytes()
    done = CliRunner().invoke(cli, ["solve", "--in-place", str(empty)])
    assert done.exit_code == 1 and "stars were found in it" in done.output and empty.read_bytes() == before
