"""The stages of the loop at once, each in a thread of its own: the one place with threads and queues.

::

    read -> prepare -> search -> name -> tell
    each arrow hands over one frame; the last stage runs in the thread that called `run`

The native calls let go of the interpreter's lock, so the stages overlap; frames stay in order, since each stage has one
thread. The queue behind a live camera keeps the newest frame and counts what it drops (``latest``), and a stage then
waits until its frame is taken, so that none grows old in a queue. Of a file every frame is looked at (``all``), so its
results are those of a plain loop; the next is read only when fewer than `max_in_flight` are on their way, which bounds
the memory, and no stage waits for another to take what it has finished. A folder's images are decoded by several
threads (`decoders`), since a large JPEG takes longer than everything else that is done to it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from queue import Empty, SimpleQueue

import cv2

from ..errors import RunFailure
from ..inference.classifier import Classifier
from ..inference.detector import Detector
from ..monitoring.controls import Controls
from ..monitoring.run_stats import RunStats
from ..sources.source import Source
from ..timing import peak_memory_mib
from ..tracking.tracker import Tracker
from .reporter import Reporter
from .serial import SerialExecutor
from .sink import Sink
from .stages import FrameProcessor, ViewOptions, read
from .tasks import FrameCallback, FrameTask, Stage
from .trace import TraceFile

IDLE_SECONDS = 0.1
PARTING_SECONDS = 0.5
HANG_SECONDS = 10.0
"""An inference that has not come back after this long never will: a detector on a slow board takes half a second."""
HANGS = 3
"""So many in a row, with no frame between, and the run gives up: a service manager starts it anew."""


def cores() -> int:
    """Tell how many cores there are for this process."""
    return len(os.sched_getaffinity(0))


def max_in_flight() -> int:
    """Tell how many frames of a file may be on their way: one a core, and one more; at most one a thread."""
    return min(5, cores() + 1)


def decoders() -> int:
    """Tell how many pictures of a folder are decoded at once: two keep up with the detector; one where one core is."""
    return min(2, cores())


def run(
    source: Source,
    detector: Detector,
    classifier: Classifier,
    output: Sink,
    watch: FrameCallback,
    stop: Callable[[], bool],
    max_frames: int | None = None,
    *,
    looks: ViewOptions = ViewOptions(),  # noqa: B008 - it is frozen
    controls: Controls | None = None,
    trace: TraceFile | None = None,
    overlap: bool = True,
) -> RunStats:
    """Run the loop until the source ends, `stop` says so, or `max_frames` were done.

    Everything is written and closed however it ends; what made it fail is in the summary.

    Args:
        output: takes frames and events; like `watch`, called from this thread only.
        watch: told of every frame: the frame, its named detections, its record, the summary so far.
        stop: asked once a frame, and every `IDLE_SECONDS` while there is none.
        looks: tiles and change gate.
        controls: what may be changed while it goes on.
        trace: where the spans of every frame are written.
        overlap: whether the stages run at once; a plain loop gives the same results in more time.
    """
    summary, loop = RunStats(), FrameProcessor(detector, classifier, source.continuous, looks, controls)
    teller = Reporter(Tracker(source.continuous), classifier, output, watch, summary, trace)
    threads = cv2.getNumThreads()
    works = (ThreadedExecutor if overlap else SerialExecutor)(source, loop.stages, max_frames)

    def count_up() -> None:
        summary.dropped, summary.hung, summary.reopened = works.dropped, works.hung, source.reopened
        summary.seconds = summary.clock.seconds()

    if overlap:
        cv2.setNumThreads(max(1, cores() // 2))  # the stages share the cores: OpenCV's own threads get in their way
    try:
        for work in works:
            if stop():
                summary.stopped = True
                break
            count_up()
            if work is None:
                continue
            teller.tell(work)
            del work  # here and below: no frame is held while the next is waited for
            if summary.frames == max_frames:
                break
    except RunFailure as problem:
        summary.failure = problem
    finally:
        cv2.setNumThreads(threads)
        works.close()
        count_up()
        summary.bad_pictures = source.bad
        summary.peak_memory_mib = peak_memory_mib()
        teller.close(source.bad)
    return summary


class ThreadedExecutor:
    """The stages at once.

    Attributes:
        hung: frames given up because their inference did not come back.
    """

    def __init__(self, source: Source, stages: list[Stage], limit: int | None) -> None:
        self.hung = 0
        self._in_a_row = 0
        first = _Queue(newest=source.live)
        self._queues = [first, *(_Queue(fresh=source.live) for _ in stages)]
        self._places = None if source.live else threading.Semaphore(max_in_flight())
        # Of a live camera, more frames are read than are looked at.
        works = read(source, None if source.live else limit)
        self._threads: list[_Thread] = [_Reader(works, first, self._places)]
        self._threads += [_Worker(stage, *self._queues[at : at + 2]) for at, stage in enumerate(stages)]

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced."""
        return self._queues[0].dropped

    def __iter__(self) -> Iterator[FrameTask | None]:
        """Yield each frame's work when it is done, and None while there is none."""
        for thread in self._threads:
            thread.start()
        try:
            while True:
                work = self._queues[-1].get(IDLE_SECONDS)
                if work is None:
                    self._replace_hanging()
                    yield None
                    continue
                self._in_a_row = 0
                yield work
                del work
                self._leave()
        except _EndOfStream as end:
            if end.problem is not None:
                raise end.problem from None

    def close(self) -> None:
        """Forget what is under way and wait a moment for the threads; one that hangs does not hold up the end."""
        for queue in self._queues:
            queue.abort()
        self._leave()  # the reader may wait for a place
        until = time.monotonic() + PARTING_SECONDS
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))

    def _leave(self) -> None:
        """Give the place of a frame to the next."""
        if self._places:
            self._places.release()

    def _replace_hanging(self) -> None:
        """Leave a thread whose inference hangs to itself, and put a new one with a new engine in its place."""
        for place, thread in enumerate(self._threads):
            if not isinstance(thread, _Worker) or thread.stage.reload_engine is None or not thread.abandon_if_hung():
                continue
            self.hung += 1
            self._in_a_row += 1
            if self._in_a_row == HANGS:
                raise RunFailure(f"the stage {thread.name} hung {HANGS} times in a row, {HANG_SECONDS:.0f} s each")
            thread.stage.reload_engine()
            self._leave()
            self._threads[place] = _Worker(thread.stage, thread.origin, thread.target)
            self._threads[place].start()


