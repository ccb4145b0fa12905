"""ASTAP through a stand-in that reads and writes what its manual says."""

import os
import sys

import numpy as np
import pytest
from astropy.io import fits
from galaxy_edge.sky import verification
from galaxy_edge.sky.angles import separation
from galaxy_edge.sky.hints import Hints
from galaxy_edge.sky.solve import SolveError, solve
from galaxy_edge.sky.solvers.astap import Astap
from helpers.star_field import made_up_stars, make_field, make_wcs

TRUTH = make_wcs()
STARS, FLUX = made_up_stars(TRUTH)
NEAR = Hints(187.5, 41.2, 3.0, (2.3, 2.5))
PROGRAM = """#!{python}
import json, pathlib, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
pathlib.Path({folder!r}, "given.json").write_text(json.dumps(given))
frame = pathlib.Path(given["-f"])
pathlib.Path({folder!r}, "frame.fits").write_bytes(frame.read_bytes())
if {result!r}:
    frame.with_suffix(".ini").write_text({result!r})
sys.exit({status})
"""


@pytest.fixture
def astap(tmp_path, monkeypatch):
    """Install a program that writes a result, and its database."""
    monkeypatch.setattr(verification, "reference_stars", lambda wcs, found: STARS[:30])
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def install(result, status=0):
        path = tmp_path / "astap_cli"
        path.write_text(PROGRAM.format(python=sys.executable, folder=str(tmp_path), result=result, status=status))
        path.chmod(0o755)
        (tmp_path / "d05_0101.1476").touch()
        return Astap()

    return install


def ini(wcs):
    """Return the keywords of a result; no CTYPE is among them."""
    keys = {key: value for key, value in wcs.to_header().items() if key[:5] in ("CRPIX", "CRVAL") or key[:2] == "CD"}
    return "PLTSOLVD=T\n" + "".join(f"{key}={value: .16E}\n" for key, value in keys.items()) + "WARNING=\n"


def test_a_result_is_read_and_the_program_gets_the_hints(astap, tmp_path):
    solver = astap(ini(TRUTH))
    assert solver.missing() == ""
    found = solve(make_field(TRUTH, STARS, FLUX), NEAR, solvers=[solver])
    assert separation(*found.wcs.centre, *TRUTH.centre) * 3600 < 0.5 and found.solver == "astap"
    given = (tmp_path / "given.json").read_text()
    assert '"-ra": "12.500000", "-spd": "131.200000", "-fov": "0.3200"' in given and '"-r": "3"' in given
    assert fits.getdata(tmp_path / "frame.fits").dtype == np.uint16


@pytest.mark.parametrize(
    ("result", "status", "message"),
    [
        ("PLTSOLVD=F\nERROR=No solution found!\n", 1, "no match of its"),
        ("", 32, "astap wrote no result"),
        ("PLTSOLVD=T\nCRVAL1=nonsense\n", 0, "astap wrote a result that cannot be read"),
        (ini(make_wcs(ra=10.0)), 0, "a solution of astap was refused"),
    ],
    ids=["no solution", "no result", "cut short", "a lie"],
)
def test_what_is_no_solution_is_said_in_words(astap, result, status, message):
    with pytest.raises(SolveError, match=message):
        solve(make_field(TRUTH, STARS, FLUX), NEAR, solvers=[astap(result, status)])


def test_without_a_database_it_is_not_used(astap, tmp_path):
    solver = astap("")
    (tmp_path / "d05_0101.1476").unlink()
    assert solver.missing() in ("", "astap has no star database")  # one may be installed on this computer
