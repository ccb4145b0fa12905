"""The event file: damaged, of another program, of newer and of the first version."""

import csv
import io
import os
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.events.database import open_database
from galaxy_edge.runtime.events.event import events_from_tracks
from galaxy_edge.runtime.events.event_row import as_csv
from galaxy_edge.runtime.events.queries import Query, query_events
from galaxy_edge.sky.position import COLUMNS, SkyPosition
from helpers.tracks import output, rows, track


@pytest.mark.parametrize("where", ["header", "middle", "empty"])
def test_damaged_event_file_is_renamed_and_reported(tmp_path, caplog, where):
    """A power loss or a bad card must not keep a telescope from observing.

    What can be recovered is not overwritten.
    """
    out = output(tmp_path)
    out.events([track(number, ended=True) for number in range(1, 200)])
    out.close(1, 0)
    path = tmp_path / "events.sqlite"
    content = bytearray(path.read_bytes())
    if where == "header":
        content[:16] = b"my diary, no sql"
    elif where == "middle":
        content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    else:
        content = content[:4096]  # only the first page: it refers to pages that are missing
    path.write_bytes(content)
    again = output(tmp_path)
    again.events([track(1, ended=True)])
    again.close(1, 0)
    (aside,) = tmp_path.glob("events-unreadable-*.sqlite")
    assert aside.read_bytes() == bytes(content)
    assert len(caplog.messages) == 1 and str(aside) in caplog.messages[0]
    # The new file continues the numbers of the folder's files: nothing of the old run is overwritten.
    assert rows(tmp_path, "SELECT run, crop FROM event") == [(2, "crops/0002/00001.png")]
    assert len(list(tmp_path.glob("crops/0001/*.png"))) == 199


def test_database_of_another_program_is_not_changed(tmp_path):
    """A mistyped output folder must not damage it."""
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as database:
        database.execute("CREATE TABLE diary (line)")
    with pytest.raises(UsageError, match="another program"):
        output(tmp_path)
    assert rows(tmp_path, "SELECT name FROM sqlite_schema") == [("diary",)]


def test_newer_file_is_not_changed(tmp_path):
    """An older program cannot know what a newer schema means."""
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="newer"):
        output(tmp_path)


FIRST_SCHEMA = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, source TEXT NOT NULL, version TEXT NOT NULL,
    engine TEXT NOT NULL, detector TEXT NOT NULL, classifier TEXT NOT NULL, frames INTEGER, bad_pictures INTEGER
);
CREATE TABLE event (
    run INTEGER NOT NULL REFERENCES run(id), number INTEGER NOT NULL,
    first_frame INTEGER NOT NULL, last_frame INTEGER NOT NULL, first_time TEXT NOT NULL, last_time TEXT NOT NULL,
    frames INTEGER NOT NULL, source TEXT NOT NULL, best_frame INTEGER NOT NULL,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL, score REAL NOT NULL,
    class TEXT NOT NULL, probability REAL NOT NULL, probabilities TEXT NOT NULL, crop TEXT,
    PRIMARY KEY (run, number)
);
CREATE INDEX event_class ON event(class);
INSERT INTO run VALUES (1, '2026-11-20T20:00:00.000Z', NULL, 'demo', '0.1.0', 'litert', 'd', 'c', 9, 0);
INSERT INTO run VALUES (2, '2026-11-21T20:00:00.000Z', NULL, 'demo', '0.1.0', 'litert', 'd', 'c', 9, 0);
INSERT INTO event VALUES (2, 7, 0, 8, 'a', 'b', 9, 'demo', 3, 1, 2, 3, 4, 0.5, 'spiral', 0.9, '{"spiral": 0.9}', NULL);
PRAGMA user_version = 1;
"""


def test_file_of_the_first_version_is_migrated(tmp_path):
    """A file written by 0.1.0 keeps its events and gives them ids.

    It has the same columns as a new file.
    """
    (tmp_path / "new").mkdir()
    output(tmp_path / "new").close(0, 0)
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as database:
        database.executescript(FIRST_SCHEMA)
    output(tmp_path).close(0, 0)
    ((event, state, kind),) = rows(tmp_path, "SELECT id, state, kind FROM told")
    assert event.endswith("-00007") and (state, kind) == ("ended", "object")
    assert len({uid for (uid,) in rows(tmp_path, "SELECT uid FROM run")}) == 3
    for table in ("run", "event", "told"):
        columns = f"SELECT name FROM pragma_table_info('{table}') ORDER BY name"
        assert rows(tmp_path, columns) == rows(tmp_path / "new", columns)


def test_commit_is_durable(tmp_path):
    """By default SQLite does not flush each commit in WAL mode.

    A power loss could then undo the latest commit.
    """
    database, _ = open_database(tmp_path / "events.sqlite")
    with closing(database):
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_position_on_the_sky_is_kept_and_unknown_ones_are_null(tmp_path):
    """What is not known is NULL in SQL, absent in JSON, and empty in CSV."""
    known = SkyPosition(
        192.7211, 41.1203, 2.5, 180.0, 105.0, "M 94", "galaxy", "SABa", 3.1, "M 94", ("NGC 1", "NGC 2"), None
    )
    unknown = SkyPosition(sky_note="no sky position: no solver is installed")
    writer = output(tmp_path)
    events = events_from_tracks([track(1, ended=True), track(2, ended=True), track(3, ended=True)], writer.info)
    places = (known, unknown, None)
    writer.writer.events([replace(event, sky=sky) for event, sky in zip(events, places, strict=True)])
    writer.close(3, 0)
    columns = "ra, dec, object_name, object_kind, object_neighbours, sky_note"
    assert rows(tmp_path, f"SELECT {columns} FROM told ORDER BY number") == [
        (192.7211, 41.1203, "M 94", "galaxy", '["NGC 1", "NGC 2"]', None),
        (None, None, None, None, None, unknown.sky_note),
        (None,) * 6,
    ]
    stored = query_events(tmp_path, Query())
    assert [event.sky for event in stored] == list(places)
    assert stored[1].to_dict()["sky"] == {"sky_note": unknown.sky_note} and "sky" not in stored[2].to_dict()
    lines = list(csv.DictReader(io.StringIO(as_csv(stored))))
    assert [line["object_name"] for line in lines] == ["M 94", "", ""] and lines[0]["dec"] == "41.1203"


def test_columns_of_positions_are_the_fields_of_a_position(tmp_path):
    """The event file's writer does not import the room that they are of."""
    output(tmp_path).close(0, 0)
    names = [name for (name,) in rows(tmp_path, "SELECT name FROM pragma_table_info('event') ORDER BY cid")]
    assert tuple(names[names.index("ra") :]) == COLUMNS
