"""Classes that the experts' intervals of EFIGI's attributes allow.

See Baillard et al. 2011, A&A 532, A74.

A class is derived from attributes that experts gave as values with a lower and an upper limit, all on a scale of
quarters. Where an interval reaches over a class boundary, the experts did not decide between the classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from .archives import read_number

ATTRIBUTES = {"T": 1.0, "Inclination": 0.25, "Bulge_to_Total": 0.25, "Arm_Strength": 0.25, "Arm_Curvature": 0.25}
"""Attributes from which classes are derived, and the steps of their scales."""


def plausible_classes(row: Mapping[str, str]) -> frozenset[str]:
    """Return the classes that a galaxy's attribute intervals allow.

    They are the classes of all combinations of values within the intervals.

    Args:
        row: of EFIGI's table, with ``NAME``, ``NAME_inf`` and ``NAME_sup`` for `ATTRIBUTES`; -1: not determined.

    Raises:
        DataError: one is missing or not a number.
    """
    scales = [_values(row, name, step) for name, step in ATTRIBUTES.items()]
    return frozenset(name for values in itertools.product(*scales) if (name := derived_class(*values)))


def _values(row: Mapping[str, str], name: str, step: float) -> Iterable[float]:
    value, low, high = (read_number(row, f"{name}{part}") for part in ("", "_inf", "_sup"))
    if name != "T" and value < 0:
        return (value,)
    return sorted({value, *np.arange(min(low, value), max(high, value) + step / 2, step).tolist()})


def derived_class(hubble: float, inclination: float, bulge: float, arms: float, curvature: float) -> str | None:
    """Return the class that attribute values imply, or None.

    The rules are those by which the labels of the data set were made.
    """
    if hubble <= -4 or hubble == 11:
        return "smooth_round" if inclination <= 0.25 else "smooth_in_between" if inclination == 0.5 else "smooth_cigar"
    if hubble > 9:
        return None
    if inclination == 1:
        if bulge >= 0.5 or (bulge == 0.25 and hubble <= 4):
            return "edge_on_rounded_bulge"
        return "edge_on_no_bulge" if bulge == 0 or (bulge == 0.25 and hubble >= 6) else None
    if inclination > 0.5:
        return None
    if hubble <= 0:
        return "disk_no_spiral" if arms <= 0 else None
    if arms < 0.25:
        return None
    return "spiral_tight" if curvature >= 0.75 else "spiral_medium" if curvature == 0.5 else "spiral_loose"
