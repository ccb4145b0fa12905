"""Class names: which are galaxies, and which are other known objects of the sky."""

from __future__ import annotations

import re

from ...models.labels import COARSE, GALAXY10

GALAXY_NAMES = frozenset({"galaxy", "galaxies", "elliptical", "irregular", "lenticular", *COARSE, *GALAXY10})
"""Names, in lower case, of classes whose boxes are galaxies."""

OTHER_WORDS = frozenset(
    [
        "artefact",
        "artifact",
        "asteroid",
        "cluster",
        "comet",
        "globular",
        "meteor",
        "moon",
        "nebula",
        "nebulae",
        "nova",
        "other",
        "pixel",
        "plane",
        "planet",
        "planetary",
        "quasar",
        "satellite",
        "sky",
        "star",
        "supernova",
        "trail",
    ]
)
"""Words in the names of other classes that are commonly boxed in images of the sky."""


def is_galaxy(name: str) -> bool:
    """Return whether boxes of a class are galaxies to the detector.

    All other boxes are background.
    """
    return name.lower() in GALAXY_NAMES


def is_known(name: str) -> bool:
    """Return whether a class is a galaxy or contains a word for another object.

    Any other class may be misspelt.
    """
    words = re.findall(r"[a-z]+", name.lower())
    return is_galaxy(name) or any(word in OTHER_WORDS or word.removesuffix("s") in OTHER_WORDS for word in words)
