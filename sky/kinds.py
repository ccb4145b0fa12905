"""Kinds of catalogued objects, in words."""

GALAXY = "galaxy"
GROUPS = frozenset({"galaxy pair", "galaxy triplet", "galaxy group"})
GALAXIES = GROUPS | {GALAXY}
CLUSTERS = frozenset({"open cluster", "star association"})
NOT_GALAXIES = CLUSTERS | {
    "globular cluster", "cluster with nebulosity", "planetary nebula", "HII region", "emission nebula",
    "reflection nebula", "nebula", "supernova remnant",
}  # fmt: skip
"""Kinds of extended objects that a detection is named after, and that are then not counted as galaxies."""
