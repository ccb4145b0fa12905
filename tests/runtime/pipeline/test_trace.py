"""The trace of ``--profile``.

Every stage of every frame, and nothing that could end a run.
"""

import json
from pathlib import Path

from galaxy_edge.runtime.pipeline.trace import TraceFile
from galaxy_edge.runtime.timing import Span
from helpers.pipeline import RecordingSink, Sky, run_pipeline

STAGES = ["read", "glance", "tiles", "preprocess", "detect", "decode", "classify", "track", "write"]


def test_the_trace_has_every_stage_of_every_frame(detector, classifier, tmp_path):
    """A trace with a gap would blame the wrong stage for the time."""
    run_pipeline(Sky(5), detector, classifier, RecordingSink(), trace=TraceFile(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())
    spans = [event for event in events if event["ph"] == "X"]
    for number in range(5):
        mine = [span for span in spans if span["args"]["frame"] == number]
        assert [span["name"] for span in mine] == STAGES
        ends = [span["ts"] + span["dur"] for span in mine]
        assert all(span["ts"] >= end - 1 for span, end in zip(mine[1:], ends, strict=False))  # microseconds, rounded
    assert len({span["tid"] for span in spans}) == 5  # read, preprocess, detect, classify and this thread
    assert {event["tid"] for event in events if event["ph"] == "M"} == {span["tid"] for span in spans}


def test_a_trace_replaces_another_with_its_first_frame(tmp_path):
    """Until then the run may still fail to start.

    One without a frame has an empty trace.
    """
    path = tmp_path / "trace.json"
    for spans, names in (([Span("read", 0.0, 1.0, 7)], ["thread_name", "read"]), ([], [])):
        path.write_text("what another run wrote, at more length than this one will" * 9)
        trace = TraceFile(path)
        assert path.read_text().startswith("what another run wrote")
        if spans:
            trace.frame(0, spans)
        trace.close()
        assert [event["name"] for event in json.loads(path.read_text())] == names


def test_a_trace_on_a_full_disk_is_reported_once_and_ends_no_run(detector, classifier, caplog):
    """A trace is worth less than the night that it measures."""
    stats, _ = run_pipeline(Sky(40), detector, classifier, RecordingSink(), trace=TraceFile(Path("/dev/full")))
    assert stats.frames == 40 and stats.failure is None
    assert len(caplog.messages) == 1 and "No space left on device" in caplog.messages[0]