class _Thread(threading.Thread):
    """A thread that fills a queue, and ends it with what it raised: that is raised again at the other end."""

    def __init__(self, name: str, target: _Queue) -> None:
        super().__init__(name=name, daemon=True)
        self.target = target

    def run(self) -> None:
        with ExitStack() as stack:
            stack.push(lambda _, problem, __: self.end(problem))
            self.fill()

    def fill(self) -> None:
        """Fill the queue until there is no more."""
        raise NotImplementedError

    def end(self, problem: BaseException | None) -> bool:
        """End the queue; what was raised is dealt with there."""
        self.target.end(problem.problem if isinstance(problem, _EndOfStream) else problem)
        return True


class _Reader(_Thread):
    """Reads frames, where there are places each when there is one; the source is let go in the thread that read it."""

    def __init__(self, works: Generator[FrameTask], target: _Queue, places: threading.Semaphore | None) -> None:
        super().__init__("read", target)
        self._works = works
        self._places = places

    def fill(self) -> None:
        with closing(self._works):
            while True:
                if self._places:
                    self._places.acquire()
                self.target.check()
                work = next(self._works, None)
                if work is None:
                    return
                self.target.put(work)
                del work


class _Worker(_Thread):
    """Does one stage's work on frame after frame."""

    def __init__(self, stage: Stage, origin: _Queue, target: _Queue) -> None:
        super().__init__(stage.do.__name__, target)
        self.stage = stage
        self.origin = origin
        self._busy: FrameTask | None = None
        self._given_up = False
        self._lock = threading.Lock()

    def fill(self) -> None:
        while True:
            work = self.origin.get()
            assert work is not None
            work.watch.touched = time.monotonic()
            self._busy = work
            self.stage.do(work)
            with self._lock:
                if self._given_up:
                    return
                self._busy = None
            self.target.put(work)
            del work

    def end(self, problem: BaseException | None) -> bool:
        with self._lock:
            return True if self._given_up else super().end(problem)

    def abandon_if_hung(self) -> bool:
        """Give this thread up if its work has stood still for too long; whatever it does later counts no more."""
        with self._lock:
            busy = self._busy
            self._given_up = busy is not None and time.monotonic() - busy.watch.touched > HANG_SECONDS
            return self._given_up


class _EndOfStream(Exception):
    """A queue has ended; with the problem that ended it, if one did."""

    def __init__(self, problem: BaseException | None) -> None:
        super().__init__()
        self.problem = problem


class _Queue:
    """What has come from one thread, the only one that puts, and waits for the next, the only one that gets.

    Args:
        newest: whether only the newest frame is kept.
        fresh: whether who gives a frame waits until it is taken.

    Attributes:
        dropped: frames that a newer one replaced; only where `newest` is wanted.
    """

    def __init__(self, newest: bool = False, fresh: bool = False) -> None:
        self.dropped = 0
        self._newest = newest
        self._fresh = fresh
        # A condition would do, but costs some hundred microseconds of the interpreter's lock a frame; this waits in C.
        self._waiting: SimpleQueue[FrameTask | _EndOfStream] = SimpleQueue()
        self._taken = threading.Semaphore(0)
        self._end: _EndOfStream | None = None
        self._lock = threading.Lock()

    def put(self, work: FrameTask) -> None:
        """Give a frame.

        Raises:
            _Ended: no more is wanted.
        """
        if self._newest and self._forget():
            self.dropped += 1
        self.check()
        self._waiting.put(work)
        if self._fresh:
            self._taken.acquire()

    def check(self) -> None:
        """Raise `_Ended` if no more is wanted."""
        if self._end:
            raise self._end

    def get(self, seconds: float | None = None) -> FrameTask | None:
        """Take the next frame; None if none came in so many seconds.

        Raises:
            _Ended: there will be none.
        """
        try:
            work = self._waiting.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(work, _EndOfStream):
            self._waiting.put(work)  # it is the end for whoever asks again
            raise work
        if self._fresh:
            self._taken.release()
        return work

    def end(self, problem: BaseException | None) -> None:
        """Say that no more will come; what waits can still be taken."""
        with self._lock:
            if self._end:
                return
            self._end = _EndOfStream(problem)
        self._waiting.put(self._end)

    def abort(self) -> None:
        """End at once: who waits here, on either side, is told."""
        self._forget()
        self.end(None)
        self._taken.release()

    def _forget(self) -> int:
        """Forget what waits, but not that it has ended; tell how many frames that were."""
        count = 0
        with suppress(Empty):
            while not isinstance(work := self._waiting.get_nowait(), _EndOfStream):
                count += 1
            self._waiting.put(work)
        return count
