"""An event file in which bits have flipped still shows its other events."""

import contextlib
import sqlite3

import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.events.queries import Query, get_event, query_events
from helpers.tracks import output, track


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("probabilities", '{"spiral": 0.'), ("probabilities", "[1]"), ("first_time", "2026-11-22T20:6"), ("frames", "x"),
        ("score", b"1"), ("ra", "x"), ("crop", b"1"), ("object_neighbours", "["),
    ],
)  # fmt: skip
def test_a_damaged_event_is_left_out_and_the_others_are_not(tmp_path, caplog, column, value):
    out = output(tmp_path)
    out.events([track(1, 0, ended=True), track(2, 1, ended=True)])
    out.close(2, 0)
    with contextlib.closing(sqlite3.connect(tmp_path / "events.sqlite")) as database, database:
        database.execute(f"UPDATE event SET {column} = ? WHERE number = 1", (value,))
    (event,) = query_events(tmp_path, Query())
    assert event.number == 2 and "event 1 of run 1" in caplog.text
    with pytest.raises(UsageError, match="damaged"):
        get_event(tmp_path, "1")


def test_a_letter_that_is_not_utf_8_is_replaced(tmp_path):
    out = output(tmp_path)
    out.events([track(1, 0, ended=True)])
    out.close(1, 0)
    with contextlib.closing(sqlite3.connect(tmp_path / "events.sqlite")) as database, database:
        database.execute("UPDATE event SET source = CAST(x'4dff31' AS TEXT)")
    assert query_events(tmp_path, Query())[0].source == "M\ufffd1"
