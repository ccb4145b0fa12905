"""Progress bars on a terminal."""

from __future__ import annotations

from collections.abc import Callable

from ...runtime.monitoring.console import PlainConsole
from ...runtime.monitoring.live_table import make_progress


class ProgressBar:
    """A progress bar on stderr for a loop.

    It is called with the number done and the total.

    >>> with ProgressBar("images") as progress:
    ...     progress(1, 10)
    """

    def __init__(self, name: str) -> None:
        self._progress = make_progress("{task.description}", PlainConsole(stderr=True), transient=True)
        self._task = self._progress.add_task(name, total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress.start()
        return lambda done, total: self._progress.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
