"""Measure which new stars near galaxies are found, and the false alarms.

``python -m galaxy_edge.benchmarks.sky.watch_new --share report --out watch-new.json``
``python -m galaxy_edge.benchmarks.sky.watch_new --frames seestar_subs/m94_night1.zip --out watch-new-real.json``

Stars are put into the frames, before these are stacked, at random places within two radii of the galaxies. Each is
found if three stacks in a row make it a candidate, as in a run. Simulated fields are of two shares: the code was
developed with ``choice``, the figures of the documentation are those of ``report``.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...models.intervals import poisson_interval, wilson_interval
from ...models.raw.bayer import superpixels
from ...sky.catalogue.openngc import OpenNgc
from ...sky.differencing.artificial import draw_positions
from ...sky.differencing.detection import THRESHOLD
from ...sky.differencing.difference import Image, NotComparable
from ...sky.differencing.field_watch import FieldWatch
from ...sky.differencing.reference import mean_image
from ...sky.differencing.search_area import SearchArea
from ...sky.simulation.night import Night, NightOptions
from ...sky.simulation.telescopes import find_telescope
from ...sky.tycho2 import open_tycho2
from .watch_new_frames import GROUP, RealFrames, WithStars, add_stars, solved_images

FIELDS = {
    "choice": (("M 63", "seestar-s50"), ("M 106", "nina-asi533mc"), ("NGC 7331", "seestar-s50")),
    "report": (
        ("M 94", "seestar-s50"), ("M 51", "nina-asi533mm"), ("NGC 891", "seestar-s50"), ("NGC 6946", "nina-asi533mc"),
        ("NGC 3628", "seestar-s30"), ("NGC 2903", "seestar-s50"),
    ),
}  # fmt: skip
"""Galaxies and telescopes of each share."""
STEPS = (-2.0, -1.5, -1.0, -0.5)
"""Magnitudes of the stars relative to the limiting magnitude of a stack."""
SIDE = 1040
"""Side of simulated sensors in pixels."""
REFERENCE, STACKS = 5, 6
"""Stacks of a reference, and stacks that are watched."""
STARS = 20
CORE = 0.3
"""Radii of the galaxy within which a star counts as one of its core."""
_START = datetime.datetime(2026, 3, 20, 22, tzinfo=datetime.UTC)


@dataclass
class Counts:
    """Stars put in and found, by step and part; false detections and alarms."""

    found: dict[tuple[float, bool], list[int]] = field(default_factory=dict)
    stacks: int = 0
    detections: int = 0
    alarms: int = 0
    refused: int = 0
    limits: list[float] = field(default_factory=list)

    def add(self, step: float, in_core: bool, was_found: bool) -> None:
        """Count a star."""
        entry = self.found.setdefault((step, in_core), [0, 0])
        entry[0] += was_found
        entry[1] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return shares and rates with their 95 % intervals."""
        return {
            "stacks": self.stacks,
            "refused": self.refused,
            "detections_per_stack": _rate(self.detections, self.stacks),
            "false_alarms_per_stack": _rate(self.alarms, self.stacks),
            "median_limit": round(float(np.median(self.limits)), 2) if self.limits else None,
            "completeness": {
                f"{step:+.1f}": {name: _share(self.found, step, wanted) for name, wanted in _PARTS.items()}
                for step in STEPS
            },
        }


_PARTS = {"all": (True, False), "core": (True,), "outside": (False,)}


def _share(found: dict[tuple[float, bool], list[int]], step: float, wanted: Sequence[bool]) -> dict[str, Any]:
    hits, total = (sum(found.get((step, part), [0, 0])[index] for part in wanted) for index in (0, 1))
    low, high = wilson_interval(hits, total)
    share = round(hits / total, 3) if total else None
    return {"found": hits, "stars": total, "share": share, "interval": [round(low, 3), round(high, 3)]}


def _rate(count: int, stacks: int) -> dict[str, Any]:
    low, high = poisson_interval(count, max(stacks, 1))
    return {"count": count, "rate": round(count / max(stacks, 1), 4), "interval": [round(low, 4), round(high, 4)]}


# Many parameters because these are the parts of a measurement.
def measure_group(
    counts: Counts, reference: Image, area: SearchArea, stacks: Sequence[WithStars], seed: int,
    threshold: float, steps: Sequence[float] = STEPS,
) -> None:  # fmt: skip
    """Watch a few stacks: without stars, then with those of each magnitude."""
    stars = open_tycho2()
    nothing: np.ndarray = np.zeros((0, 2))
    positions = reference.wcs.to_sky(draw_positions(area.region, seed, STARS))
    galaxies = [area.offset(ra, dec) for ra, dec in positions.tolist()]
    limits: list[float] = []
    for step in (None, *steps):
        if step is not None and not limits:
            return  # no stack can be compared
        watch = FieldWatch(reference, area, stars, threshold=threshold, seed=None)
        seen: dict[int, tuple[float, float]] = {}
        for number, make in enumerate(stacks):
            image = make(nothing, 0.0) if step is None else make(positions, limits[0] + step)
            try:
                result = watch.add(image, _START + datetime.timedelta(minutes=5 * number))
            except NotComparable:  # its stars count as not found
                counts.refused += step is None
                continue
            seen |= {item.number: (item.ra, item.dec) for item in result.candidates}
            if step is None:
                counts.stacks += 1
                counts.detections += result.detections
                limits.append(result.limit)
        if step is None:
            counts.alarms += len(seen)
            counts.limits += limits
            continue
        spots = np.array(list(seen.values())).reshape(-1, 2)
        for (ra, dec), offset in zip(positions.tolist(), galaxies, strict=True):
            off = np.hypot((spots[:, 0] - ra) * np.cos(np.radians(dec)), spots[:, 1] - dec) * 3600
            was_found = bool((off < 2 * reference.wcs.scale).any())
            counts.add(step, offset is not None and offset.radii < CORE, was_found)


