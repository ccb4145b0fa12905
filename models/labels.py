"""The Galaxy10 classes, in the order of Galaxy10 SDSS, and the coarse groups they fall into."""

from __future__ import annotations

GALAXY10 = (
    "disk_no_spiral",
    "smooth_round",
    "smooth_in_between",
    "smooth_cigar",
    "edge_on_rounded_bulge",
    "edge_on_boxy_bulge",
    "edge_on_no_bulge",
    "spiral_tight",
    "spiral_medium",
    "spiral_loose",
)
"""All ten classes; the position is the label in Galaxy10 SDSS and in every ``g10`` column."""

EXCLUDED_LABEL = 5
"""Edge-on with a boxy bulge: 17 images in Galaxy10 SDSS, too few to learn, dropped as in the report."""

CLASSES = tuple(name for label, name in enumerate(GALAXY10) if label != EXCLUDED_LABEL)
"""The nine classes that a classifier names, in output order."""

COARSE = ("disk_no_spiral", "smooth", "edge_on", "spiral")
"""Groups of the nine classes that survive low resolution."""


def class_index_from_galaxy10(g10: int) -> int:
    """Turn a Galaxy10 label (0..9) into an index of `CLASSES` (0..8), or -1 where there is none."""
    if not 0 <= g10 <= 9 or g10 == EXCLUDED_LABEL:
        return -1
    return g10 if g10 < EXCLUDED_LABEL else g10 - 1


def coarse_of(name: str) -> str:
    """Name the coarse group of a class name, e.g. ``spiral_tight`` -> ``spiral``."""
    group = coarse_group(name)
    if group not in COARSE:
        raise ValueError(f"'{name}' is not a Galaxy10 class; known: {', '.join(GALAXY10)}")
    return group


def coarse_group(name: str) -> str:
    """Name the coarse group of a class; one of another set of classes that fits none is a group of its own."""
    return next((group for group in COARSE if name.startswith(group)), name)
