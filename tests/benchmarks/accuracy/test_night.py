"""`eval night`: frames with known targets, alone and stacked, with intervals."""

import csv
import json

import numpy as np
import pytest
from galaxy_edge.benchmarks.accuracy.night import (
    NightError,
    Target,
    holds_target,
    night_rows,
    read_truth,
    score_frame,
    summarise,
)
from galaxy_edge.models.intervals import poisson_interval, wilson_interval
from helpers.command_line import galaxy_edge_in_process as command_line
from helpers.images import encode, render


def test_intervals_agree_with_an_independent_reference():
    """Intervals equal scipy's exact Poisson limits and Wilson's textbook value."""
    stats = pytest.importorskip("scipy.stats", reason="needs the train extra")
    for count in (0, 1, 3, 20):
        low, high = poisson_interval(count, 10)
        assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * count + 2) / 20, rel=0.02)
        assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * count) / 20 if count else 0, rel=0.03, abs=1e-6)
    for found, total in ((18, 20), (0, 5), (5, 5), (113, 334)):
        reference = stats.binomtest(found, total).proportion_ci(method="wilson")
        assert wilson_interval(found, total) == pytest.approx((reference.low, reference.high), abs=1e-6)


def test_a_target_must_lie_in_the_middle_of_the_box():
    """A box over half of the frame that happens to hold the galaxy has not found it."""
    boxes = np.array([[0, 0, 100, 100], [40, 40, 60, 60], [0, 0, 61, 61]], float)
    assert holds_target(boxes, 50, 50).tolist() == [True, True, False]


def test_false_detections_are_those_that_hold_no_galaxy():
    """A nebula is not a galaxy: every box of its frame is false."""
    boxes = np.array([[40, 40, 60, 60], [0, 0, 200, 60], [80, 80, 90, 90]], float)
    galaxy = score_frame(boxes, [Target("M94", 50, 50, True)])
    assert galaxy.found == {"M94": True} and galaxy.false == 1
    assert score_frame(boxes, [Target("NGC7023", 50, 50, False)]).false == 3
    assert score_frame(np.zeros((0, 4)), [Target("M94", 50, 50, True)]).found == {"M94": False}


def test_frames_are_added_up_by_object():
    """Two galaxies in some frames, none in others."""
    both = [Target("M65", 10, 10, True), Target("M66", 80, 80, True)]
    scores = [
        score_frame(np.array([[5, 5, 15, 15]], float), both),
        score_frame(np.array([[5, 5, 15, 15], [70, 70, 90, 90]], float), both),
        score_frame(np.array([[5, 5, 15, 15]], float), [Target("NGC7023", 40, 40, False)]),
    ]
    result = summarise(1, scores)
    assert {name: (row.found, row.frames) for name, row in result.galaxies.items()} == {
        "M65": (2, 2), "M66": (1, 2)
    }  # fmt: skip
    assert (result.false, result.frames_without_galaxy, result.false_without_galaxy) == (1, 1, 1)
    assert len(night_rows([result])) == 2
    empty = summarise(4, [])
    assert night_rows([empty]) == [("4", "no galaxy", "0", "-", "-", "-")]


def test_a_table_that_does_not_fit_is_refused(tmp_path):
    """Each fault is named with the file, and the line where there is one."""
    path = tmp_path / "truth.csv"
    for text, words in (
        ("", "no rows"),
        ("file,object\na.png,M94\n", "lacks the columns target_x, target_y"),
        ("file,object,target_x,target_y\na.png,M94,x,3\n", "line 2"),
    ):
        path.write_text(text)
        with pytest.raises(NightError, match=words):
            read_truth(path, lambda _: None)
    with pytest.raises(NightError, match="cannot be read"):
        read_truth(tmp_path / "missing.csv", lambda _: None)


def test_the_command_runs_over_a_folder(tmp_path):
    """Alone and in stacks of two, as a night runs.

    The galaxy column overrides the catalogue.
    """
    night = tmp_path / "night"
    night.mkdir()
    with (tmp_path / "truth.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["file", "object", "target_x", "target_y", "galaxy"])
        for number in range(3):
            (night / f"{number}.png").write_bytes(encode(render([(60, 40, 12)], 160, 120)))
            rows.writerow([f"{number}.png", "drawn", 60, 40, 1])
    done = command_line("eval", "night", night, "--truth", tmp_path / "truth.csv", "--depths", "1,2", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [depth["frames"] for depth in result["depths"]] == [3, 2]
    assert all(depth["galaxies"]["drawn"]["found"] == depth["frames"] for depth in result["depths"])


def test_a_night_too_short_for_a_stack_says_so_by_its_number_of_frames(tmp_path):
    """It was said that no frame has a row in the table, if another frame has none."""
    night = tmp_path / "night"
    night.mkdir()
    for name in ("known.png", "unknown.png"):
        (night / name).write_bytes(encode(render([(60, 40, 12)], 160, 120)))
    table = tmp_path / "truth.csv"
    table.write_text("file,object,target_x,target_y,galaxy\nknown.png,drawn,60,40,1\n")
    done = command_line("eval", "night", night, "--truth", table, "--depths", "1,8", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [depth["frames"] for depth in result["depths"]] == [1, 0] and result["unknown"] == 1
    table.write_text("file,object,target_x,target_y,galaxy\nother.png,drawn,60,40,1\n")
    done = command_line("eval", "night", night, "--truth", table, "--depths", "8")
    assert done.returncode and "no frame of" in done.stderr and "has a row in the truth table" in done.stderr
