"""The catalogued objects in the frames of a night, whether detected or not."""

from __future__ import annotations

from collections.abc import Sequence

from ...sky.catalogue.in_field import FieldObject, field_text, ranked
from ...sky.coordinates import ra_text
from .markup import table, text
from .sky_position import angle_text, dec_text

MAX_ROWS = 60


def known_objects(objects: Sequence[FieldObject]) -> str:
    """Return a sentence and a table of the objects; "" without any."""
    if not objects:
        return ""
    rows = [
        (
            item.name, item.kind, "" if item.magnitude is None else f"{item.magnitude:.1f}",
            "" if item.size_arcsec is None else angle_text(item.size_arcsec), ra_text(item.ra), dec_text(item.dec),
            "yes" if item.detected else "no",
        )
        for item in ranked(objects)[:MAX_ROWS]
    ]  # fmt: skip
    more = len(objects) - len(rows)
    note = f"<p>{more} more are not listed.</p>" if more > 0 else ""
    head = ("object", "kind", "magnitude", "size", "ra", "dec", "detected")
    return f"<h3>Known objects in the field</h3><p>{text(field_text(objects))}.</p>{table(head, rows)}{note}"
