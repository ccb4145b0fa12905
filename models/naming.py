"""Names of galaxies for display.

A galaxy gets its class if that is sure, its coarse group if only that is sure, or neither.

If a camera or its processing differs from the classifier's training images, the nine classes become unsure long before
the four groups do.
"""

from __future__ import annotations

from collections.abc import Mapping

from .labels import CLASSES, COARSE, coarse_group

UNCERTAIN = "galaxy, class uncertain"
GROUP_SURE = 0.85
"""Minimum summed probability for a coarse group to be named; chosen on half of the deep-sky photographs."""
GROUP_LABELS = {
    "disk_no_spiral": "disk galaxy",
    "smooth": "smooth galaxy",
    "edge_on": "edge-on galaxy",
    "spiral": "spiral galaxy",
}


PLAIN_NAMES = {
    "disk_no_spiral": "disk galaxy without arms",
    "smooth_round": "round smooth galaxy",
    "smooth_in_between": "oval smooth galaxy",
    "smooth_cigar": "cigar-shaped galaxy",
    "edge_on_rounded_bulge": "edge-on galaxy with a round bulge",
    "edge_on_boxy_bulge": "edge-on galaxy with a boxy bulge",
    "edge_on_no_bulge": "edge-on galaxy without a bulge",
    "spiral_tight": "spiral galaxy, tight arms",
    "spiral_medium": "spiral galaxy",
    "spiral_loose": "spiral galaxy, loose arms",
    UNCERTAIN: "galaxy of uncertain shape",
}
"""Displayed names in the words of a person who looks through a telescope."""


def plain_name(shown: str) -> str:
    """Return a displayed name in plain words; other classes without underscores."""
    return PLAIN_NAMES.get(shown, shown.replace("_", " "))


def sure_group(probabilities: Mapping[str, float]) -> str | None:
    """Return the coarse group whose classes have at least `GROUP_SURE` in total.

    The result is None if there is none.

    Args:
        probabilities: by class name. Classes other than Galaxy10's have no groups.
    """
    sums = dict.fromkeys(COARSE, 0.0)
    for name, probability in probabilities.items():
        if name in CLASSES:
            sums[coarse_group(name)] += probability
    best = max(sums, key=lambda group: sums[group])
    return best if sums[best] >= GROUP_SURE else None


def shown_group(shown: str) -> str | None:
    """Return the coarse group of a displayed name, a class or a group.

    The result is None if it has none.
    """
    return next((group for group, label in GROUP_LABELS.items() if shown == label or shown.startswith(group)), None)


def display_name(name: str, probabilities: Mapping[str, float], sure: bool | None) -> str:
    """Return the name of a galaxy for display.

    Args:
        name: the most probable class.
        probabilities: by class name.
        sure: whether the class is more than a guess; None if the classifier has no threshold.
    """
    if sure is not False:
        return name
    group = sure_group(probabilities)
    return UNCERTAIN if group is None else GROUP_LABELS[group]
