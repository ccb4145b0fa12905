"""Purity, completeness and position errors of named objects on simulated fields.

``python -m galaxy_edge.benchmarks.sky.simulated_fields --seeds 24 --out FILE.json --page docs/sky-objects.md``

Each seed is a night of a few frames around a random bright galaxy of OpenNGC, with one of the simulated telescopes. The
frames have no WCS: they go through `Session` with the plate solver, as in a run. The truth is that of the simulation.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.intervals import wilson_interval
from ...models.markdown import markdown_table
from ...runtime.events.queries import Query, query_events
from ...runtime.run_config import RunConfig
from ...runtime.session import Session
from ...sky.angles import separation
from ...sky.catalogue.objects import CatalogueObject
from ...sky.catalogue.openngc import OpenNgc
from ...sky.matching import SkyMatcher
from ...sky.simulation.night import Night, NightOptions, SimulatedFrame, TruthRow
from ...sky.simulation.telescopes import TELESCOPES, Telescope
from ...sky.simulation.writing import write_night
from ...sky.solution import Solution
from ...sky.tycho2 import open_tycho2
from ...sky.wcs import Wcs

FRAMES = 3
MIN_ARCSEC = 60.0
"""Minimum major axis of galaxies that count for completeness."""
MAGNITUDES = (10.0, 11.0, 12.0, 13.0)
"""Limits of magnitude that completeness is counted to."""
BEGIN, END = "<!-- simulated fields -->\n", "<!-- /simulated fields -->"
"""What is between them in docs/sky-objects.md is written from the result file."""
DRAWN_MAGNITUDE = 14.0
"""Magnitude to which boxes are drawn on galaxies, to measure the matching alone."""


def measure_field(seed: int, folder: Path) -> dict[str, Any]:
    """Simulate a field, run over it, and compare its events with the truth.

    Args:
        seed: of the field; it chooses telescope, target and noise.
        folder: empty; for frames and output.
    """
    telescope, target, night = make_night(seed)
    frames: list[SimulatedFrame] = []
    original = night.frames

    def kept_frames() -> Any:
        for frame in original():
            frames.append(SimulatedFrame(**{**vars(frame), "mosaic": np.zeros(0)}))
            yield frame

    night.frames = kept_frames  # type: ignore[method-assign]
    paths = list(write_night(night, folder / "frames", target.name, with_wcs=False))
    truth = {path.name: frame.truth for path, frame in zip(paths, frames, strict=True)}
    detections: list[dict[str, Any]] = []
    solved: list[tuple[Wcs, SimulatedFrame]] = []

    def take(frame: Any, _detections: Any, record: Any, _stats: Any) -> None:
        name = Path(record.source).name
        if frame.wcs is not None:
            solved.append((frame.wcs, frames[list(truth).index(name)]))
        for found in record.detections:
            sky = found.sky.object_name if found.sky else None
            detections.append({"name": sky, "truth": true_names(np.array(found.box), truth[name])})

    session = Session(RunConfig(source=str(folder / "frames"), out=folder / "out", video=False))
    session.run(take)
    rows = [row for row in frames[0].truth if row.kind == "galaxy"]
    events = query_events(folder / "out", Query(is_in_sky=True))
    return {
        "seed": seed, "telescope": telescope.name, "target": target.name, "frames": len(frames),
        "solved": len(solved), "solution_errors": [round(solution_error(found, true.wcs), 2) for found, true in solved],
        "galaxies": [_galaxy(row, events) for row in rows],
        "events": [_event(event, truth[Path(event.source).name]) for event in events],
        "detections": detections, "drawn": drawn_boxes(*solved[0], seed) if solved else [],
    }  # fmt: skip


def make_night(seed: int) -> tuple[Telescope, CatalogueObject, Night]:
    """Return telescope, target and night of a seed."""
    rng = np.random.default_rng([seed, 21])
    telescope = list(TELESCOPES.values())[seed % len(TELESCOPES)]
    catalogue = OpenNgc()
    bright = [item for item in catalogue.within(0.0, 0.0, 180.0) if _is_target(item)]
    target = bright[int(rng.integers(len(bright)))]
    reach = 0.25 * telescope.scale * telescope.width / 3600
    options = NightOptions(
        (target.ra + rng.uniform(-reach, reach) / max(0.05, math.cos(math.radians(target.dec)))) % 360.0,
        max(-89.5, min(89.5, target.dec + rng.uniform(-reach, reach))), FRAMES, telescope.exposure, seed,
        datetime.datetime(2026, 3, 20, 21, tzinfo=datetime.UTC), angle=float(rng.uniform(-180, 180)),
        rotation=telescope.rotation,
    )  # fmt: skip
    return telescope, target, Night(telescope, options, open_tycho2())


def _is_target(item: CatalogueObject) -> bool:
    return item.kind == "galaxy" and (item.magnitude or 99.0) <= 11.5 and 90 <= (item.major_arcsec or 0.0) <= 1500


def solution_error(found: Wcs, true: Wcs) -> float:
    """Return the distance in arcsec of the centres of two solutions of a frame."""
    return float(separation(*found.centre, *true.centre)) * 3600.0


def true_names(box: np.ndarray, rows: Sequence[TruthRow]) -> list[str]:
    """Return the galaxies whose true centre is in a box (4,), brightest first."""
    inside = [row for row in rows if row.kind == "galaxy" and box[0] <= row.x <= box[2] and box[1] <= row.y <= box[3]]
    return [row.name for row in sorted(inside, key=lambda row: row.magnitude)]


def _galaxy(row: TruthRow, events: Sequence[Any]) -> dict[str, Any]:
    item = OpenNgc().find(row.name)
    named = any(event.sky and event.sky.object_name == row.name for event in events)
    size = item.major_arcsec if item else None
    return {"name": row.name, "magnitude": row.magnitude, "size_arcsec": size, "named": named}


def _event(event: Any, rows: Sequence[TruthRow]) -> dict[str, Any]:
    """Return an event's name, the truth in its box, and the error of its position."""
    result: dict[str, Any] = {"name": None, "truth": true_names(np.array(event.box), rows)}
    if event.sky is None or event.sky.ra is None:
        return result
    result |= {"name": event.sky.object_name, "error": event.sky.position_error, "size_arcsec": event.sky.size_arcsec}
    row = next((row for row in rows if row.name == event.sky.object_name and row.kind == "galaxy"), None)
    if row is not None:
        result["distance"] = round(float(separation(event.sky.ra, event.sky.dec, row.ra, row.dec)) * 3600.0, 2)
    return result


