"""The live view's answers, as a script and a monitor ask for them."""

import datetime
import json
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.web import access_control as guard
from galaxy_edge.runtime.web.preview import Preview
from helpers.live_run import running
from prometheus_client.parser import text_string_to_metric_families


def test_figures_events_and_crops(live):
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
    with_crop = next(one for one in live.json("/api/events") if one["crop"])
    _, headers, content = live.ask(f"/{with_crop['crop']}")
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert headers["Content-Type"] == "image/png" and min(picture.shape[:2]) > 4
    live.until(lambda: live.json("/api/history"))
    assert live.json("/api/events?class=no_such") == []


def test_controls_turn_the_run(live):
    before = live.json("/api/controls")
    assert before == {"paused": False, "min_score": pytest.approx(0.47, abs=0.1), "stack": None}
    assert live.json("/api/controls", {"paused": True, "min_score": 0.9})["paused"]
    time.sleep(1.0)  # what was under way is through
    frames, found = live.pulse.frames, live.pulse.summary.detections
    live.until(lambda: live.pulse.frames > frames + 3)  # frames are shown, and not searched
    assert live.json("/api/status")["state"] == "paused" and live.pulse.summary.detections == found
    assert live.ask("/healthz")[0] == 200, "a pause is no fault"
    assert live.json("/api/controls", {"paused": False, "min_score": before["min_score"]}) == before
    live.until(lambda: live.pulse.summary.detections > found)
    assert live.ask("/api/controls", {"stack": 4})[0] == 409  # this run does not stack


def test_a_frame_is_kept(live):
    name = live.json("/api/frames", {})["name"]
    live.until(lambda: live.ask(f"/{name}")[0] == 200)
    picture = cv2.imdecode(np.frombuffer(live.ask(f"/{name}")[2], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (480, 640, 3)


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
def test_a_wrong_wish_changes_nothing(live, body):
    before = live.json("/api/controls")
    assert live.ask("/api/controls", body)[0] == 422
    assert live.json("/api/controls") == before


def test_the_document_tells_of_the_token_and_of_the_stream(live, guarded):
    bearer = {"Authorization": f"Bearer {guarded.token}"}
    document = json.loads(guarded.ask("/openapi.json", headers=bearer)[2])
    assert set(document["components"]["securitySchemes"]) == {"bearer", "cookie"}
    assert document["security"] == [{"bearer": []}, {"cookie": []}]
    free = {
        path for path, one in document["paths"].items() for operation in one.values() if operation.get("security") == []
    }
    assert free == {"/healthz", "/login"} == guard.PUBLIC_PATHS & document["paths"].keys()
    assert {"200", "429"} < document["paths"]["/stream.mjpg"]["get"]["responses"].keys()
    assert "security" not in live.json("/openapi.json")  # on loopback none is wanted


def test_a_monitor_may_ask_for_the_head_alone(live):
    for path in ("/healthz", "/"):
        status, headers, content = live.ask(path, method="HEAD")
        assert (status, content) == (200, b"") and int(headers["Content-Length"]) > 0


def test_prometheus_can_read_the_metrics(live):
    _, headers, content = live.ask("/metrics")
    assert headers["Content-Type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(content.decode())}
    assert families["galaxy_edge_frames"].samples[0].value > 0 and families["galaxy_edge_frames"].type == "counter"
    assert families["galaxy_edge_up"].samples[0].value == 1
    stages = {(one.name, one.labels["stage"]): one.value for one in families["galaxy_edge_stage_seconds"].samples}
    mean = stages["galaxy_edge_stage_seconds_sum", "detect"] / stages["galaxy_edge_stage_seconds_count", "detect"]
    assert 0 < mean < 5, "seconds, not milliseconds"
    assert families["galaxy_edge_memory_bytes"].samples[0].value > 1e7
    assert families["galaxy_edge_open_files"].samples[0].value > 3


@pytest.mark.parametrize(("abstain", "named"), [(None, True), (0.55, True), (0.7, False)])
def test_a_guess_is_no_class_in_the_live_picture_either(abstain, named):
    """The picture named what the list beside it called uncertain; a class has a colour, a guess is white."""
    preview = Preview(("spiral", "smooth"), abstain)
    frame = Frame(np.zeros((240, 320, 3), np.uint8), datetime.datetime.now(datetime.UTC), "sky", 0)
    box, score, probabilities = [[60, 60, 200, 160]], [0.9], [[0.6, 0.4]]
    preview.frame(frame, Detections(*(np.array(one, np.float32) for one in (box, score, probabilities))))
    shown = cv2.imdecode(np.frombuffer(preview.jpeg(), np.uint8), cv2.IMREAD_COLOR)
    assert (np.ptp(shown, axis=2).max() > 20) == named and shown.max() > 150


def test_health_is_red_when_frames_stop(tmp_path):
    with running(tmp_path, stale=0.5) as one:
        one.controls.paused = True  # a pause does not hide it
        one.source.dead.set()
        one.until(lambda: one.ask("/healthz")[0] == 503)
        assert json.loads(one.ask("/healthz")[2]) == {"state": "stalled"}
        assert b"galaxy_edge_up 0.0" in one.ask("/metrics")[2]
        one.source.dead.clear()
        one.until(lambda: one.ask("/healthz")[0] == 200)
