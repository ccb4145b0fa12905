"""Positions of a run's frames: from headers, solved, followed, solved again."""

import datetime

import numpy as np
import pytest
from galaxy_edge.runtime.astrometry import FramePositions, positioner
from galaxy_edge.runtime.astrometry.positioner import PositionerOptions, SkyPositioner
from galaxy_edge.runtime.frame import Frame
from galaxy_edge.sky import verification
from galaxy_edge.sky.angles import separation
from galaxy_edge.sky.hints import Hints
from galaxy_edge.sky.solution import Solution
from helpers.star_field import draw_stars, made_up_stars, make_wcs

TRUTH = make_wcs()
STARS, FLUX = made_up_stars(TRUTH)
SCALE = Hints(scale=(2.2, 2.6))
STILL = np.eye(3)


class StandInBackground:
    """A background solver with given answers; None: it does not end."""

    def __init__(self, *answers):
        self.answers, self.tasks, self.is_busy = list(answers), [], False

    def start(self, light, size, binning, hints, seconds, followed):
        self.tasks.append((hints, followed))
        self.is_busy = True

    def take(self, wait=0.0):
        if not self.is_busy or self.answers[0] is None:
            return None
        self.is_busy = False
        return self.answers.pop(0)

    def close(self):
        self.is_busy = False


