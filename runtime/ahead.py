"""Work done ahead of who asks for it, in threads: decoders let go of the interpreter's lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], at_once: int
) -> Iterator[Callable[[], Result]]:
    """Do the work on items, on so many at the same time.

    Args:
        at_once: 1 does it in the caller's thread, when it is asked for.

    Yields:
        For each item, in its order, what returns the result, or raises what the work raised.
    """
    waiting = iter(items)
    if at_once == 1:
        for item in waiting:
            yield partial(work, item)
        return
    begun = deque(_Ahead(work, item) for item in islice(waiting, at_once))
    while begun:
        yield begun.popleft().result
        begun.extend(_Ahead(work, item) for item in islice(waiting, 1))


class _Ahead(threading.Thread, Generic[Result]):
    """Begins the work at once. A thread that hangs does not hold up the program's end."""

    def __init__(self, work: Callable[[Item], Result], item: Item) -> None:
        super().__init__(daemon=True)
        self._work = partial(work, item)
        self._results: list[Result] = []
        self._problem: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as problem:  # noqa: BLE001 - whatever it is, it is raised where the result is asked for
            self._problem = problem

    def result(self) -> Result:
        """Wait for the result and give it away."""
        self.join()
        if self._problem is not None:
            raise self._problem
        return self._results.pop()