def drawn_boxes(solution: Wcs, frame: SimulatedFrame, seed: int) -> list[dict[str, Any]]:
    """Match boxes that are drawn on the galaxies of a solved frame.

    Their sizes are 0.4 to 1.3 of the galaxy's, and their centres off by 8 % of the box: matching alone.
    """
    rng, catalogue = np.random.default_rng([seed, 22]), OpenNgc()
    result = []
    for row in frame.truth:
        if row.kind != "galaxy":
            continue
        item = catalogue.find(row.name)
        if item is None or not item.major_arcsec or row.magnitude > DRAWN_MAGNITUDE:
            continue
        size = item.major_arcsec / frame.wcs.scale * math.exp(rng.uniform(math.log(0.4), math.log(1.3)))
        size = max(size, 12.0)
        centre = np.array([row.x, row.y]) + rng.normal(0.0, 0.08 * size, 2)
        box = np.concatenate([centre - size / 2, centre + size / 2])
        (position,) = SkyMatcher(catalogue).identify(Solution(solution, "", residual_arcsec=1.0), box[None])
        result.append({"truth": row.name, "name": position.object_name, "magnitude": row.magnitude})
    return result


def summarise(fields: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return counts with 95 % intervals of the fields that were measured."""
    events = [event for field in fields for event in field["events"]]
    found = [item for field in fields for item in field["detections"]]
    drawn = [item for field in fields for item in field["drawn"]]
    named = [event for event in events if event["name"]]
    with_truth = [item for item in found if item["truth"]]
    without = [item for item in found if not item["truth"]]
    result = {
        "frames solved": _share(sum(f["solved"] for f in fields), sum(f["frames"] for f in fields)),
        "purity: named events that are this galaxy": _share(sum(e["name"] in e["truth"] for e in named), len(named)),
        "matching: detections of a galaxy with its name": _share(
            sum(item["name"] == item["truth"][0] for item in with_truth), len(with_truth)
        ),
        "matching: detections of no galaxy without a name": _share(
            sum(item["name"] is None for item in without), len(without)
        ),
        "matching: drawn boxes with the galaxy's name": _share(
            sum(item["name"] == item["truth"] for item in drawn), len(drawn)
        ),
    }
    for limit in MAGNITUDES:
        visible = [
            galaxy
            for field in fields
            for galaxy in field["galaxies"]
            if galaxy["magnitude"] <= limit and (galaxy["size_arcsec"] or 0.0) >= MIN_ARCSEC
        ]
        name = f"completeness: galaxies to magnitude {limit:g} with an event of their name"
        result[name] = _share(sum(galaxy["named"] for galaxy in visible), len(visible))
    positions = [event for event in events if "distance" in event]
    for factor, words in ((1, "their stated error"), (2, "twice their stated error")):
        near = sum(event["distance"] <= factor * event["error"] for event in positions)
        result[f"positions: named events within {words}"] = _share(near, len(positions))
    return result


def _share(count: int, total: int) -> dict[str, Any]:
    low, high = wilson_interval(count, total)
    return {"count": count, "total": total, "low": round(low, 4), "high": round(high, 4)}


def table(summary: dict[str, dict[str, Any]]) -> list[str]:
    """Return the summary as lines of a Markdown table."""
    rows = [
        (name, f"{row['count']} of {row['total']}", f"{row['count'] / row['total']:.1%}" if row["total"] else "",
         f"{row['low']:.1%} to {row['high']:.1%}")
        for name, row in summary.items()
    ]  # fmt: skip
    return markdown_table(("what", "counts", "share", "95 % interval"), rows, right_from=1)


def with_table(page: str, result: Mapping[str, Any]) -> str:
    """Return a page whose table between `BEGIN` and `END` is that of a result file."""
    before, rest = page.split(BEGIN, 1)
    lines = [f"{result['seeds']} fields: `{result['command']}`.", "", *table(result["summary"]), "", END]
    return before + BEGIN + "\n".join(lines) + rest.split(END, 1)[1]


def main() -> None:
    """Measure the fields of seeds, print the table and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=24, help="number of fields")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--out", type=Path, help="JSON file of the summary, written after each field")
    parser.add_argument("--page", type=Path, help="Markdown page whose table is replaced")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    command = f"python -m galaxy_edge.benchmarks.sky.simulated_fields --first {options.first} --seeds {options.seeds}"
    fields = []
    for seed in range(options.first, options.first + options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            fields.append(measure_field(seed, Path(folder)))
        field = fields[-1]
        print(f"seed {seed}: {field['telescope']}, {field['target']}, {len(field['events'])} events", flush=True)
        result: dict[str, Any] = {"command": command, "seeds": len(fields), "summary": summarise(fields)}
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(result["summary"])))
    if options.page:
        options.page.write_text(with_table(options.page.read_text(encoding="utf-8"), result), encoding="utf-8")


if __name__ == "__main__":
    main()
