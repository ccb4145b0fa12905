"""The time that a run takes to end on request, counted by its own clock."""

from galaxy_edge.runtime.recording import writer as output_writer
from galaxy_edge.runtime.recording.pending import WriterLimits
from galaxy_edge.runtime.system import stop_deadline
from galaxy_edge.runtime.system.stop_deadline import END_SECONDS, KEEP_FOR_EXIT, KEEP_FOR_SINKS, StopDeadline


def test_parts_that_all_wait_as_long_as_they_may_end_in_time():
    """Each had a limit of its own: on a busy machine these added up to 3.3 s."""
    now = [100.0]
    deadline = StopDeadline(lambda: now[0])
    assert deadline.limit(15.0) == 15.0 and not deadline.is_set, "a run that ends by itself has all the time"
    deadline.start()
    now[0] += 0.7  # a busy machine comes back to the frame loop late
    deadline.start()
    assert deadline.is_set, "a second signal gives no more time"
    now[0] += deadline.limit(0.5, keep=KEEP_FOR_SINKS)  # threads that hang
    now[0] += deadline.limit(0.6, KEEP_FOR_EXIT + output_writer.LAST_MESSAGES_SECONDS, output_writer.MIN_CLOSE_SECONDS)
    now[0] += deadline.limit(0.8)  # a broker that does not answer
    assert round(now[0] - 100.0, 6) == END_SECONDS - KEEP_FOR_EXIT
    now[0] += 60.0
    assert deadline.limit(0.6, 0.0, 0.25) == 0.25, "a last commit is tried, however late it is"
    assert deadline.limit(0.6) == 0.0


def test_what_waits_for_a_disk_is_abandoned_before_the_end():
    """The process prints how much is lost and ends within the two seconds."""
    assert stop_deadline.ABANDON_SECONDS + output_writer.MIN_CLOSE_SECONDS < END_SECONDS
    assert WriterLimits().stop_seconds <= KEEP_FOR_SINKS - KEEP_FOR_EXIT
