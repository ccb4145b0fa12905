"""The JSON API and the metrics, as scripts and monitoring systems use them."""

import datetime
import json
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.web.access_control import PUBLIC_PATHS
from galaxy_edge.runtime.web.preview import Preview
from helpers.live_run import running
from prometheus_client.parser import text_string_to_metric_families


def test_status_events_and_crops(live):
    """The figures are those of the run, and each event's crop can be fetched."""
    before = live.json("/api/status")
    live.until(lambda: live.json("/api/status")["frames"] > before["frames"])
    assert (
        before["state"] == "running"
        and before["source"] == "demo"
        and before["stages"]["detect"] > 0
        and before["stages"]["write"] > 0
    )
    event = live.json("/api/events?limit=1")[0]
    assert live.json(f"/api/events/{event['id']}")["id"] == event["id"]
    live.until(lambda: any(event["crop"] for event in live.json("/api/events")))  # it follows its event
    with_crop = next(event for event in live.json("/api/events") if event["crop"])
    _, headers, content = live.ask(f"/{with_crop['crop']}")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert headers["Content-Type"] == "image/png" and min(image.shape[:2]) > 4
    live.until(lambda: live.json("/api/history"))
    assert live.json("/api/events?class=no_such") == []


def test_controls_change_the_run(live):
    """A paused run delivers frames but detects nothing.

    The answer holds the new values.
    """
    before = live.json("/api/controls")
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector"), "detect")
    own = pytest.approx(bundle.manifest.detector_decode.score_threshold, abs=1e-4)
    assert before == {
        "paused": False, "min_score": own, "stack": None, "show_inputs": False, "default_min_score": own,
    }  # fmt: skip
    assert live.json("/api/controls", {"paused": True, "min_score": 0.9})["paused"]
    time.sleep(1.0)  # frames in flight have been processed
    frames, found = live.monitor.frames, live.monitor.run_stats.detections
    live.until(lambda: live.monitor.frames > frames + 3)  # frames are shown, but not searched
    assert live.json("/api/status")["state"] == "paused" and live.monitor.run_stats.detections == found
    assert live.ask("/healthz")[0] == 200, "a pause is not a fault"
    assert live.json("/api/controls", {"paused": False, "min_score": before["min_score"]}) == before
    live.until(lambda: live.monitor.run_stats.detections > found)
    assert live.ask("/api/controls", {"stack": 4})[0] == 409  # this run does not stack


def test_next_frame_is_saved(live):
    """The answer names the file that the next frame is saved in."""
    name = live.json("/api/frames", {})["name"]
    live.until(lambda: live.ask(f"/{name}")[0] == 200)
    image = cv2.imdecode(np.frombuffer(live.ask(f"/{name}")[2], np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (480, 640, 3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"on"',
        b'{"paused": "yes"}',
        b'{"min_score": 2}',
        b'{"min_score": "0.5"}',
        b'{"colour": 1}',
        b'{"stack": 0}',
        b'{"paused": 1}',
        b'{"min_score": NaN}',
        b"\xff\xfe",
    ],
)
def test_invalid_settings_request_changes_nothing(live, body):
    before = live.json("/api/controls")
    assert live.ask("/api/controls", body)[0] == 422
    assert live.json("/api/controls") == before


def test_openapi_document_describes_the_token_and_the_stream(live, guarded):
    """Generated clients need to know how to log in and that a stream may be refused."""
    bearer = {"Authorization": f"Bearer {guarded.token}"}
    document = json.loads(guarded.ask("/openapi.json", headers=bearer)[2])
    assert set(document["components"]["securitySchemes"]) == {"bearer", "cookie"}
    assert document["security"] == [{"bearer": []}, {"cookie": []}]
    public = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if operation.get("security") == []
    }
    assert public == {"/healthz", "/login"} == PUBLIC_PATHS & document["paths"].keys()
    assert {"200", "429"} < document["paths"]["/stream.mjpg"]["get"]["responses"].keys()
    assert "security" not in live.json("/openapi.json")  # on loopback none is required


