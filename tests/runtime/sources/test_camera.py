"""Cameras and streams: absent, lost, single images, and errors by their names.

They are absent at the start, or lost at once.
"""

import socket
import threading

import cv2
import numpy as np
import pytest
from galaxy_edge.benchmarks.performance.synthetic_sources import NetworkCamera
from galaxy_edge.benchmarks.robustness.attacks.sources.http_cameras import HttpCameras, refusing_rtsp
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.sources import camera as camera_module
from galaxy_edge.runtime.sources import http_camera
from galaxy_edge.runtime.sources.camera import Camera
from galaxy_edge.runtime.sources.capture import CaptureError
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.sources.stream_errors import why_unreachable


@pytest.fixture
def cameras():
    cameras = HttpCameras()
    yield cameras
    cameras.close()


class OneImage:
    """A capture that delivers one image and is gone."""

    def __init__(self):
        self.images = [np.zeros((48, 64, 3), np.uint8)]

    def read(self, _=None):
        return (True, self.images.pop()) if self.images else (False, None)

    def release(self):
        pass


@pytest.fixture
def virtual_time(monkeypatch):
    """Sleep without waiting; return the seconds slept so far."""
    slept = [0.0]
    monkeypatch.setattr(camera_module.time, "sleep", lambda seconds: slept.__setitem__(0, slept[0] + seconds))
    return lambda: slept[0]


def test_camera_that_disappears_after_each_frame_is_reopened_ever_more_rarely(virtual_time, caplog):
    """Without growing waits, a camera was opened some 300 times in 75 s.

    The first wait began again with every frame.
    """
    opened = []
    camera = Camera("sky", lambda: opened.append(virtual_time()) or OneImage())
    for _ in camera:
        if virtual_time() > 75:
            break
    assert len(opened) <= 10
    assert [message.count("stopped delivering") for message in caplog.messages].count(1) <= 4
    assert "(4 times without a good minute between)" in caplog.text and len(caplog.messages) <= 8


def test_a_camera_that_never_delivers_an_image_is_waited_for_in_silence(virtual_time, caplog):
    def open_capture():
        if virtual_time() > 3600:
            return OneImage()
        raise CaptureError("it is asleep" if virtual_time() < 100 else "it does not answer")

    with pytest.raises(UsageError, match=r"sky cannot be opened as a camera: it is asleep \(--wait waits for it\)"):
        Camera("sky", open_capture)
    camera = Camera("sky", open_capture, wait=True)
    assert next(iter(camera)).number == 0 and camera.reopened == 0
    assert caplog.messages == ["sky cannot be opened: it is asleep; waiting for it", "sky: it does not answer"]


def test_a_network_camera_that_comes_later_is_waited_for():
    camera = NetworkCamera()
    camera.disconnect()
    source = open_source(camera.url, wait=True)
    threading.Timer(0.3, camera.reconnect).start()
    frames = iter(source)
    assert next(frames).number == 0 and source.reopened == 0
    frames.close()
    camera.disconnect()


def test_a_v4l2_camera_that_is_not_attached_can_be_waited_for(caplog):
    with pytest.raises(UsageError, match="/dev/video77 cannot be opened as a camera: it does not exist; "):
        open_source("77")
    assert open_source("77", wait=True).name == "/dev/video77" and "waiting for it" in caplog.text


def test_a_snapshot_address_is_polled_and_never_lost(cameras, monkeypatch, caplog):
    """Through FFmpeg it is a stream of one image, and was reopened for each."""
    monkeypatch.setattr(http_camera, "POLL_SECONDS", 0.01)
    source = open_source(f"{cameras.url}/snapshot")
    levels = [int(frame.pixels.mean()) for frame, _ in zip(source, range(6), strict=False)]
    assert len(set(levels)) > 3 and source.reopened == 0 and "stopped" not in caplog.text


def test_a_snapshot_behind_a_password_is_polled(cameras, monkeypatch):
    monkeypatch.setattr(http_camera, "POLL_SECONDS", 0.01)
    source = open_source(cameras.url.replace("//", "//scope:p%40ss@") + "/private")
    assert len([frame for frame, _ in zip(source, range(3), strict=False)]) == 3 and source.reopened == 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/401", "it answers 401 Unauthorized: the user name or the password is missing or wrong"),
        ("/404", "it answers 404 Not Found: the path of the address is wrong"),
        ("/503", "it answers 503 Service Unavailable"),
        ("/huge", "15000x15000 pixels is too large"),
        ("/text", "it answers with text/html, of which no image can be decoded"),
        ("/png", "it answers with multipart/x-mixed-replace; boundary=edge, of which no image can be decoded"),
    ],
)
def test_response_of_an_http_camera_is_reported(cameras, path, reason):
    with pytest.raises(UsageError) as error:
        open_source(cameras.url.replace("//", "//scope:secret@") + path)
    assert reason in str(error.value) and "secret" not in str(error.value)


@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found", "453 Not Enough Bandwidth"])
def test_response_of_an_rtsp_camera_is_reported(status):
    with refusing_rtsp(status) as url, pytest.raises(UsageError) as error:
        open_source(url.replace("//", "//scope:secret@"))
    assert f"it answers {status}: " in str(error.value) and "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["rtsp://127.0.0.1:9/stream", "http://127.0.0.1:9/stream"])
def test_an_address_where_nothing_listens_is_wrong_use(url):
    with pytest.raises(UsageError, match=r"it does not answer \(connection refused\)"):
        open_source(url)


def test_a_damaged_snapshot_is_requested_again(cameras, monkeypatch):
    monkeypatch.setattr(http_camera, "POLL_SECONDS", 0.01)
    whole = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    answers = iter([("image/jpeg", whole[:-40]), ("image/jpeg", whole)])
    monkeypatch.setattr(http_camera, "request", lambda *_: next(answers))
    assert http_camera.SnapshotCapture("http://sky").read()[0]


def test_camera_that_accepts_and_says_nothing_does_not_answer_in_time(monkeypatch):
    """A silent camera was once reported as "not valid HTTP (TimeoutError)"."""
    monkeypatch.setattr(http_camera, "REQUEST_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(CaptureError, match="not answer in time"):
        http_camera.request(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0)


def test_part_of_a_password_is_not_taken_for_a_host_name(monkeypatch):
    """For ``admin:pa@ss/word@camera`` the message once named the host ``ss``."""
    monkeypatch.setattr(socket, "create_connection", lambda *_: (_ for _ in ()).throw(socket.gaierror()))
    assert why_unreachable("rtsp://admin:pa@ss/word@camera/live") == "its host name is not known"
