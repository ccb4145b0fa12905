"""The queue between two threads: frames, time limits, its end."""

import signal
import threading
import time

import pytest
from galaxy_edge.runtime.pipeline.queues import EndOfStream, FrameQueue

FRAMES = [object() for _ in range(3)]


def test_frames_come_in_order_and_then_the_end():
    queue = FrameQueue()
    for frame in FRAMES:
        queue.put(frame)
    queue.end(ValueError("the camera is gone"))
    assert [queue.get() for _ in FRAMES] == FRAMES
    for _ in range(2):  # the end stays
        with pytest.raises(EndOfStream) as ended:
            queue.get(0.01)
    assert str(ended.value.error) == "the camera is gone"
    with pytest.raises(EndOfStream):
        queue.put(FRAMES[0])


def test_only_the_newest_frame_waits():
    queue = FrameQueue(newest_only=True)
    for frame in FRAMES:
        queue.put(frame)
    assert queue.dropped == 2 and queue.get() is FRAMES[-1] and queue.get(0.0) is None


def test_abort_drops_frames_and_wakes_a_thread_that_waits():
    queue, ended = FrameQueue(), threading.Event()

    def wait():
        with pytest.raises(EndOfStream):
            queue.get()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    queue.abort()
    assert ended.wait(30)


def test_a_frame_wakes_the_thread_that_waits_for_it():
    queue, taken = FrameQueue(wait_until_taken=True), []
    reader = threading.Thread(target=lambda: taken.extend(queue.get() for _ in FRAMES), daemon=True)
    reader.start()
    for frame in FRAMES:
        queue.put(frame)
    reader.join(30)
    assert taken == FRAMES


def test_a_time_limit_holds_although_a_signal_comes_at_its_end():
    """The handler of a stop still runs when the time is over.

    Python's SimpleQueue then waits forever, until 3.12.
    """
    queue = FrameQueue()
    watchdog = threading.Timer(60, lambda: queue.end(TimeoutError("the time limit did not hold")))
    watchdog.start()
    before = signal.signal(signal.SIGALRM, lambda *_: time.sleep(0.2))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert queue.get(0.1) is None
    finally:
        signal.signal(signal.SIGALRM, before)
        watchdog.cancel()
