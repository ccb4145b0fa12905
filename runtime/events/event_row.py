"""An event as it is stored, and events as CSV."""

from __future__ import annotations

import csv
import datetime
import io
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...models.naming import sure_group
from ...sky import position as sky
from ...sky.position import SkyPosition
from ..system.output_text import csv_cell

COLUMNS = (
    "id", "run", "number", "state", "kind", "class", "probability", "sure", "score", "x0", "y0", "x1", "y1", "frames",
    "first_time", "last_time", "first_frame", "last_frame", "best_frame", "source", "crop", "device", "engine",
    "detector", "classifier", "version", "probabilities", "group", *sky.COLUMNS,
)  # fmt: skip
"""Columns of a CSV file, in their order; ``group`` is empty where the class is sure, or not even the group is."""


_WHOLE = ("run", "number", "first_frame", "last_frame", "frames", "best_frame")
_REAL = ("score", "probability", "x0", "y0", "x1", "y1")
_SKY = ("ra", "dec", "position_error", "size_arcsec", "position_angle", "object_separation")
_TEXT = ("first_time", "last_time", "source", "class", "probabilities", "state", "kind")


@dataclass(frozen=True)
class EventRow:
    """An event as stored, with the description of its run.

    Attributes:
        id: stable and unique, e.g. ``1f0c22aa-00012``.
        run, number: of the run in its output folder, and of the event in its run.
        first_frame, last_frame, first_time, last_time, frames: its sightings; times are UTC, ISO 8601.
        source, best_frame, score, box: its best view; the box is x0, y0, x1, y1 in pixels of that frame.
        name, probability, probabilities: its class, over all its frames; ``name`` is ``class`` in JSON, SQL and CSV.
        crop: path of its image in the output folder; None if there is none.
        state: confirmed or ended.
        kind: ``object``, or the kind of artefact.
        sure: whether the class is more than a guess; None if the classifier has no such threshold.
        device, engine, detector, classifier, version, started: of its run.
        sky: where it is on the sky, and which catalogued object it is; None where nothing is known.
    """

    id: str
    run: int
    number: int
    first_frame: int
    last_frame: int
    first_time: str
    last_time: str
    frames: int
    source: str
    best_frame: int
    score: float
    name: str
    probability: float
    probabilities: dict[str, float]
    crop: str | None
    state: str
    kind: str
    sure: bool | None
    device: str
    engine: str
    detector: str
    classifier: str
    version: str
    started: str
    box: list[float]
    sky: SkyPosition | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {"class" if key == "name" else key: value for key, value in vars(self).items() if key != "sky"}
        if self.sky:
            values["sky"] = self.sky.to_dict()
        if self.sure is False and (group := sure_group(self.probabilities)):
            values["group"] = group
        return values


def as_csv(events: list[EventRow]) -> str:
    """Return events as CSV (RFC 4180) with a header.

    Probabilities are a JSON object in one field.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for event in events:
        box = dict(zip(("x0", "y0", "x1", "y1"), event.box, strict=True))
        flat = {"group": None, **event.to_dict(), **box, "probabilities": json.dumps(event.probabilities)}
        flat |= zip(sky.COLUMNS, (event.sky or sky.UNKNOWN).to_row(), strict=True)
        writer.writerow({key: csv_cell(value) if isinstance(value := flat[key], str) else value for key in COLUMNS})
    return stream.getvalue()


def event_row(folder: Path, row: sqlite3.Row, running: int) -> EventRow:
    """Convert a row of the view ``told``.

    A deleted crop is None, and events of finished runs are ended.

    Args:
        folder: the output folder.
        row: of the view.
        running: number of the run that is running, see `queries`.

    Raises:
        ValueError: it is damaged.
    """
    kinds = (_WHOLE, int), (_REAL, (int, float)), (_TEXT, str), (_SKY, (float, int, type(None)))
    if wrong := [name for names, kind in kinds for name in names if not isinstance(row[name], kind)]:
        raise ValueError(f"{wrong[0]} is damaged")
    for name in ("first_time", "last_time"):
        datetime.datetime.fromisoformat(row[name])
    unlike = {"x0", "y0", "x1", "y1", "uid", "class", *sky.COLUMNS}
    values = {key: row[key] for key in row.keys() if key not in unlike}  # noqa: SIM118
    values["name"] = row["class"]
    values["box"] = [row["x0"], row["y0"], row["x1"], row["y1"]]
    values["sure"] = None if row["sure"] is None else bool(row["sure"])
    values["state"] = "ended" if row["run"] < running else row["state"]
    values["probabilities"] = json.loads(row["probabilities"])
    if not isinstance(values["probabilities"], dict):
        raise ValueError("probabilities is damaged")
    values["sky"] = SkyPosition.from_row([row[name] for name in sky.COLUMNS])
    if row["crop"] and not (folder / row["crop"]).is_file():
        values["crop"] = None
    return EventRow(**values)
