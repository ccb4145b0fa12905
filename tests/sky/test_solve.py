"""Solutions are checked by stars, and solvers that hang are killed."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from galaxy_edge.sky import verification
from galaxy_edge.sky.angles import separation
from galaxy_edge.sky.hints import WIDE_RADIUS, Hints
from galaxy_edge.sky.solve import SolveError, SolveTimeoutError, solve
from galaxy_edge.sky.solvers.process import run_limited
from galaxy_edge.sky.solvers.solver import SolverError
from helpers.star_field import StandInSolver, made_up_stars, make_field, make_wcs

TRUTH = make_wcs()
STARS, FLUX = made_up_stars(TRUTH)
FIELD = make_field(TRUTH, STARS, FLUX)


@pytest.fixture(autouse=True)
def made_up_catalogue(monkeypatch):
    monkeypatch.setattr(verification, "reference_stars", lambda wcs, found: STARS[:30])


def test_a_true_solution_is_believed_and_refined():
    turn = np.radians(0.05)
    rough = TRUTH.shifted(np.array([[np.cos(turn), -np.sin(turn), 1.2], [np.sin(turn), np.cos(turn), -0.9]]))
    found = solve(FIELD, Hints(), solvers=[StandInSolver(rough)])
    corners = np.array([[0, 0], [640, 480], [320, 240]])
    errors = separation(*found.wcs.to_sky(corners).T, *TRUTH.to_sky(corners).T) * 3600
    assert errors.max() < 0.5 and found.residual_arcsec < 0.5 and found.stars_matched >= 10
    assert (found.solver, found.wcs.width, found.wcs.height) == ("stand-in", 640, 480)


def test_a_mirrored_frame_is_solved():
    wcs = make_wcs(mirror=-1)
    field = make_field(wcs, STARS, FLUX)
    found = solve(field, Hints(), solvers=[StandInSolver(wcs)])
    assert found.wcs.mirrored and found.residual_arcsec < 0.5


@pytest.mark.parametrize(
    "lie",
    [
        TRUTH.shifted(np.array([[1, 0, 40.0], [0, 1, 0.0]])), make_wcs(ra=10.0, dec=-20.0), make_wcs(angle=75.0),
        make_wcs(mirror=-1), make_wcs(scale=2.5), make_wcs(scale=1e-2),
    ],
    ids=["shifted", "elsewhere", "turned", "mirrored", "scaled", "far too fine"],
)  # fmt: skip
def test_a_lie_is_refused(lie):
    with pytest.raises(SolveError, match=r"refused|impossible"):
        solve(FIELD, Hints(), solvers=[StandInSolver(lie)])


def test_after_a_lie_the_next_solver_is_asked():
    found = solve(FIELD, Hints(), solvers=[StandInSolver(make_wcs(ra=10.0)), StandInSolver(TRUTH)])
    assert found.residual_arcsec < 0.5


def test_without_a_catalogue_the_stars_of_the_solver_are_checked(monkeypatch):
    monkeypatch.setattr(verification, "reference_stars", lambda wcs, found: np.zeros((0, 2)))
    assert solve(FIELD, Hints(), solvers=[StandInSolver(TRUTH, STARS[:30])]).residual_arcsec < 0.5
    with pytest.raises(SolveError, match="no star catalogue to check it"):
        solve(FIELD, Hints(), solvers=[StandInSolver(TRUTH)])


def test_stars_on_a_line_are_no_solution(monkeypatch):
    """They match, but leave the direction across the line open."""
    line = TRUTH.to_sky(np.stack([np.linspace(100, 900, 30)] * 2, axis=1))
    monkeypatch.setattr(verification, "reference_stars", lambda wcs, found: line)
    field = make_field(TRUTH, line, np.linspace(1000, 100, 30))
    assert verification.check_wcs(TRUTH, field) == "its stars do not determine it"


def test_no_solution_widens_the_search():
    solver = StandInSolver(None)
    with pytest.raises(SolveError, match=r"no match of its \d+ stars"):
        solve(FIELD, Hints(10.0, 20.0, 3.0, (2.0, 3.0)), solvers=[solver])
    assert [hints.ra for hints in solver.hints] == [10.0, 150.0, 10.0, None, None], "150: if 10 are hours"
    assert [hints.radius for hints in solver.hints[:3]] == [3.0, 3.0, WIDE_RADIUS]


def test_no_solver_and_no_stars_are_said_in_words():
    with pytest.raises(SolveError, match="install one: sudo apt install astrometry"):
        solve(FIELD, Hints(), solvers=[])
    empty = make_field(TRUTH, STARS[:0], FLUX[:0])
    with pytest.raises(SolveError, match="stars were found in it"):
        solve(empty, Hints(), solvers=[StandInSolver(TRUTH)])


def test_a_time_limit_is_named_as_the_reason(tmp_path):
    with pytest.raises(SolveTimeoutError, match="no solution within 1 s"):
        solve(FIELD, Hints(), 1.0, [StandInSolver(TRUTH)])

    class Slow(StandInSolver):
        def solve(self, field, hints, seconds):
            return run_limited([sys.executable, "-c", "import time; time.sleep(60)"], seconds, tmp_path)

    with pytest.raises(SolveTimeoutError, match="did not end within 1 s"):
        solve(FIELD, Hints(), 1.3, [Slow(None)])


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path):
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); import time; time.sleep(600)"
    with pytest.raises(SolverError, match="did not end within"):
        run_limited([sys.executable, "-c", f"import sys; sys.stdout = open('pid', 'w'); {script}"], 1.0, tmp_path)
    child = int((tmp_path / "pid").read_text())
    while os.path.exists(f"/proc/{child}") and " Z " not in Path(f"/proc/{child}/stat").read_text():
        time.sleep(0.01)


def test_a_program_that_is_missing_or_crashes_is_an_error_of_the_solver(tmp_path):
    with pytest.raises(SolverError, match="cannot be started"):
        run_limited([str(tmp_path / "none")], 1.0, tmp_path)
    with pytest.raises(SolverError, match="ended by SIGSEGV"):
        run_limited([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], 10.0, tmp_path)
