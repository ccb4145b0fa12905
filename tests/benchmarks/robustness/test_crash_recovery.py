"""Killed at random moments under load: a smaller count of what `galaxy_edge.benchmarks.robustness.crash_recovery` measures."""

import json

import pytest
from galaxy_edge.benchmarks.robustness.crash_recovery import fill_disk, kill_repeatedly, mount_small_disk
from galaxy_edge.runtime.recording.output_folder import OutputFolder
from helpers.paths import REFERENCE

KEPT = REFERENCE / "faults-store.json"


def test_a_killed_run_loses_no_committed_event_and_leaves_no_half_written_crop(tmp_path):
    told = kill_repeatedly(tmp_path, kills=6, seed=2)
    assert told["seen"] > 50 and told["crops"] > 50, "there was no load"
    assert (told["lost"], told["crops_damaged"], told["integrity_failed"], told["set_aside"]) == (0, 0, 0, 0)
    about = dict.fromkeys(("started", "source", "version", "engine", "device", "detector", "classifier"), "x")
    OutputFolder(tmp_path, about, ("smooth",), video=False, floor=0).close(0, 0)
    assert not list(tmp_path.glob("crops/*/.*")), "the next start clears what was not finished"


def test_a_full_disk_costs_pictures_and_nothing_else():
    with mount_small_disk() as disk:
        if disk is None:
            pytest.skip("needs the right to mount a tmpfs (root)")
        told = fill_disk(disk, seconds=2.0)
    assert told["frames"]["full"] > 20, "the loop stood still"
    assert (told["alerts"], told["events_lost"], told["crops_damaged"]) == (2, 0, 0)


def test_the_figures_that_are_kept():
    told = json.loads(KEPT.read_text())
    assert told["kills"] >= 200 and told["seen"] > 1000
    assert (told["lost"], told["crops_damaged"], told["integrity_failed"], told["set_aside"]) == (0, 0, 0, 0)
    full = told["full_disk"]
    assert (full["alerts"], full["events_lost"], full["crops_damaged"]) == (2, 0, 0)
