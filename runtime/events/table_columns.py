"""The columns of exported tables: types, units, UCDs and descriptions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...sky.position import UNKNOWN
from .event_row import EventRow


class Column(NamedTuple):
    """A column of an exported table.

    Attributes:
        name: as in the event file and in CSV.
        kind: type of its values, some of which may be missing.
        ucd: what it is, a Unified Content Descriptor (UCD1+, IVOA).
        description: for readers.
        unit: as VOUnits writes it; "" for none.
        xtype: of VOTable; "" for none.
    """

    name: str
    kind: type
    ucd: str
    description: str
    unit: str = ""
    xtype: str = ""


COLUMNS = (
    Column("id", str, "meta.id;meta.main", "event, unique in all output folders"),
    Column("run", int, "meta.id;obs", "number of the run in its output folder"),
    Column("number", int, "meta.number", "number of the event in its run"),
    Column("state", str, "meta.code.status", "confirmed: still in sight; ended"),
    Column("kind", str, "meta.code.class", "object, or the kind of artefact"),
    Column("class", str, "src.morph.type", "morphological class with the highest probability"),
    Column("probability", float, "stat.probability;src.morph.type", "probability of the class"),
    Column("sure", bool, "meta.code.qual", "whether the class is more than a guess"),
    Column("score", float, "stat.likelihood", "score of the detector, 0 to 1"),
    Column("x0", float, "pos.cartesian.x;instr.det", "left edge of the box in the source's frame", "pixel"),
    Column("y0", float, "pos.cartesian.y;instr.det", "upper edge of the box; the first pixel begins at 0", "pixel"),
    Column("x1", float, "pos.cartesian.x;instr.det", "right edge of the box", "pixel"),
    Column("y1", float, "pos.cartesian.y;instr.det", "lower edge of the box", "pixel"),
    Column("frames", int, "meta.number;obs", "number of frames in which it was seen"),
    Column("first_time", str, "time.start", "first sighting, UTC", xtype="timestamp"),
    Column("last_time", str, "time.end", "last sighting, UTC", xtype="timestamp"),
    Column("first_frame", int, "meta.id;obs.image", "number of the first frame"),
    Column("last_frame", int, "meta.id;obs.image", "number of the last frame"),
    Column("best_frame", int, "meta.id;obs.image", "number of the frame of the best view"),
    Column("source", str, "meta.ref;obs.image", "file or camera of the best view"),
    Column("crop", str, "meta.ref", "file of the crop in the output folder"),
    Column("device", str, "meta.id;instr", "computer"),
    Column("engine", str, "meta.id;meta.software", "inference engine"),
    Column("detector", str, "meta.version;meta.software", "hash of the detector's bundle"),
    Column("classifier", str, "meta.version;meta.software", "hash of the classifier's bundle"),
    Column("version", str, "meta.version;meta.software", "version of galaxy-edge"),
    Column("probabilities", str, "stat.probability;src.morph.type", "probabilities of all classes, as JSON"),
    Column("group", str, "src.morph.type", "coarse class, where the class is a guess"),
    Column("ra", float, "pos.eq.ra;meta.main", "right ascension of the box's centre, ICRS", "deg"),
    Column("dec", float, "pos.eq.dec;meta.main", "declination of the box's centre, ICRS", "deg"),
    Column("position_error", float, "stat.error;pos.eq", "standard error of the position", "arcsec"),
    Column("size_arcsec", float, "phys.angSize", "square root of the box's area", "arcsec"),
    Column("position_angle", float, "pos.posAng", "position angle, east of north", "deg"),
    Column("object_name", str, "meta.id.assoc", "catalogued object"),
    Column("object_kind", str, "src.class", "what the catalogued object is"),
    Column("object_type", str, "src.morph.type", "its Hubble type"),
    Column("object_separation", float, "pos.angDistance", "distance from the catalogued position", "arcsec"),
    Column("object_id", str, "meta.id;src", "the same for an object in all runs of an output folder"),
    Column("object_neighbours", str, "meta.id.cross", "other catalogued objects in the box, as JSON"),
    Column("sky_note", str, "meta.note", "why there is no position, or what is known otherwise"),
)
"""Columns of a table, in their order: those of CSV."""


def column_values(events: Sequence[EventRow]) -> dict[str, list[Any]]:
    """Return the values of all columns by name; None where one is missing."""
    rows = []
    for event in events:
        flat = {"group": None, **event.to_dict(), "probabilities": json.dumps(event.probabilities)}
        flat |= zip(("x0", "y0", "x1", "y1"), event.box, strict=True)
        sky = event.sky or UNKNOWN
        flat |= vars(sky) | {"object_neighbours": json.dumps(sky.object_neighbours) if sky.object_neighbours else None}
        rows.append(flat)
    return {column.name: [row[column.name] for row in rows] for column in COLUMNS}
