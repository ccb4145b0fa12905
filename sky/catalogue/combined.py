"""Several catalogues as one: users' tables, then OpenNGC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .objects import Catalogue, CatalogueObject
from .openngc import OpenNgc


class CombinedCatalogue:
    """Catalogues by precedence: an object in two has the name of the first."""

    def __init__(self, catalogues: Sequence[Catalogue]) -> None:
        self._catalogues = tuple(catalogues)

    def within(self, ra: float, dec: float, radius: float, *, extent: bool = False) -> list[CatalogueObject]:
        """Return the objects within a radius of a position in degrees, see `Catalogue`."""
        found: list[CatalogueObject] = []
        for catalogue in self._catalogues:
            more = catalogue.within(ra, dec, radius, extent=extent)
            if not found:
                found = more
                continue
            from .user_table import merge_tables

            found = merge_tables(found, more)
        return found

    def find(self, name: str) -> CatalogueObject | None:
        """Return the object with a name, of the first catalogue that has it."""
        return next((item for catalogue in self._catalogues if (item := catalogue.find(name))), None)


def open_catalogue(table: Path | None = None) -> Catalogue:
    """Open OpenNGC, and a user's table before it.

    Raises:
        UsageError: the table cannot be used.
        MissingExtra: a package of the extra ``sky`` is not installed.
    """
    openngc = OpenNgc()
    if table is None:
        return openngc
    from .user_table import UserTable

    return CombinedCatalogue([UserTable(table), openngc])
