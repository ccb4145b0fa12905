"""An output folder whose events have positions on the sky."""

import sqlite3
from contextlib import closing

from helpers.tracks import frame, named, output, record, track

M94 = {
    "ra": 192.7213, "dec": 41.1203, "position_error": 1.5, "size_arcsec": 240.0, "position_angle": 95.0,
    "object_name": "M 94", "object_kind": "galaxy", "object_type": "SAab", "object_separation": 4.0,
    "object_id": "NGC 4736",
}  # fmt: skip
UNKNOWN_OBJECT = {"ra": 192.9, "dec": 41.3, "position_error": 2.0, "size_arcsec": 30.0, "object_id": "J125136+411800"}
NO_SKY = {"sky_note": "no sky position: too few stars"}


def sky_night(folder):
    """Write four events: two of M 94, one unknown, one without a position."""
    out = output(folder)
    for second in range(4):
        out.frame(frame(second), named(), record(second))
    out.events([track(number, number - 1, ended=True) for number in (1, 2, 3, 4)])
    out.close(4, 0)
    with closing(sqlite3.connect(folder / "events.sqlite")) as base, base:
        for number, sky in enumerate((M94, M94, UNKNOWN_OBJECT, NO_SKY), 1):
            columns = ", ".join(f"{name} = ?" for name in sky)
            base.execute(f"UPDATE event SET {columns} WHERE number = ?", (*sky.values(), number))
    return folder
