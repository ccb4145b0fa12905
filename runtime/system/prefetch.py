"""Compute results ahead of their use in threads; decoders release the GIL."""

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
    """Apply `work` to items, several at a time.

    Args:
        at_once: number of daemon threads; with 1, the work is done in the caller's thread on demand.

    Yields:
        For each item, in order, a function that returns the result or raises the exception of the work.
    """
    waiting = iter(items)
    if at_once == 1:
        for item in waiting:
            yield partial(work, item)
        return
    tasks: SimpleQueue[Task[Result, Item]] = SimpleQueue()
    for _ in range(at_once):
        threading.Thread(target=_serve, args=(work, tasks), name="prefetch", daemon=True).start()
    futures: deque[Future[Result]] = deque()

    def begin(count: int) -> None:
        for item in islice(waiting, count):
            futures.append(Future())
            tasks.put((futures[-1], item))

    try:
        begin(at_once)
        while futures:
            yield futures.popleft().result
            begin(1)
    finally:
        for _ in range(at_once):
            tasks.put(None)


def _serve(work: Callable[[Item], Result], tasks: SimpleQueue[Task[Result, Item]]) -> None:
    """Process tasks until None is received."""
    while (task := tasks.get()) is not None:
        future, item = task
        try:
            future.set_result(work(item))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is used
            future.set_exception(error)
        del task, future, item  # release the memory before waiting for the next
