"""The live table of a run on a terminal, and the summary at its end."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ...models.naming import display_name
from ..events.frame_record import FrameRecord
from ..frame import Detections, Frame
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


def print_summary(stats: RunStats, places: dict[str, Path], err: bool) -> None:
    """Print the results, the time of each stage and the output paths.

    To stderr if `err`.
    """
    console = PlainConsole(stderr=err)
    if stats.stopped:
        console.print("stopped on request" if stats.failure else "stopped on request; everything is written")
    table = Table(title="time of the stages")
    for heading in ("stage", "count", "median ms", "p95 ms"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage, row in stats.stages.items():
        table.add_row(stage, str(row["count"]), f"{row['median_ms']:.2f}", f"{row['p95_ms']:.2f}")
    console.print(table)
    rate = stats.frames / stats.seconds if stats.seconds else 0.0
    console.print(f"{rate:.1f} frames per second, peak memory {stats.peak_memory_mib:.0f} MiB")
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
    counts = "; ".join(f"{name} ({count})" for name, count in stats.classes.most_common())
    frames, galaxies = "frame" if stats.frames == 1 else "frames", "galaxy" if stats.events == 1 else "galaxies"
    found = Text(f"{stats.frames} {frames}, {stats.events} {galaxies}", "bold")
    console.print(found + Text(f": {counts}") if counts else found, soft_wrap=True)
    if stats.not_galaxies:
        console.print(f"not galaxies: {'; '.join(sorted(stats.not_galaxies))}", soft_wrap=True, highlight=False)
    for name, path in places.items():
        console.print(f"  {name}: {path}", soft_wrap=True, highlight=False)


def make_progress(description: str, console: Console, transient: bool = False, style: str = "none") -> Progress:
    """Make a progress bar with a count and the remaining time."""
    columns = [
        TextColumn(description, style=style, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    return Progress(*columns, console=console, transient=transient)
