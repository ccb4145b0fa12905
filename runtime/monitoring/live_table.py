"""What a person sees while a run goes on, and at its end."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..events.frame_record import UNCERTAIN
from ..frame import Detections, Frame
from .run_stats import RunStats

ROWS = 10


class LiveTable:
    """A live table on a terminal.

    Args:
        length: frames to come, if known.
        err: whether it is on stderr.
    """

    def __init__(self, length: int | None, err: bool) -> None:
        console = Console(stderr=err)
        self._recent: deque[tuple[str, ...]] = deque(maxlen=ROWS)
        self._progress = make_progress("[bold]{task.description}", console)
        self._task = self._progress.add_task("frames", total=length)
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, frame: Frame, named: Detections, record: dict[str, Any], summary: RunStats) -> None:
        """Show a frame."""
        self._progress.update(self._task, completed=summary.frames)
        for found in record["detections"]:
            x0, y0, x1, y1 = found["box"]
            name = found["class"] if found.get("sure", True) else UNCERTAIN
            self._recent.append(
                (
                    str(frame.number),
                    frame.source,
                    name,
                    f"{found['probability']:.2f}",
                    f"{found['score']:.2f}",
                    f"{x1 - x0:.0f}x{y1 - y0:.0f} at {(x0 + x1) / 2:.0f},{(y0 + y1) / 2:.0f}",
                )
            )
        self._live.update(Group(self._table(), self._progress))

    def _table(self) -> Table:
        table = Table(title="galaxies seen last", expand=False)
        for heading in ("frame", "source", "class", "probability", "score", "size and place (px)"):
            table.add_column(heading)
        for row in self._recent:
            table.add_row(*row)
        return table


def print_summary(summary: RunStats, places: dict[str, Path], err: bool) -> None:
    """Print what was found, where the time went and where everything is; to stderr if `err`."""
    console = Console(stderr=err)
    if summary.stopped:
        console.print("ended on request" if summary.failure else "ended on request; everything is written")
    table = Table(title="where the time went")
    for heading in ("stage", "count", "median ms", "p95 ms"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage, row in summary.stages.items():
        table.add_row(stage, str(row["count"]), f"{row['median_ms']:.2f}", f"{row['p95_ms']:.2f}")
    console.print(table)
    rate = summary.frames / summary.seconds if summary.seconds else 0.0
    console.print(f"{rate:.1f} frames a second, peak memory {summary.peak_memory_mib:.0f} MiB")
    if summary.bad_pictures:
        console.print(f"{summary.bad_pictures} pictures could not be read and were skipped")
    if summary.dropped:
        console.print(f"{summary.dropped} frames came too fast: newer ones took their place")
    if summary.gated:
        console.print(f"{summary.gated} frames brought nothing new and share the result of the last that did")
    if summary.reopened:
        console.print(f"the camera was lost and came back {summary.reopened} times")
    if summary.hung:
        console.print(f"{summary.hung} frames were given up because an inference hung")
    counts = ", ".join(f"{count} {name}" for name, count in summary.classes.most_common())
    galaxies = "galaxy" if summary.events == 1 else "galaxies"
    found = f"[bold]{summary.frames} frames, {summary.events} {galaxies}[/bold]"
    console.print(f"{found}: {counts}" if counts else found)
    for name, path in places.items():
        console.print(f"  {name}: {path}", soft_wrap=True, highlight=False)


def make_progress(description: str, console: Console, transient: bool = False) -> Progress:
    columns = [TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    return Progress(*columns, console=console, transient=transient)
