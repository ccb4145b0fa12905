"""What people say about events: right, wrong, or not a galaxy.

Kept next to the event file, in a file of its own: an answer and its crop survive when events are pruned, crops give way
to a quota, or a damaged event file is replaced.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ..system.utc_time import utc_now
from .database import BUSY_TIMEOUT
from .event_row import EventRow

RIGHT, WRONG, NOT_A_GALAXY = "right", "wrong", "not_galaxy"
VERDICTS = (RIGHT, WRONG, NOT_A_GALAXY)
FILE, CROPS = "reviews.sqlite", "reviewed"
_TABLE = """
CREATE TABLE IF NOT EXISTS review (
    event TEXT PRIMARY KEY, verdict TEXT NOT NULL, class TEXT, predicted TEXT NOT NULL, crop TEXT,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL, time TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Review:
    """An answer about an event.

    Attributes:
        event: id of the event.
        verdict: one of `VERDICTS`.
        name: the true class, where it is known; ``class`` in the table.
        predicted: the class that the event had.
        crop: path of the copy of its crop in the output folder; None if it had none.
        box: x0, y0, x1, y1 of the event in pixels of its source frame.
        time: of the answer, UTC.
    """

    event: str
    verdict: str
    name: str | None
    predicted: str
    crop: str | None
    box: tuple[float, float, float, float]
    time: str


def save_review(folder: Path, event: EventRow, verdict: str, name: str | None = None) -> Review:
    """Store an answer about an event; it replaces an earlier one.

    Args:
        folder: the output folder.
        event: the event as stored.
        verdict: one of `VERDICTS`.
        name: the true class, if the verdict is ``wrong`` and it is known; of a right one, it is the event's own.

    Raises:
        UsageError: nothing can be written.
    """
    x0, y0, x1, y1 = event.box
    true = {RIGHT: event.name, WRONG: name}.get(verdict)
    path = folder / FILE
    try:
        crop = _keep_crop(folder, event)
        review = Review(event.id, verdict, true, event.name, crop, (x0, y0, x1, y1), utc_now())
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as database, database:
            database.execute(_TABLE)
            values = (*list(vars(review).values())[:5], *review.box, review.time)
            database.execute("INSERT OR REPLACE INTO review VALUES (?,?,?,?,?,?,?,?,?,?)", values)
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"the answer cannot be written to {path}: {error}") from None
    return review


def delete_review(folder: Path, event: str) -> None:
    """Withdraw the answer about an event, if there is one.

    Raises:
        UsageError: nothing can be written.
    """
    path = folder / FILE
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as database, database:
            database.execute("DELETE FROM review WHERE event = ?", (event,))
        for copy in (folder / CROPS).glob(f"{event}.*"):
            copy.unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"the answer cannot be withdrawn from {path}: {error}") from None


def read_reviews(folder: Path) -> list[Review]:
    """Return the answers in an output folder, in the order of events.

    There are none without a file, and none in one that is being created: it has no table yet.

    Raises:
        UsageError: the file cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT)) as database:
            if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return []
            rows = database.execute("SELECT * FROM review ORDER BY event").fetchall()
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    return [_review(*row) for row in rows]


def _review(*row: Any) -> Review:
    event, verdict, name, predicted, crop, x0, y0, x1, y1, time = row
    return Review(event, verdict, name, predicted, crop, (x0, y0, x1, y1), time)


def _keep_crop(folder: Path, event: EventRow) -> str | None:
    """Copy an event's crop, so that it stays.

    Return its path, or None without a crop.
    """
    source = folder / event.crop if event.crop else None
    if source is None or not source.is_file():
        return None
    name = f"{CROPS}/{event.id}{source.suffix}"
    (folder / CROPS).mkdir(exist_ok=True)
    shutil.copyfile(source, folder / name)
    return name
