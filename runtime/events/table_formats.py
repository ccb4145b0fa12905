"""Write events as ECSV, VOTable, Parquet and regions.

ECSV (astropy APE 6), VOTable (IVOA) and Parquet are written by astropy, regions in the format of DS9.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...errors import require_extra
from ..system.address import printable_name
from .event_row import EventRow, as_csv
from .table_columns import COLUMNS, Column, column_values

if TYPE_CHECKING:
    from astropy.table import MaskedColumn, Table

SUFFIXES = {
    ".csv": "csv", ".json": "json", ".ecsv": "ecsv", ".vot": "votable", ".votable": "votable", ".xml": "votable",
    ".parquet": "parquet", ".reg": "regions",
}  # fmt: skip
"""Format by the suffix of a file."""
MIN_RADIUS = 2.0
"""Minimum radius of a region in arcsec."""
_FILLS: dict[type, Any] = {str: "", int: -1, float: float("nan"), bool: False}


def table_bytes(events: Sequence[EventRow], format: str) -> bytes:
    """Return events as a table.

    Args:
        events: the rows.
        format: csv, ecsv, votable, parquet or regions. Regions are circles of the box's size, of events with a
            position on the sky only.

    Raises:
        MissingExtra: the format needs a package that is not installed.
    """
    if format == "csv":
        return as_csv(list(events)).encode()
    if format == "regions":
        return ds9_regions(events).encode()
    require_extra("astropy", "tables")
    if format == "parquet":
        require_extra("pyarrow", "tables")
        return _parquet(events)
    return _ecsv(events) if format == "ecsv" else _votable(events)


def ds9_regions(events: Sequence[EventRow]) -> str:
    """Return a region file of DS9 with a circle for each event that has a position."""
    lines = ["# Region file format: DS9 version 4.1", "global color=green", "icrs"]
    for event in events:
        sky = event.sky
        if sky is None or sky.ra is None or sky.dec is None:
            continue
        radius = max(MIN_RADIUS, (sky.size_arcsec or 0.0) / 2)
        name = printable_name(sky.object_name or event.name).replace("{", "(").replace("}", ")")
        lines.append(f'circle({sky.ra:.7f},{sky.dec:.7f},{radius:.3f}") # text={{{name}}} tag={{{event.id}}}')
    return "\n".join(lines) + "\n"


def _astropy_table(events: Sequence[EventRow]) -> Table:
    from astropy.table import Table

    values = column_values(events)
    table = Table([_masked_column(column, values[column.name]) for column in COLUMNS])
    table.meta["creator"] = f"galaxy-edge {__version__}"
    return table


def _masked_column(column: Column, values: Sequence[Any]) -> MaskedColumn:
    from astropy.table import MaskedColumn

    missing = [value is None for value in values]
    convert = _printable if column.kind is str else column.kind
    filled = [_FILLS[column.kind] if value is None else convert(value) for value in values]
    width = max((len(value) for value in filled), default=0) if column.kind is str else 0
    dtype = f"U{max(2, width)}" if column.kind is str else column.kind
    meta = {"ucd": column.ucd} | ({"xtype": column.xtype} if column.xtype else {})
    return MaskedColumn(
        filled, name=column.name, mask=missing, dtype=dtype, unit=column.unit or None, description=column.description,
        meta=meta,
    )  # fmt: skip


def _ecsv(events: Sequence[EventRow]) -> bytes:
    stream = io.StringIO()
    _astropy_table(events).write(stream, format="ascii.ecsv")
    return stream.getvalue().encode()


def _votable(events: Sequence[EventRow]) -> bytes:
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import CooSys

    table = _astropy_table(events)
    for column in COLUMNS:
        if column.xtype:  # which VOTable allows for plain ASCII only
            table[column.name] = table[column.name].astype(bytes)
        elif column.kind is bool:  # astropy writes a missing one as nothing, which is not valid
            table[column.name] = table[column.name].astype("int16")
    document = from_table(table, table_id="events")
    document.resources[0].coordinate_systems.append(CooSys(ID="sky", system="ICRS"))
    for field in document.get_first_table().fields:
        if field.name in ("ra", "dec", "position_error"):
            field.ref = "sky"
    stream = io.BytesIO()
    document.to_xml(stream)
    return stream.getvalue()


def _parquet(events: Sequence[EventRow]) -> bytes:
    """Return Parquet; its metadata holds units and UCDs, as astropy reads them."""
    with tempfile.TemporaryDirectory() as folder:  # astropy writes to a path only
        path = Path(folder) / "events.parquet"
        _astropy_table(events).write(path, format="parquet")
        return path.read_bytes()


def _printable(value: object) -> str:
    """Return a text without characters that XML forbids."""
    return printable_name(str(value))
