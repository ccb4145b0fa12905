"""What is stored of candidates, and how much."""

import dataclasses
import datetime
from pathlib import Path

import numpy as np
import pytest
from galaxy_edge.runtime.events.candidates import query_candidates
from galaxy_edge.runtime.events.database import open_database
from galaxy_edge.runtime.watch import store as module
from galaxy_edge.runtime.watch.references import Reference
from galaxy_edge.runtime.watch.store import CandidateStore
from galaxy_edge.sky.differencing.candidate import Candidate, Cutouts
from galaxy_edge.sky.differencing.search_area import GalaxyOffset
from galaxy_edge.sky.wcs import Wcs

pytest.importorskip("astropy", reason="needs the sky extra")

TIME = datetime.datetime(2026, 11, 28, 22, tzinfo=datetime.UTC)
WCS = Wcs((150.0, 30.0), (4.0, 4.0), 4 / 3600 * np.array([[-1.0, 0.0], [0.0, -1.0]]), 8, 8)
REFERENCE = Reference(Path("M-94.fits"), "M 94", "camera", WCS, 5, TIME)
LIGHT = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
FIRST = Candidate(
    1, 150.0, 30.0, 0.5, 13.5, 0.1, GalaxyOffset("M 94", 1.0, 2.0, 0.1), 3, 3, 9.0, TIME, TIME, 15.0, 0.9,
    Cutouts(LIGHT, LIGHT, LIGHT, WCS),
)  # fmt: skip


def at(dec, **values):
    return dataclasses.replace(FIRST, dec=dec, **values)


@pytest.fixture
def out(tmp_path):
    open_database(tmp_path / "events.sqlite")[0].close()
    return tmp_path


def test_field_that_is_opened_again_replaces_no_candidate(out):
    """Its candidates are counted from 1 again."""
    passed_on = []
    store = CandidateStore(out, 1, 0, (lambda row, image, is_new: passed_on.append((row.id[-7:], image[:2], is_new)),))
    for candidate in (FIRST, at(30.01), at(30.0001, number=2, sightings=4)):
        assert store.save(candidate, REFERENCE) == ""
    assert sorted((row.id[-7:], row.sightings) for row in query_candidates(out)) == [("-01-M94", 4), ("-02-M94", 3)]
    assert passed_on == [
        ("-01-M94", b"\xff\xd8", True),
        ("-02-M94", b"\xff\xd8", True),
        ("-01-M94", b"\xff\xd8", False),
    ]


def test_candidates_of_a_field_are_bounded(out, monkeypatch):
    """A night with clouds must not fill the disk."""
    monkeypatch.setattr(module, "MAX_CANDIDATES", 2)
    store = CandidateStore(out, 1, 0)
    assert [store.save(at(30.0 + 0.01 * number), REFERENCE)[:11] for number in range(3)] == ["", "", "more than 2"]
    assert len(query_candidates(out)) == len(list((out / "candidates").iterdir())) == 2


@pytest.mark.parametrize("reason", ["has 1; delete those that are checked", "below its floor of free space"])
def test_cutouts_are_bounded_and_rows_stay(out, monkeypatch, caplog, reason):
    """Over many nights, and on a full disk.

    A candidate that has files keeps them up to date.
    """
    monkeypatch.setattr(module, "MAX_FOLDERS", 1)
    store = CandidateStore(out, 1, 0)
    assert store.save(FIRST, REFERENCE) == ""
    if "floor" in reason:
        store = CandidateStore(out, 2, 1 << 60)
    assert reason in store.save(at(30.01), REFERENCE)
    assert len(query_candidates(out)) == 2 and len(list((out / "candidates").iterdir())) == 1
    assert "please check it, see galaxy-edge events candidates " in caplog.text
    if "floor" not in reason:
        assert store.save(at(30.0, sightings=4), REFERENCE) == ""
