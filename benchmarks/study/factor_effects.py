"""The main effects of a table of all combinations of several factors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import MissingExtra
from ...extras import extra_command

NONE = "bigger"
"""The row without any of the factors; the others are named after theirs, e.g. ``dropout+l1l2``."""


def main_effects(rows: Sequence[Mapping[str, Any]], factors: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Return by how much each factor raises the macro F1.

    The mean is over all combinations of the others. The 95 % interval is Student's, from the pooled variance between
    seeds: of training again, not of other images.

    Args:
        rows: of a study's table, each with ``name``, ``f1``, ``f1_sd`` and ``seeds``; other rows are left out.
        factors: names of the factors.

    Returns:
        Factor -> effect, lower and upper limit. Empty if a combination is missing, or has one seed only, or the
        numbers of seeds differ.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    try:
        from scipy.stats import t
    except ImportError:
        raise MissingExtra(f"the effects of a table need scipy: {extra_command('train')}") from None
    named = {frozenset[str]() if row["name"] == NONE else frozenset(row["name"].split("+")): row for row in rows}
    wanted = [frozenset(chosen) for n in range(len(factors) + 1) for chosen in itertools.combinations(factors, n)]
    cells = {combination: named[combination] for combination in wanted if combination in named}
    seeds = {len(cell["seeds"]) for cell in cells.values()}
    if len(cells) < len(wanted) or len(seeds) > 1 or seeds <= {0, 1}:
        return {}
    (repeats,) = seeds
    variance = sum(cell["f1_sd"] ** 2 for cell in cells.values()) / len(cells)
    # An effect is the difference of two means of half of the trainings each.
    error = math.sqrt(4 * variance / (len(cells) * repeats))
    half = float(t.ppf(0.975, len(cells) * (repeats - 1))) * error
    effects = {
        factor: 2 * sum(cell["f1"] * (1 if factor in names else -1) for names, cell in cells.items()) / len(cells)
        for factor in factors
    }
    return {factor: (effect, effect - half, effect + half) for factor, effect in effects.items()}
