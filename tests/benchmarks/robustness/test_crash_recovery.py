"""Kills and a full disk, as in `benchmarks.robustness.crash_recovery`.

The counts are smaller.
"""

import json

import pytest
from galaxy_edge.benchmarks.robustness.crash_recovery import fill_disk, kill_repeatedly, mount_small_disk
from galaxy_edge.runtime.recording.output_folder import OutputFolder
from helpers.paths import REFERENCE

STORED = REFERENCE / "faults-store.json"


def test_killed_run_loses_no_committed_event_and_no_crop(tmp_path):
    """A power failure must cost at most what was not committed yet."""
    counts = kill_repeatedly(tmp_path, kills=6, seed=2)
    assert counts["seen"] > 10 and counts["crops"] > 10, "there was no load"
    assert (counts["lost"], counts["crops_damaged"], counts["integrity_failed"], counts["set_aside"]) == (0, 0, 0, 0)
    about = dict.fromkeys(("started", "source", "version", "engine", "device", "detector", "classifier"), "x")
    OutputFolder(tmp_path, about, ("smooth",), video=False, floor=0).close(0, 0)
    assert not list(tmp_path.glob("crops/*/.*")), "the next start deletes unfinished files"


def test_full_disk_costs_images_and_nothing_else():
    """Events stay in memory until there is space, and the loop must not wait."""
    with mount_small_disk() as disk:
        if disk is None:
            pytest.skip("needs the right to mount a tmpfs (root)")
        counts = fill_disk(disk, seconds=2.0)
    assert counts["frames"]["full"] > 20, "the loop was blocked"
    assert (counts["alerts"], counts["events_lost"], counts["crops_damaged"]) == (2, 0, 0)


def test_stored_results():
    """The published run of 200 kills had no loss."""
    counts = json.loads(STORED.read_text())
    assert counts["kills"] >= 200 and counts["seen"] > 1000
    assert (counts["lost"], counts["crops_damaged"], counts["integrity_failed"], counts["set_aside"]) == (0, 0, 0, 0)
    full = counts["full_disk"]
    assert (full["alerts"], full["events_lost"], full["crops_damaged"]) == (2, 0, 0)
