"""What a person sees while a network is trained."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Report = Callable[[dict[str, Any]], None]
"""Told of progress: ``epoch`` (from 1), ``epochs``, ``step`` and ``steps`` within the epoch, and any float to show;
``label`` where it is no training that goes on."""


class Training:
    """A progress bar on stderr, for one training or several after each other."""

    def __init__(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self.console)
        self._task = self._progress.add_task("preparing", total=None)

    def __enter__(self) -> Training:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, message: str) -> None:
        """Print a line above the bar, which begins anew."""
        self.console.print(message, highlight=False)
        self._progress.reset(self._task, total=None, description="preparing")

    def report(self, state: dict[str, Any]) -> None:
        """Show how far a training is, see `Report`."""
        steps = state.get("steps", 1)
        done = (state["epoch"] - 1) * steps + state.get("step", steps)
        numbers = "  ".join(f"{key} {value:.4f}" for key, value in state.items() if isinstance(value, float))
        label = state.get("label") or f"epoch {state['epoch']}/{state['epochs']}  {numbers}"
        self._progress.update(self._task, total=state["epochs"] * steps, completed=done, description=label)


def show_training(train: Callable[[Report], dict[str, Any]], out: Path) -> None:
    """Run a training under a progress bar and say what came out and what to do with it."""
    with Training() as shown:
        record = train(shown.report)
    shown.console.print_json(json.dumps(record["metrics"]))
    shown.console.print(f"run: {out}   next: galaxy-edge export --int8 {out}", soft_wrap=True, highlight=False)
