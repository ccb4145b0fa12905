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
"""Told of progress: ``epoch`` (from 1), ``epochs``, ``step`` and ``steps`` within the epoch, and any float to show."""


def show_training(train: Callable[[Report], dict[str, Any]], out: Path) -> None:
    """Run a training under a progress bar on stderr and say what came out and what to do with it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("preparing", total=None)

        def report(state: dict[str, Any]) -> None:
            steps = state.get("steps", 1)
            done = (state["epoch"] - 1) * steps + state.get("step", steps)
            numbers = "  ".join(f"{key} {value:.4f}" for key, value in state.items() if isinstance(value, float))
            label = f"epoch {state['epoch']}/{state['epochs']}  {numbers}"
            progress.update(task, total=state["epochs"] * steps, completed=done, description=label)

        record = train(report)
    console.print_json(json.dumps(record["metrics"]))
    console.print(f"run: {out}   next: galaxy-edge export --int8 {out}", soft_wrap=True, highlight=False)