def simulated_field(name: str, telescope: str, seed: int, threshold: float, only_alarms: bool = False) -> Counts:
    """Measure a simulated field; each stack is one long exposure."""
    galaxy = OpenNgc().find(name)
    assert galaxy is not None
    instrument = dataclasses.replace(find_telescope(telescope), width=SIDE, height=SIDE)
    frames = REFERENCE + (10 if only_alarms else 1) * STACKS
    options = NightOptions(
        galaxy.ra, galaxy.dec, frames, 60.0, seed, _START, angle=37.0 * seed, rotation=15.0,
        clouds=0.2, satellites=0.1, jitter=6.0,
    )  # fmt: skip
    night = Night(instrument, options, open_tycho2())
    binning = 2 if instrument.pattern else 1
    images: list[Image] = []
    transparencies: list[float] = []
    for frame in night.frames():
        light = superpixels(frame.mosaic, instrument.pattern)[..., 1] if instrument.pattern else frame.mosaic
        transparencies.append(frame.transparency)
        images.append(Image(light.astype(np.float32), frame.wcs.binned(binning)))
    unit = options.exposure / instrument.gain / binning**2
    zero = instrument.zero_points[1]
    fwhm = instrument.fwhm / instrument.scale / binning

    def maker(number: int) -> WithStars:
        rng = np.random.default_rng([seed, number])
        image, transparency = images[number], transparencies[number]

        def make(radec: np.ndarray, magnitude: float) -> Image:
            light = image.light.copy()
            flux = 10 ** (0.4 * (zero - magnitude)) * unit * transparency
            add_stars(light, image.wcs, radec, flux, fwhm, rng, unit)
            return Image(light, image.wcs)

        return make

    reference = mean_image(images[:REFERENCE])
    area = SearchArea(OpenNgc().within(*reference.wcs.centre, reference.wcs.radius, extent=True), reference.wcs)
    counts = Counts()
    group = 10 * STACKS if only_alarms else GROUP
    for first in range(REFERENCE, options.frames, group):
        makers = [maker(number) for number in range(first, first + group)]
        measure_group(counts, reference, area, makers, 100 * seed + first, threshold, () if only_alarms else STEPS)
    return counts


def real_frames(path: Path, splits: int, seed: int, threshold: float) -> Counts:
    """Measure real frames of a galaxy: a zip of raw FITS files."""
    found = RealFrames(solved_images(path), seed)
    counts = Counts()
    for number, (reference, groups) in enumerate(found.splits(splits, 8, 4)):
        area = SearchArea(OpenNgc().within(*reference.wcs.centre, reference.wcs.radius, extent=True), reference.wcs)
        makers = [found.maker(group) for group in groups]
        measure_group(counts, reference, area, makers, seed + number, threshold)
        _progress(f"split {number + 1} of {splits}", counts)
    return counts


def merge(parts: Sequence[Counts]) -> Counts:
    """Return the sum of counts."""
    total = Counts()
    for part in parts:
        for key, (hits, count) in part.found.items():
            entry = total.found.setdefault(key, [0, 0])
            entry[0], entry[1] = entry[0] + hits, entry[1] + count
        total.stacks += part.stacks
        total.detections += part.detections
        total.alarms += part.alarms
        total.refused += part.refused
        total.limits += part.limits
    return total


def _progress(text: str, counts: Counts) -> None:
    shares = counts.to_dict()["completeness"]
    line = ", ".join(f"{step}: {entry['all']['share']}" for step, entry in shares.items())
    print(f"{text}: {counts.stacks} stacks, {counts.detections} detections, {counts.alarms} alarms; {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurement and write its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", choices=tuple(FIELDS), default="report")
    parser.add_argument("--frames", type=Path, help="zip of raw frames, in place of simulated fields")
    parser.add_argument("--splits", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    parser.add_argument("--only-alarms", action="store_true", help="longer nights, no stars put in")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.frames:
        result = {"frames": options.frames.name} | real_frames(
            options.frames, options.splits, options.seed, options.threshold
        ).to_dict()
    else:
        fields = {}
        for number, (name, telescope) in enumerate(FIELDS[options.share]):
            found = simulated_field(name, telescope, options.seed + number, options.threshold, options.only_alarms)
            fields[f"{name}, {telescope}"] = found
            _progress(f"{name}, {telescope}", found)
        total = merge(list(fields.values())).to_dict()
        result = {"share": options.share} | total | {"fields": {key: value.to_dict() for key, value in fields.items()}}
    text = json.dumps({"seed": options.seed, "threshold": options.threshold} | result, indent=1) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
