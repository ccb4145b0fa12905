"""What went wrong in a night."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..events.event_row import EventRow
from ..events.runs import RunRow
from .frame_logs import LoggedFrames
from .markup import section, text
from .objects import is_artefact

MAX_GAPS = 8


def faults_of_night(
    folder: Path, runs: Sequence[RunRow], events: Sequence[EventRow], frames: LoggedFrames
) -> list[str]:
    """Return what went wrong, a sentence each."""
    faults = [*_run_faults(runs), *_frame_faults(frames)]
    damaged = sorted(path.name for path in folder.glob("events-unreadable-*.sqlite"))
    if damaged:
        faults.append(f"an event file was damaged and renamed: {', '.join(damaged[-3:])}")
    notes = Counter(event.sky.sky_note for event in events if event.sky and event.sky.sky_note)
    return faults + [f"{note} ({count} events)" for note, count in notes.most_common(5)]


def faults_section(faults: Sequence[str], events: Sequence[EventRow]) -> str:
    """Return the faults as a list, and a line with the artefacts that were set aside."""
    items = "".join(f"<li>{text(fault)}</li>" for fault in faults)
    content = f'<ul class="faults">{items}</ul>' if items else "<p>None.</p>"
    kinds = Counter(event.kind for event in events if is_artefact(event))
    if kinds:
        seen = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common())
        content += f"<p>Artefacts, which are not objects: {text(seen)}.</p>"
    return section("Faults", content, "faults")


def _run_faults(runs: Sequence[RunRow]) -> list[str]:
    faults = [f"run {run.number} was killed: its last seconds may be missing" for run in runs if run.interrupted]
    faults += [f"run {run.number}: {run.bad_pictures} images could not be read" for run in runs if run.bad_pictures]
    return faults


def _frame_faults(frames: LoggedFrames) -> list[str]:
    faults = []
    if frames.lost:
        lost = ", ".join(f"{count} {name}" for name, count in sorted(frames.lost.items()))
        faults.append(f"output was lost: {lost}; the disk was full, or did not respond")
    faults += [
        f"the clock was set by {seconds:+.0f} s: times of earlier frames in the log are off by this"
        for seconds in frames.clock_steps
    ]
    faults += [f"no frames from {begin[11:19]} to {end[11:19]} UTC" for begin, end in frames.gaps[:MAX_GAPS]]
    if len(frames.gaps) > MAX_GAPS:
        faults.append(f"{len(frames.gaps) - MAX_GAPS} more gaps without frames")
    return faults