def make_frame(header=None, wcs=TRUTH, binning=1):
    light = draw_stars(wcs, STARS, FLUX)
    if binning == 2:
        light = light.reshape(wcs.height // 2, 2, wcs.width // 2, 2).mean(axis=(1, 3))
    pixels = np.clip(np.repeat((light / 16)[..., None], 3, axis=2), 0, 255).astype(np.uint8)
    time = datetime.datetime(2026, 11, 29, tzinfo=datetime.UTC)
    return Frame(pixels, time, "a.fits", 0, header=header or {}, planes=(light,), binning=binning)


def solved(wcs=TRUTH):
    return Solution(wcs, "stand-in", 1.0, 0.5, 12)


def errors(found, truth):
    corners = np.array([[0, 0], [640, 480.0]])
    return separation(*found.wcs.to_sky(corners).T, *truth.to_sky(corners).T).max() * 3600


def test_a_frame_of_a_camera_does_not_wait_for_its_solve():
    background = StandInBackground(None)
    sky = SkyPositioner(PositionerOptions(SCALE), solver=background)
    assert sky.locate(make_frame(), STILL, True, 0) == (None, "no sky position: the field is being solved")
    background.answers = [solved()]
    found, note = sky.locate(make_frame(), STILL, True, 0)
    assert errors(found, TRUTH) < 1e-6 and note == ""


@pytest.mark.parametrize("binning", [1, 2])
def test_a_position_follows_the_sky(binning):
    turn = np.radians(5)
    motion = np.array([[np.cos(turn), -np.sin(turn), 30.0], [np.sin(turn), np.cos(turn), -7.0], [0, 0, 1]])
    scale = np.array([[1 / binning, 0, 0.5 / binning - 0.5], [0, 1 / binning, 0.5 / binning - 0.5], [0, 0, 1]])
    sky = SkyPositioner(PositionerOptions(SCALE, wait=True), solver=StandInBackground(solved()))
    frame = make_frame(binning=binning)
    assert sky.locate(frame, STILL, True, 0)[0] is not None
    # `motion` is between pixels whose centres are at whole numbers, as in `imaging.sky_motion`.
    moved, _ = sky.locate(frame, scale @ motion @ np.linalg.inv(scale), True, 0)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    assert errors(moved, TRUTH.shifted(half @ motion @ np.linalg.inv(half))) < 1e-3


def test_after_a_slew_the_new_field_is_solved_and_the_old_one_remembered():
    other = make_wcs(ra=188.0)
    background = StandInBackground(solved(), solved(other))
    sky = SkyPositioner(PositionerOptions(SCALE, wait=True), solver=background)
    for field, truth in ((0, TRUTH), (1, other), (0, TRUTH)):
        assert errors(sky.locate(make_frame(), STILL, True, field)[0], truth) < 1e-6
    assert len(background.tasks) == 2
    assert (background.tasks[1][0].ra, background.tasks[1][0].dec) == pytest.approx(TRUTH.centre)


def test_a_followed_position_is_checked_and_a_contradicted_one_given_up(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(positioner.time, "monotonic", lambda: now[0])
    better = TRUTH.shifted(np.array([[1, 0, 0.3], [0, 1, 0.0]]))
    checked = Solution(better, "followed", 0.0, 0.4, 14)
    background = StandInBackground(solved(), checked, "no match of its 40 stars was found", solved())
    sky = SkyPositioner(PositionerOptions(SCALE, interval=300.0), solver=background)
    sky.locate(make_frame(), STILL, True, 0)
    assert sky.locate(make_frame(), STILL, True, 0)[0].solver == "stand-in"
    assert len(background.tasks) == 1
    now[0] = 301.0
    sky.locate(make_frame(), STILL, True, 0)
    found, _ = sky.locate(make_frame(), STILL, True, 0)
    assert background.tasks[1][1] is not None and errors(found, better) < 1e-6 and found.solver == "stand-in"
    now[0] = 602.0
    sky.locate(make_frame(), STILL, True, 0)
    assert sky.locate(make_frame(), STILL, True, 0) == (None, "no sky position: no match of its 40 stars was found")
    assert len(background.tasks) == 3, "after a failure there is a pause"
    now[0] = 700.0
    sky.locate(make_frame(), STILL, True, 0)
    assert sky.locate(make_frame(), STILL, True, 0)[0] is not None


def test_a_cloud_contradicts_no_position(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(positioner.time, "monotonic", lambda: now[0])
    sky = SkyPositioner(PositionerOptions(SCALE), solver=StandInBackground(solved(), "only 2 stars were found in it"))
    sky.locate(make_frame(), STILL, True, 0)
    sky.locate(make_frame(), STILL, True, 0)
    now[0] = 301.0
    sky.locate(make_frame(), STILL, True, 0)
    assert sky.locate(make_frame(), STILL, True, 0)[0] is not None
    assert sky.locate(make_frame(), STILL, False, 0)[1] == (
        "no sky position: the frame shows no stars that were seen before"
    )


def test_unrelated_files_are_solved_each_for_itself():
    other = make_wcs(ra=10.0)
    options = PositionerOptions(wait=True, continuous=False)
    sky = SkyPositioner(options, solver=StandInBackground(solved(), "no match", solved(other)))
    header = {"RA": 187.0, "DEC": 41.0, "SCALE": 2.4}
    assert errors(sky.locate(make_frame(header), STILL, True, 0)[0], TRUTH) < 1e-6
    assert sky.locate(make_frame(header), STILL, True, 0) == (None, "no sky position: no match")
    assert errors(sky.locate(make_frame(header), STILL, True, 0)[0], other) < 1e-6


def test_a_file_without_any_hint_is_not_solved():
    background = StandInBackground()
    sky = SkyPositioner(PositionerOptions(wait=True), solver=background)
    assert "nor --scale says" in sky.locate(make_frame({"OBJECT": "M 94"}), STILL, True, 0)[1]
    assert background.tasks == []


def test_without_a_solver_the_note_says_what_to_install(monkeypatch):
    monkeypatch.setattr(positioner, "usable_solvers", list)
    monkeypatch.setattr(positioner, "why_none", lambda: "no plate solver is installed")
    found, note = SkyPositioner(PositionerOptions(SCALE)).locate(make_frame(), STILL, True, 0)
    assert found is None and note.startswith("no sky position: no plate solver is installed (sudo apt install")


def test_the_wcs_of_headers_is_used_unless_the_stars_contradict_it(monkeypatch):
    monkeypatch.setattr(verification, "reference_stars", lambda wcs, found: STARS[:30])
    background = StandInBackground(solved())
    found, _ = SkyPositioner(PositionerOptions(), solver=background).locate(
        make_frame(TRUTH.to_header()), STILL, True, 0
    )
    assert found.solver == "header" and errors(found, TRUTH) < 1e-6 and background.tasks == []
    wrong = make_wcs(ra=187.2).to_header() | {"SCALE": 2.4}
    sky = SkyPositioner(PositionerOptions(wait=True), solver=background)
    found, _ = sky.locate(make_frame(wrong), STILL, True, 0)
    assert found.solver == "stand-in" and errors(found, TRUTH) < 1e-6


def test_nothing_is_imported_or_solved_where_it_is_switched_off_or_hopeless():
    def make():
        raise AssertionError

    frame = make_frame()
    assert FramePositions(make, False, "off").locate(frame, STILL, True, 0)[1] == "no sky position: off"
    assert "nor --scale says" in FramePositions(make, False).locate(frame, STILL, True, 0)[1]
