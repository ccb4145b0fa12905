"""The OpenNGC catalogue, as PyOngc installs it (extra ``sky``).

Its file is read with SQL: objects of PyOngc take seconds for all, and a run needs those of one field at a time. The
file has positions in radians and axes in arcminutes.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ...errors import require_extra
from ..angles import separation
from .objects import CatalogueObject, compact_name

KINDS = {
    "G": "galaxy", "GPair": "galaxy pair", "GTrpl": "galaxy triplet", "GGroup": "galaxy group",
    "GCl": "globular cluster", "OCl": "open cluster", "*Ass": "star association", "Cl+N": "cluster with nebulosity",
    "PN": "planetary nebula", "HII": "HII region", "EmN": "emission nebula", "RfN": "reflection nebula",
    "Neb": "nebula", "SNR": "supernova remnant",
}  # fmt: skip
"""Kinds by the catalogue's types; stars, dark nebulae, duplicates and what does not exist are left out."""
CORRECTED_KINDS = {"NGC7023": "reflection nebula", "IC4703": "emission nebula"}
"""Well-known nebulae that the catalogue gives no kind: Lynds (1965); Sharpless (1959), Sh 2-49."""
CORRECTED_NAMES = {"M102": "NGC5866"}
"""The catalogue has M 102 as a second observation of M 101; observers' lists mean NGC 5866."""
_COLUMNS = (
    "name, type, ra, dec, majax, minax, pa, bmag, vmag, sbrightn, hubble, messier, ngc, ic, identifiers, commonnames"
)
_KNOWN = f"type IN ({', '.join(repr(kind) for kind in KINDS)}) AND ra IS NOT NULL AND dec IS NOT NULL"


class OpenNgc:
    """About 12 000 galaxies, clusters and nebulae; most galaxies to B = 15.

    Raises:
        MissingExtra: PyOngc is not installed.
    """

    def __init__(self) -> None:
        require_extra("pyongc", "sky")
        from pyongc import ongc

        self._path = Path(ongc.DBPATH)

    def within(self, ra: float, dec: float, radius: float, *, extent: bool = False) -> list[CatalogueObject]:
        """Return the objects within a radius of a position in degrees, see `Catalogue`."""
        reach = "+ coalesce(majax, 0) * ?" if extent else "+ 0 * ?"
        values = (math.radians(dec), math.radians(radius), math.radians(0.5 / 60.0))
        found = self._objects(f"abs(dec - ?) <= ? {reach}", values)
        return select_within(found, ra, dec, radius, extent)

    def find(self, name: str) -> CatalogueObject | None:
        """Return the object with a name: a number of any list, or a common name."""
        wanted = compact_name(name)
        wanted = CORRECTED_NAMES.get(wanted, wanted)
        number = re.fullmatch(r"(M|NGC|IC)(\d{1,5})(.*)", wanted)
        if number and number[1] == "M" and not number[3]:
            found = self._objects("messier = ?", (f"{int(number[2]):03d}",))
        elif number:
            found = self._numbered(f"{number[1]}{int(number[2]):04d}{number[3]}")
        else:
            wanted = re.sub(r"^CALDWELL(?=\d)", "C", wanted)
            parts = re.fullmatch(r"([A-Z]+)(\d.*)", wanted)  # UGC 7996 is listed as UGC 07996
            like = f"%{parts[1]} %{parts[2]}%" if parts else f"%{name.strip()}%"
            found = self._objects("identifiers LIKE ? OR commonnames LIKE ? OR notngc", (like, like))
        return next((item for item in found if number or wanted in map(compact_name, (item.name, *item.aliases))), None)

    def _numbered(self, name: str) -> list[CatalogueObject]:
        """Return the object with a number of NGC or IC, also that of a duplicate."""
        found = self._objects("name = ?", (name,))
        if not found:
            with closing(self._open()) as database:
                query = "SELECT ngc, ic FROM objects WHERE name = ? AND type = 'Dup'"
                row = database.execute(query, (name,)).fetchone()
            other = (f"NGC{row[0]}" if row[0] else f"IC{row[1]}") if row and any(row) else ""
            found = self._objects("name = ?", (other,)) if other else []
        return found

    def _objects(self, condition: str, values: Sequence[Any]) -> list[CatalogueObject]:
        with closing(self._open()) as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM objects WHERE ({condition}) AND {_KNOWN}", values)
            return [_object(*row) for row in rows]

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self._path.as_uri()}?mode=ro&immutable=1", uri=True)


def select_within(
    objects: Iterable[CatalogueObject], ra: float, dec: float, radius: float, extent: bool
) -> list[CatalogueObject]:
    """Return the objects within a radius in degrees, nearest first; see `Catalogue`."""
    candidates = list(objects)
    if not candidates:
        return []
    distances = separation(ra, dec, [item.ra for item in candidates], [item.dec for item in candidates])
    found = []
    for item, distance in zip(candidates, distances.tolist(), strict=True):
        if distance <= radius + (extent * (item.major_arcsec or 0.0) / 7200.0):
            found.append((distance, item.name, item))
    return [item for _, _, item in sorted(found, key=lambda entry: entry[:2])]


# Many parameters because each is a column of the catalogue.
def _object(
    name: str, type: str, ra: float, dec: float, major: float | None, minor: float | None, angle: float | None,
    b: float | None, v: float | None, brightness: float | None, hubble: str | None, messier: str | None,
    ngc: str | None, ic: str | None, identifiers: str | None, common: str | None,
) -> CatalogueObject:  # fmt: skip
    names = [f"M {int(messier)}"] if messier else []
    names.append(_spaced(name))
    for prefix, numbers in (("NGC", ngc), ("IC", ic)):
        names += [f"{prefix} {number.strip().lstrip('0')}" for number in (numbers or "").split(",") if number.strip()]
    for more in (common, identifiers):
        names += [text.strip() for text in (more or "").split(",") if text.strip()]
    major_arcsec = major * 60.0 if major else None
    return CatalogueObject(
        names[0], tuple(dict.fromkeys(names[1:])), CORRECTED_KINDS.get(name, KINDS[type]), math.degrees(ra),
        math.degrees(dec), major_arcsec, minor * 60.0 if minor else major_arcsec, angle, v if v is not None else b,
        brightness, (hubble or "").strip() or None,
    )  # fmt: skip


def _spaced(name: str) -> str:
    """Return a catalogue's name as it is written: ``NGC0224`` is ``NGC 224``."""
    parts = re.fullmatch(r"([A-Za-z]+)(\d.*)", name)
    if not parts:
        return name
    return f"{parts[1]} {parts[2] if parts[1] == 'ESO' else parts[2].lstrip('0')}"
