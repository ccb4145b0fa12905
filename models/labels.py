"""The Galaxy10 classes, in the order of Galaxy10 SDSS, and their coarse groups."""

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
"""Edge-on with a boxy bulge: 17 images in Galaxy10 SDSS, too few to learn from."""

CLASSES = tuple(name for label, name in enumerate(GALAXY10) if label != EXCLUDED_LABEL)
"""The nine classes of a classifier, in output order."""

COARSE = ("disk_no_spiral", "smooth", "edge_on", "spiral")
"""Groups of the nine classes that survive low resolution."""


def class_index_from_galaxy10(g10: int) -> int:
    """Return the index in `CLASSES` (0..8) of a Galaxy10 label (0..9).

    The result is -1 for the excluded label and others.
    """
    if not 0 <= g10 <= 9 or g10 == EXCLUDED_LABEL:
        return -1
    return g10 if g10 < EXCLUDED_LABEL else g10 - 1


def coarse_group(name: str) -> str:
    """Return the coarse group of a class, e.g. ``spiral_tight`` -> ``spiral``.

    Other classes are their own group.
    """
    return next((group for group in COARSE if name.startswith(group)), name)
