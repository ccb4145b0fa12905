"""Progress bar of a training, and the summary of its metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ...runtime.monitoring.console import PlainConsole
from ...training.progress import Report
from ...training.run import RunRecord
from .advice import nothing_found
from .training_cost import TrainingCost, duration, numbers_text

LINE_SECONDS = 60.0
"""Longest time between two lines where stderr is not a terminal."""


class TrainingProgress:
    """A progress bar on stderr, for one training or several in succession.

    Where stderr is not a terminal, there are lines instead: one for each epoch, and one per minute in long epochs. The
    time and memory expected are printed after the first steps.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        # TensorFlow warns that a second network is traced again, which is expected here.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        self.console = PlainConsole(stderr=True)
        self._clock, self._cost, self._last_line, self._position = clock, TrainingCost(clock), clock(), 0
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self._task = self._progress.add_task("preparing", total=None)

    def __enter__(self) -> TrainingProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, state: dict[str, Any]) -> None:
        """Update the bar from a training's progress, see `Report`."""
        steps, epochs = state.get("steps", 1), state["epochs"]
        done = (state["epoch"] - 1) * steps + state.get("step", steps)
        if done < self._position:
            self._cost = TrainingCost(self._clock)  # the next training of several
        self._position = done
        label = state.get("label") or f"epoch {state['epoch']}/{epochs}  {numbers_text(state)}"
        self._progress.update(self._task, total=epochs * steps, completed=done, description=label)
        if "step" in state and "label" not in state:
            self._cost.update(done, epochs * steps)
            if forecast := self._cost.forecast(epochs):
                self._print(forecast)
        if not self.console.is_terminal and ("step" not in state or self._clock() - self._last_line >= LINE_SECONDS):
            self._last_line = self._clock()
            within = f"  step {state['step']}/{steps}" if "step" in state and steps > 1 else ""
            left = self._cost.seconds_left
            remaining = f"  about {duration(left)} left" if left else ""
            self._print(f"{label}{within}{remaining}")

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def format_metrics(metrics: dict[str, Any]) -> str:
    """Return a table of a classifier's validation metrics.

    It has rows for all images and for each source.
    """
    columns = {"all": metrics} | (metrics["sets"] if len(metrics["sets"]) > 1 else {})
    lines = [classifier_table(columns, "validation images")]
    abstain = metrics["abstain"]
    lines.append(_abstention(abstain) if "threshold" in abstain else f"no abstention threshold: {abstain['none']}")
    return "\n".join(lines)


def _abstention(abstain: dict[str, Any]) -> str:
    """Describe the abstention threshold, and what is known of the images above it."""
    threshold = f"abstention threshold of {abstain['threshold']:.2f}"
    if "coverage" not in abstain:
        return f"{threshold}: measuring the accuracy above it needs more images, or a longer training"
    correct = f", {abstain['accuracy']:.1%} of them correct" if "accuracy" in abstain else ""
    return f"above the {threshold}: {abstain['coverage']:.1%} of the images{correct}"


def classifier_table(columns: dict[str, dict[str, Any]], images: str = "images") -> str:
    """Return a table of a classifier's metrics, a column for each heading.

    `images` is the title of the number of images.
    """
    rows = [(images, [str(found["images"]) for found in columns.values()])]
    for key, title in (
        ("accuracy", "accuracy"),
        ("macro_f1", "macro F1"),
        ("coarse_accuracy", "coarse group accuracy"),
        ("ece", "calibration error"),
    ):
        rows.append((title, [_figure(found[key]) for found in columns.values()]))
    for name in next(iter(columns.values()))["recall"]:
        rows.append((f"recall of {name}", [_figure(found["recall"][name]) for found in columns.values()]))
    return _table(list(columns), rows)


def format_scores(metrics: dict[str, Any]) -> str:
    """Return a table of a detector's validation metrics.

    It has columns for all images and for each set, like that of a classifier.
    """
    sets = list(dict.fromkeys(name.partition("_")[2] for name in metrics if "_" in name))
    rows = []
    for key, title in (("map50", "mAP@0.5"), ("map", "mAP@0.5:0.95"), ("false", "false detections per frame")):
        names = [key, *(f"{key}_{subset}" for subset in sets)]
        if any(name in metrics for name in names):
            rows.append((title, [_figure(metrics.get(name)) for name in names]))
    return _table(["all", *sets], rows)


def _table(columns: list[str], rows: list[tuple[str, list[str]]]) -> str:
    """Format rows of a title and cells under headings, the cells flush right."""
    width, wide = max((len(title) for title, _ in rows), default=0), max(9, *map(len, columns))
    lines = [("", columns), *rows]
    return "\n".join(f"{title:{width}}" + "".join(f"  {cell:>{wide}}" for cell in cells) for title, cells in lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def show_training(train: Callable[[Report], RunRecord], out: Path) -> None:
    """Run a training under a progress bar; print its metrics and the next command."""
    with TrainingProgress() as progress:
        record = train(progress.report)
    metrics = record.metrics
    table = format_metrics(metrics) if record.task == "classify" else format_scores(metrics)
    for line in (table, nothing_found(metrics.get("map50")) if record.task == "detect" else None):
        if line:
            progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
    progress.console.print(f"run: {out}   next: galaxy-edge export --int8 {out}", soft_wrap=True, highlight=False)