def test_head_requests_are_answered(live):
    """Monitoring systems use HEAD, which is answered without a body."""
    for path in ("/healthz", "/"):
        status, headers, content = live.ask(path, method="HEAD")
        assert (status, content) == (200, b"") and int(headers["Content-Length"]) > 0


def test_prometheus_can_parse_the_metrics(live):
    """Parsed by Prometheus' own client library; times are in seconds."""
    _, headers, content = live.ask("/metrics")
    assert headers["Content-Type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(content.decode())}
    assert families["galaxy_edge_frames"].samples[0].value > 0 and families["galaxy_edge_frames"].type == "counter"
    assert families["galaxy_edge_up"].samples[0].value == 1
    stages = {
        (sample.name, sample.labels["stage"]): sample.value for sample in families["galaxy_edge_stage_seconds"].samples
    }
    mean = stages["galaxy_edge_stage_seconds_sum", "detect"] / stages["galaxy_edge_stage_seconds_count", "detect"]
    assert 0 < mean < 5, "seconds, not milliseconds"
    assert families["galaxy_edge_memory_bytes"].samples[0].value > 1e7
    assert families["galaxy_edge_open_files"].samples[0].value > 3


@pytest.mark.parametrize(("abstain", "named"), [(None, True), (0.55, True), (0.7, False)])
def test_preview_names_no_class_below_the_abstain_threshold(abstain, named):
    """The preview names a class under the same condition as the list of events.

    A named class is drawn in its colour, an uncertain one in white.
    """
    preview = Preview(("spiral", "smooth"), abstain)
    frame = Frame(np.zeros((240, 320, 3), np.uint8), datetime.datetime.now(datetime.UTC), "sky", 0)
    box, score, probabilities = [[60, 60, 200, 160]], [0.9], [[0.6, 0.4]]
    preview.update(frame.pixels, Detections(*(np.array(values, np.float32) for values in (box, score, probabilities))))
    shown = cv2.imdecode(np.frombuffer(preview.jpeg(), np.uint8), cv2.IMREAD_COLOR)
    assert (np.ptp(shown, axis=2).max() > 20) == named and shown.max() > 150


def test_health_fails_when_frames_stop_and_recovers(tmp_path):
    """A camera that delivers nothing is a fault, even in a paused run."""
    with running(tmp_path, stale=0.5) as live:
        live.controls.paused = True
        live.source.stalled.set()
        live.until(lambda: live.ask("/healthz")[0] == 503)
        assert json.loads(live.ask("/healthz")[2]) == {"state": "stalled"}
        assert b"galaxy_edge_up 0.0" in live.ask("/metrics")[2]
        live.source.stalled.clear()
        live.until(lambda: live.ask("/healthz")[0] == 200)


def test_events_can_be_downloaded(live):
    """The table is a file for a spreadsheet."""
    _, headers, content = live.ask("/api/events.csv")
    assert content.startswith(b"id,run,number") and "attachment" in headers["Content-Disposition"]


def test_view_waits_for_a_newer_image(live):
    """The page asks for the next image instead of asking many times."""
    first = live.json("/api/view")
    second = live.json(f"/api/view?after={first['image']}&wait=10")
    assert second["image"] > first["image"] and second["width"] == 640 and second["age_seconds"] < 10
    assert live.ask("/view.jpg")[2][:2] == b"\xff\xd8"


def test_review_of_an_event_is_stored_and_withdrawn(live):
    """Unknown classes and events are refused."""
    event = live.json("/api/events?limit=1")[0]
    path = f"/api/events/{event['id']}/review"
    assert live.json(path, {"verdict": "wrong", "class": "smooth_cigar"})["class"] == "smooth_cigar"
    assert live.json(f"/api/events/{event['id']}")["review"] == "wrong"
    assert live.ask(path, {"verdict": "wrong", "class": "teapot"})[0] == 404
    assert live.ask("/api/events/00000000-00001/review", {"verdict": "right"})[0] == 404
    assert live.ask(path, method="DELETE")[0] == 204
    assert live.json(f"/api/events/{event['id']}")["review"] is None
