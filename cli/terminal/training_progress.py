"""Progress bar of a training, and the summary of its metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ...runtime.monitoring.console import PlainConsole
from ...training.progress import Report
from ...training.run import RunRecord


class TrainingProgress:
    """A progress bar on stderr, for one training or several in succession."""

    def __init__(self) -> None:
        # TensorFlow warns that a second network is traced again, which is expected here.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        self.console = PlainConsole(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=self.console)
        self._task = self._progress.add_task("preparing", total=None)

    def __enter__(self) -> TrainingProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, state: dict[str, Any]) -> None:
        """Update the bar from a training's progress, see `Report`."""
        steps = state.get("steps", 1)
        done = (state["epoch"] - 1) * steps + state.get("step", steps)
        numbers = "  ".join(f"{key} {value:.4f}" for key, value in state.items() if isinstance(value, float))
        label = state.get("label") or f"epoch {state['epoch']}/{state['epochs']}  {numbers}"
        self._progress.update(self._task, total=state["epochs"] * steps, completed=done, description=label)


def format_metrics(metrics: dict[str, Any]) -> str:
    """Return a table of a classifier's validation metrics.

    It has rows for all images and for each source.
    """
    columns = {"all": metrics} | (metrics["sets"] if len(metrics["sets"]) > 1 else {})
    lines = [classifier_table(columns, "validation images")]
    abstain = metrics["abstain"]
    if "threshold" in abstain:
        lines.append(
            f"above the abstention threshold of {abstain['threshold']:.2f}: {abstain['coverage']:.1%} of the images, "
            f"{abstain['accuracy']:.1%} of them correct"
        )
    else:
        lines.append(f"no abstention threshold: {abstain['none']}")
    return "\n".join(lines)


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
    width, wide = max(len(title) for title, _ in rows), max(9, *map(len, columns))
    rows.insert(0, ("", list(columns)))
    return "\n".join(f"{title:{width}}" + "".join(f"  {cell:>{wide}}" for cell in cells) for title, cells in rows)


def format_scores(metrics: dict[str, Any]) -> str:
    """Return a detector's validation metrics, one per line."""
    width = max(map(len, metrics), default=0)
    return "\n".join(f"{name:{width}}  {_figure(value)}" for name, value in metrics.items())


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def show_training(train: Callable[[Report], RunRecord], out: Path) -> None:
    """Run a training under a progress bar; print its metrics and the next command."""
    with TrainingProgress() as progress:
        record = train(progress.report)
    metrics = record.metrics
    table = format_metrics(metrics) if record.task == "classify" else format_scores(metrics)
    progress.console.print(table, markup=False, highlight=False, soft_wrap=True)
    progress.console.print(f"run: {out}   next: galaxy-edge export --int8 {out}", soft_wrap=True, highlight=False)
