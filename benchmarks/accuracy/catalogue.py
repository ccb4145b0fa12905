"""Look up objects in the OpenNGC catalogue, through PyOngc.

It gives whether an object is a galaxy, and its Hubble type.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass

CORRECTIONS = {"M102": "NGC5866"}
"""Names that the catalogue assigns to other objects. It lists M 102 as a second observation of M 101 (NGC 5457);
observers' lists, including that of these frames, mean the Spindle Galaxy, NGC 5866."""
AXIS_RATIOS = {"NGC4594": 0.4}
"""Axis ratios of RC3 (de Vaucouleurs et al. 1991) in place of the catalogue's, whose axes of M 104 (0.58) are those of
the halo: the disk is seen edge-on."""

GALAXY_TYPES = frozenset({"Galaxy", "Galaxy Pair", "Galaxy Triplet", "Group of galaxies"})


@dataclass(frozen=True)
class CatalogueEntry:
    """An object of the catalogue.

    Attributes:
        name: e.g. ``NGC4736``.
        is_galaxy: whether it is a galaxy, or several.
        hubble: Hubble type, e.g. ``Sab``; empty if there is none.
        axis_ratio: minor by major axis, 0..1; 1 if the catalogue has none.
    """

    name: str
    is_galaxy: bool
    hubble: str
    axis_ratio: float


def find_object(name: str) -> CatalogueEntry | None:
    """Look an object up by its name.

    Examples are ``M94``, ``M 94 (Cat's Eye)``, ``NGC0205`` and ``IC4537``.

    A component, such as ``NGC6027A``, is a separate object; components that only NED lists (``NED01``) are unknown.

    Returns:
        None if the catalogue does not have the name, or is not installed (extra ``catalogue``).
    """
    if importlib.util.find_spec("pyongc") is None:
        return None
    from pyongc import ongc

    match = re.match(r"\s*(M|NGC|IC)\s*0*(\d+)([A-Z]?)(?![A-Z0-9])(?!\s*NED)", name, re.IGNORECASE)
    if not match:
        return None
    number = "".join(match.groups()).upper()
    found = ongc.get(CORRECTIONS.get(number, number))
    if found is None:
        return None
    major, minor = (*(found.dimensions or ()), None, None)[:2]
    ratio = AXIS_RATIOS.get(found.name) or (float(minor) / float(major) if major and minor else 1.0)
    return CatalogueEntry(found.name, found.type in GALAXY_TYPES, (found.hubble or "").strip(), ratio)


def is_galaxy(name: str) -> bool | None:
    """Return whether an object is a galaxy; None if the catalogue does not have it."""
    entry = find_object(name)
    return None if entry is None else entry.is_galaxy
