"""Work done ahead of who asks for it, in threads: decoders let go of the interpreter's lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Task = tuple["Future[Result]", Item] | None


def prefetch(work: Callable[[Item], Result], items: Iterable[Item], at_once: int) -> Iterator[Callable[[], Result]]:
    """Do the work on items, on so many at the same time.

    Args:
        at_once: so many threads do it, and end with the program even if one hangs; 1 does it in the caller's thread
            when it is asked for.

    Yields:
        For each item, in its order, what returns the result, or raises what the work raised.
    """
    waiting = iter(items)
    if at_once == 1:
        for item in waiting:
            yield partial(work, item)
        return
    tasks: SimpleQueue[Task[Result, Item]] = SimpleQueue()
    for _ in range(at_once):
        threading.Thread(target=_serve, args=(work, tasks), name="ahead", daemon=True).start()
    begun: deque[Future[Result]] = deque()

    def begin(count: int) -> None:
        for item in islice(waiting, count):
            begun.append(Future())
            tasks.put((begun[-1], item))

    try:
        begin(at_once)
        while begun:
            yield begun.popleft().result
            begin(1)
    finally:
        for _ in range(at_once):
            tasks.put(None)


def _serve(work: Callable[[Item], Result], tasks: SimpleQueue[Task[Result, Item]]) -> None:
    """Do the tasks that come until there is none."""
    while (task := tasks.get()) is not None:
        future, item = task
        try:
            future.set_result(work(item))
        except BaseException as problem:  # noqa: BLE001 - whatever it is, it is raised where the result is asked for
            future.set_exception(problem)
        del task, future, item  # nothing is held while the next is waited for
