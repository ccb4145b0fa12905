"""The live table of a run on a terminal, and the summary at its end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ...models.naming import display_name, plain_name
from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
from ..tracking.track import MIN_CONFIRMATIONS
from .console import PlainConsole
from .run_stats import RunStats

ROWS = 10
"""Number of latest detections that are shown."""


class LiveTable:
    """A live table on a terminal.

    Args:
        length: number of frames, if known.
        err: whether it is drawn on stderr.
    """

    def __init__(self, length: int | None, err: bool) -> None:
        console = PlainConsole(stderr=err)
        self._recent: deque[tuple[str, ...]] = deque(maxlen=ROWS)
        self._progress = make_progress("{task.description}", console, style="bold")
        self._task = self._progress.add_task("frames", total=length)
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, frame: Frame, detections: Detections, record: FrameRecord, stats: RunStats) -> None:
        """Show a frame."""
        self._progress.update(self._task, completed=stats.frames)
        for detection in record.detections:
            x0, y0, x1, y1 = detection.box
            name = display_name(detection.name, detection.probabilities, detection.sure)
            is_class = name == detection.name
            name = (detection.sky.label if detection.sky else "") or name
            self._recent.append(
                (
                    str(frame.number),
                    frame.source,
                    name,
                    f"{detection.probability:.2f}" if is_class else "",
                    f"{detection.score:.2f}",
                    f"{x1 - x0:.0f}x{y1 - y0:.0f} at {(x0 + x1) / 2:.0f},{(y0 + y1) / 2:.0f}",
                )
            )
        self._live.update(Group(self._table(), self._progress))

    def _table(self) -> Table:
        table = Table(title="latest galaxies", expand=False)
        for heading in ("frame", "source", "object or class", "probability", "score", "size and position (px)"):
            table.add_column(heading)
        for row in self._recent:
            table.add_row(*row)
        return table


def print_summary(stats: RunStats, places: dict[str, Path], err: bool, timings: bool = False) -> None:
    """Print what was found, faults of the run and the output paths.

    To stderr if `err`; with `timings`, also the time of each stage and the memory.
    """
    console = PlainConsole(stderr=err)
    if stats.stopped:
        console.print("stopped on request" if stats.failure else "stopped on request; everything is written")
    if timings:
        _print_timings(stats, console)
    if stats.bad_pictures:
        console.print(f"{stats.bad_pictures} images could not be read and were skipped")
    if stats.dropped:
        console.print(f"{stats.dropped} frames were dropped because newer ones arrived before they were processed")
    if stats.gated:
        console.print(f"{stats.gated} frames without change share the result of an earlier one")
    if stats.reopened:
        console.print(f"the camera was lost and reopened {stats.reopened} times")
    if stats.hung:
        console.print(f"{stats.hung} frames were abandoned because an inference hung")
    console.print(Text(found_text(stats.events, stats.classes, stats.catalogued), "bold"), soft_wrap=True)
    if stats.detections and not stats.events and not stats.not_galaxies:
        console.print(
            f"{count_text(stats.detections, 'detection')} did not count: an object counts once it has been seen in "
            f"{MIN_CONFIRMATIONS} frames and moved with the sky",
            soft_wrap=True,
        )
    if stats.not_galaxies:
        console.print(f"not galaxies: {'; '.join(sorted(stats.not_galaxies))}", soft_wrap=True, highlight=False)
    rate = f", {stats.frames / stats.seconds:.1f} per second" if stats.seconds and stats.frames > 1 else ""
    console.print(f"{count_text(stats.frames, 'frame')} in {stats.seconds:.0f} s{rate}")
    for name, path in places.items():
        console.print(f"  {name}: {path}", soft_wrap=True, highlight=False)


def count_text(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 frame``, ``2 frames``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def found_text(galaxies: int, classes: Counter[str], catalogued: Collection[str] = ()) -> str:
    """Return what was found as a sentence.

    Args:
        galaxies: number of objects.
        classes: number of objects by displayed name.
        catalogued: those of the displayed names that are names of catalogued objects. They come first.
    """
    if not galaxies:
        return "Found no galaxies."
    known = [name for name in sorted(classes) if name in catalogued]
    shapes = Counter[str]()
    for name, count in classes.items():
        if name not in catalogued:
            shapes[_without_noun(plain_name(name))] += count
    parts = known + [f"{count:,} {name}" for name, count in shapes.most_common() if name]
    total = f"Found {galaxies:,} {'galaxy' if galaxies == 1 else 'galaxies'}"
    return f"{total}: {', '.join(parts)}." if parts else f"{total}."


def _without_noun(name: str) -> str:
    """Return a name without the word galaxy: ``spiral with tight arms``."""
    return name.replace(", ", " with ").replace(" galaxy", "").removeprefix("galaxy ")


def _print_timings(stats: RunStats, console: PlainConsole) -> None:
    table = Table(title="time of the stages")
    for heading in ("stage", "count", "median ms", "p95 ms"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage, row in stats.stages.items():
        table.add_row(stage, str(row["count"]), f"{row['median_ms']:.2f}", f"{row['p95_ms']:.2f}")
    console.print(table)
    console.print(f"peak memory {stats.peak_memory_mib:.0f} MiB")


def make_progress(description: str, console: Console, transient: bool = False, style: str = "none") -> Progress:
    """Make a progress bar with a count and the remaining time."""
    columns = [
        TextColumn(description, style=style, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    return Progress(*columns, console=console, transient=transient)
