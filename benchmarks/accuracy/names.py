"""`galaxy-edge eval names`: compare classes with catalogued types.

Classes of Messier and NGC galaxies are compared with their Hubble types, by group.

A group is right by these rules:

* An elliptical (E) is ``smooth``.
* A lenticular (E-S0, S0, S0-a) is ``smooth`` or ``disk_no_spiral``. It has a disk without arms, so that the experts of
  EFIGI, whose types follow Hubble's, call it ``disk_no_spiral`` in the training images; but the disk is seldom seen,
  and the volunteers of Galaxy Zoo call most lenticulars ``smooth``. E-S0 is the early lenticular (type -3).
* A spiral (Sa and later, barred or not) is ``spiral``. The type does not give the inclination: disks with a catalogued
    axis ratio below `EDGE_ON_RATIO` are also right as ``edge_on``.
* Irregular galaxies have no Galaxy10 class and are not counted, nor is an uncertain type (S?).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...models.images.decoder import decode_image
from ...models.images.development import Development
from ...models.intervals import wilson_interval
from ...models.labels import COARSE, coarse_group
from ...models.naming import sure_group
from ...models.raw.stretch import Stretch
from ...runtime.frame import Detections
from ...runtime.inference.classifier import Classifier
from ...training.data.archives import read_csv_rows, read_member
from ...training.data.catalogues import BOX_COLUMNS
from .catalogue import CatalogueEntry, find_object

EDGE_ON_RATIO = 0.5
"""Minor by major axis below which a disk may be called edge-on."""
MIN_SIDE = 12
"""Minimum longer side of a box in pixels for a shape to be visible."""
TABLE = "boxes.csv"


class NamesError(UserError):
    """A data set without catalogued galaxies."""

    exit_code = 2


@dataclass(frozen=True)
class NamedGalaxy:
    """A catalogued galaxy and the classifier's result.

    Attributes:
        set: data set. object: name in the catalogue.
        right: coarse groups that its Hubble type allows.
        group: the most probable coarse group. probability: of that group, 0..1.
        sure_class, sure_group: whether the class, or only the group, is shown as a name.
    """

    set: str
    object: str
    right: frozenset[str]
    group: str
    probability: float
    sure_class: bool
    sure_group: bool

    @property
    def is_right(self) -> bool:
        """Whether the group is one of those allowed."""
        return self.group in self.right

    @property
    def is_sure(self) -> bool:
        """Whether a class or a group is shown as a name."""
        return self.sure_class or self.sure_group

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "set": self.set,
            "object": self.object,
            "allowed": sorted(self.right),
            "group": self.group,
            "probability": round(self.probability, 4),
            "sure_class": self.sure_class,
            "sure_group": self.sure_group,
        }


@dataclass(frozen=True)
class RightCount:
    """Galaxies, those with a right group, and the 95 % interval of their share."""

    galaxies: int
    right: int
    interval: Sequence[float]


@dataclass(frozen=True)
class NamesSummary:
    """Right groups of the galaxies of a data set.

    Attributes:
        all: of all galaxies.
        sure: of those with any name.
        sure_class: of those with a class.
        coverage: share of galaxies with any name, 0..1.
    """

    all: RightCount
    sure: RightCount
    sure_class: RightCount
    coverage: float


@dataclass(frozen=True)
class NamesResult:
    """A summary by data set, and ``all`` where there are several; and every galaxy."""

    sets: Mapping[str, NamesSummary]
    galaxies: Sequence[NamedGalaxy]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        sets = {name: asdict(summary) for name, summary in self.sets.items()}
        return {"sets": sets, "galaxies": [galaxy.to_dict() for galaxy in self.galaxies]}


def allowed_groups(entry: CatalogueEntry) -> frozenset[str]:
    """Return the coarse groups that a catalogue entry allows.

    Empty for irregular and unknown types.
    """
    hubble = entry.hubble.upper()
    turned = {"edge_on"} if entry.axis_ratio < EDGE_ON_RATIO else set()
    if hubble.startswith("E") and not hubble.startswith("E-S0"):
        return frozenset({"smooth"})
    if hubble.startswith(("E-S0", "S0")):
        return frozenset({"smooth", "disk_no_spiral"} | turned)
    if hubble.startswith("S") and not hubble.startswith("S?"):
        return frozenset({"spiral"} | turned)
    return frozenset()


def catalogued_galaxies(folder: Path, stretch: Stretch) -> Iterator[tuple[str, CatalogueEntry, np.ndarray, np.ndarray]]:
    """Yield the galaxies of a data set.

    Each is a name, a catalogue entry, an image (H, W, 3) uint8 and a box (4,).

    Boxes that are marked as difficult, that follow another convention (``ubox_flag`` ``old_...``) or that are smaller
    than `MIN_SIDE` are left out. `stretch`: of images of more than 8 bits.
    """
    development = Development(stretch=stretch)
    for row in read_csv_rows(folder / TABLE, ("file", "object", *BOX_COLUMNS)):
        entry = find_object(row["object"])
        usable = row.get("difficult") != "1" and not row.get("ubox_flag", "").startswith(("old_", "none"))
        if entry is None or not entry.is_galaxy or not usable or not allowed_groups(entry):
            continue
        image = decode_image(read_member(folder / "images.zip", row["file"]), row["file"], development).pixels
        box = np.array([float(row[column]) for column in BOX_COLUMNS], np.float32)
        box = np.clip(box, 0, [image.shape[1], image.shape[0]] * 2).astype(np.float32)
        if max(box[2] - box[0], box[3] - box[1]) >= MIN_SIDE:
            yield entry.name, entry, image, box


def name_galaxies(folder: Path, classifier: Classifier) -> list[NamedGalaxy]:
    """Classify the catalogued galaxies of a data set as the runtime does.

    Their labelled boxes are used.
    """
    groups = [[i for i, name in enumerate(classifier.classes) if coarse_group(name) == group] for group in COARSE]
    found = []
    for name, entry, image, box in catalogued_galaxies(folder, classifier.bundle.stretch):
        named = classifier(image, Detections(box[None], np.ones(1, np.float32)))
        assert named.probabilities is not None
        probabilities = named.probabilities[0]
        sums = [float(probabilities[indices].sum()) for indices in groups]
        best = int(np.argmax(sums))
        found.append(
            NamedGalaxy(
                folder.name,
                name,
                allowed_groups(entry),
                COARSE[best],
                sums[best],
                classifier.abstain_below is None or float(probabilities.max()) >= classifier.abstain_below,
                sure_group(dict(zip(classifier.classes, map(float, probabilities), strict=True))) is not None,
            )
        )
    return found


def evaluate_names(data: Path, classifier: Classifier) -> NamesResult:
    """Measure names on every data set with catalogued objects in a folder.

    Raises:
        NamesError: no set has catalogued galaxies.
    """
    folders = [folder for folder in (data, *sorted(data.iterdir())) if (folder / TABLE).is_file()]
    found = [galaxy for folder in folders for galaxy in name_galaxies(folder, classifier)]
    if not found:
        raise NamesError(f"{data} holds no data set with {TABLE} of catalogued galaxies")
    sets = {name: [galaxy for galaxy in found if galaxy.set == name] for name in dict.fromkeys(g.set for g in found)}
    if len(sets) > 1:
        sets["all"] = found
    return NamesResult({name: summarise_names(galaxies) for name, galaxies in sets.items()}, found)


def summarise_names(galaxies: Sequence[NamedGalaxy]) -> NamesSummary:
    """Count right groups, with 95 % intervals.

    They are counted of all galaxies, of those with a class and of those with any name.
    """

    def share(chosen: Sequence[NamedGalaxy]) -> RightCount:
        right = sum(galaxy.is_right for galaxy in chosen)
        return RightCount(len(chosen), right, wilson_interval(right, len(chosen)))

    sure = [galaxy for galaxy in galaxies if galaxy.is_sure]
    return NamesSummary(
        all=share(galaxies),
        sure=share(sure),
        sure_class=share([galaxy for galaxy in galaxies if galaxy.sure_class]),
        coverage=len(sure) / len(galaxies) if galaxies else 0.0,
    )


def name_rows(sets: Mapping[str, NamesSummary]) -> list[tuple[str, ...]]:
    """Return table rows for each set.

    They hold galaxies, share right, number marked sure, and their share right.
    """
    rows: list[tuple[str, ...]] = []
    for name, summary in sets.items():
        every, sure = summary.all, summary.sure
        shares = [
            f"{part.right / part.galaxies:.2f} [{part.interval[0]:.2f}, {part.interval[1]:.2f}]"
            if part.galaxies
            else "-"
            for part in (every, sure)
        ]
        covered = f"{sure.galaxies} ({summary.coverage:.0%})"
        rows.append((name, str(every.galaxies), shares[0], covered, shares[1]))
    return rows
