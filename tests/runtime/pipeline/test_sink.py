"""Groups of sinks."""

import threading

from galaxy_edge.runtime.pipeline.sink import SinkGroup


def test_sinks_are_closed_at_once():
    """Each of these waits for the other: in turn they would never end."""
    meeting = threading.Barrier(2, timeout=30)

    class Waiting:
        def close(self, frames, bad):
            meeting.wait()

    SinkGroup([Waiting(), Waiting()]).close(0, 0)
