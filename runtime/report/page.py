"""Make the report of a night from an output folder alone."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ... import __version__
from ...errors import UsageError
from ...sky.catalogue.in_field import FieldObject
from ..events.candidates import CandidateRow, query_candidates
from ..events.event_row import EventRow
from ..events.field_table import read_field
from ..events.queries import Query, query_events
from ..events.runs import RunRow, query_runs
from ..system.utc_time import utc_now
from .all_sky import all_sky_map
from .candidates import candidates_section
from .curves import altitude_curves, frame_curves
from .depth import NightDepth, depth_section, read_depth
from .faults import faults_of_night, faults_section
from .frame_logs import LoggedFrames, last_logged_time, read_frame_logs
from .gallery import gallery
from .known_objects import known_objects
from .markup import section, table, text
from .night import Night, Place, night_from_name, night_of, place_of
from .objects import NightObject, is_artefact, objects_of_night
from .sky_map import sky_maps

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
POLICY_TAG = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
"""Content security policy of the page: it loads nothing, and has no scripts."""
MAX_EVENTS = 20_000
STYLE = Path(__file__).with_name("report.css")


@dataclass(frozen=True)
class NightData:
    """What an output folder knows of a night.

    Attributes:
        night: the night.
        folder: the output folder.
        runs: that wrote frames or events in it.
        events: first seen in it, in the order they began.
        frames: of its frame logs.
        depth: measured in its solved frames.
        field: catalogued objects in them.
        place: of the telescope, None if unknown.
        candidates: something new near galaxies, first seen in it.
    """

    night: Night
    folder: Path
    runs: list[RunRow]
    events: list[EventRow]
    frames: LoggedFrames
    depth: NightDepth
    field: list[FieldObject]
    place: Place | None
    candidates: Sequence[CandidateRow] = ()


def latest_night(folder: Path, place: Place | None = None) -> Night:
    """Return the night of the last frame or event in an output folder.

    Raises:
        UsageError: the folder has neither, or cannot be read.
    """
    last = query_events(folder, Query(limit=1))
    times = [time for time in (last_logged_time(folder), *(event.last_time for event in last)) if time]
    if not times:
        raise UsageError(f"'{folder}' has no frames and no events: there is nothing to report")
    return night_of(max(times), place)


def read_night(folder: Path, night: Night, place: Place | None = None) -> NightData:
    """Read what an output folder knows of a night.

    Raises:
        UsageError: the folder has nothing of this night, or cannot be read.
    """
    query = Query(since=night.since, before=night.until, limit=MAX_EVENTS)
    events = query_events(folder, query)
    frames = read_frame_logs(folder, night.since, night.until)
    if not events and not frames.count:
        raise UsageError(
            f"'{folder}' has nothing of the night {night.name}; the last one is {latest_night(folder, place).name}"
        )
    numbers = {event.run for event in events} | frames.runs
    runs = [run for run in query_runs(folder) if run.number in numbers]
    depth = read_depth(folder, night.since, night.until)
    field = read_field(folder, night.since, night.until)
    candidates = query_candidates(folder, night.since, night.until)
    return NightData(night, folder, runs, events, frames, depth, field, place, candidates)


def night_report(folder: Path, name: str | None = None, place: Place | None = None) -> tuple[Night, str]:
    """Return a night and its page.

    Args:
        folder: the output folder.
        name: date of the night's evening; None for the latest night.
        place: of the telescope, None for that of the frames' headers.

    Raises:
        UsageError: the folder has nothing of this night, or cannot be read.
    """
    place = place or place_of(folder)
    night = night_from_name(name, place) if name else latest_night(folder, place)
    return night, report_page(read_night(folder, night, place))


def report_page(data: NightData, is_served: bool = False) -> str:
    """Return the page as HTML.

    Args:
        data: of the night.
        is_served: whether crops and style are links to the live page's server, whose policy allows no others;
            otherwise, the page needs no other file and no network.
    """
    objects = objects_of_night(data.events)
    faults = faults_of_night(data.folder, data.runs, data.events, data.frames)
    parts = [
        _figures(data, objects, len(faults)),
        candidates_section(data.folder, data.candidates, is_served),
        section("Sky", sky_maps(objects) + all_sky_map(objects) + known_objects(data.field), "sky"),
        gallery(data.folder, objects, is_served),
        altitude_curves(objects, data.place),
        depth_section(data.depth),
        frame_curves(data.frames.samples),
        faults_section(faults, data.events),
        _runs(data.runs),
    ]
    title = f"Night of {data.night.name}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{"" if is_served else POLICY_TAG}'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="dark">'
        f"<title>{text(title)}</title>{_style(is_served)}</head>"
        f"<body><header><h1>{text(title)}</h1><p>{text(_when(data))}</p></header>"
        f"<main>{''.join(parts)}</main>"
        f'<footer><p class="id">galaxy-edge {text(__version__)}, {text(utc_now("seconds"))}</p></footer>'
        "</body></html>\n"
    )


def _style(is_served: bool) -> str:
    if is_served:
        return '<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/report.css">'
    return f"<style>{STYLE.read_text(encoding='utf-8')}</style>"


def _when(data: NightData) -> str:
    times = [event.first_time for event in data.events] + [event.last_time for event in data.events]
    times += filter(None, (data.frames.first, data.frames.last))
    first, last = min(times), max(times)
    return f"{first[:10]} {first[11:16]} to {last[:10]} {last[11:16]} UTC"


def _figures(data: NightData, objects: Sequence[NightObject], faults: int) -> str:
    """Return the night's figures: what a reader wants to know first."""
    named = sum(item.is_named for item in objects)
    artefacts = sum(is_artefact(event) for event in data.events)
    figures: list[tuple[str, object]] = [("objects", len(objects))]
    if any(item.position for item in objects):
        figures += [("in the catalogue", named), ("not in the catalogue", _not_in_catalogue(objects))]
    figures += [("frames", data.frames.count), ("observed", _observed(data.frames)), ("artefacts", artefacts)]
    if data.depth.best_limit is not None:
        figures.append(("limiting magnitude", f"{data.depth.best_limit:.1f}"))
    figures.append(("faults", faults))
    cells = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in figures)
    return f'<dl class="figures">{cells}</dl>'


def _not_in_catalogue(objects: Sequence[NightObject]) -> int:
    return sum(item.position is not None and not item.is_named for item in objects)


def _observed(frames: LoggedFrames) -> str:
    """Return the time from the first to the last frame, without gaps."""
    if not frames.count:
        return "unknown"
    seconds = _seconds(frames.first, frames.last) - sum(_seconds(begin, end) for begin, end in frames.gaps)
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _seconds(begin: str, end: str) -> float:
    return (datetime.datetime.fromisoformat(end) - datetime.datetime.fromisoformat(begin)).total_seconds()


def _runs(runs: Sequence[RunRow]) -> str:
    rows = [
        (
            run.number, run.started[:16].replace("T", " "), "" if run.frames is None else run.frames, run.source,
            f"{run.device}, {run.engine}", run.version,
        )
        for run in runs
    ]  # fmt: skip
    return section("Runs", table(("run", "started (UTC)", "frames", "source", "device", "version"), rows), "runs")
