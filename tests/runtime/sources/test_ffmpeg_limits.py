"""FFmpeg keeps to the address and the memory.

See also the attacks `access/other_hosts` and `images/memory`.
"""

import os
import shutil
import socket
import subprocess
import threading

import cv2
import numpy as np
import pytest
from galaxy_edge.errors import ImageError
from galaxy_edge.models.images import memory
from galaxy_edge.runtime.errors import RunFailure
from galaxy_edge.runtime.sources import ffmpeg_limits
from galaxy_edge.runtime.sources.ffmpeg_limits import OPTIONS, VARIABLE, check_frame_size, limit_ffmpeg, redirects
from galaxy_edge.runtime.sources.open_source import open_source


def test_the_users_own_options_come_after_the_limits(monkeypatch):
    """OpenCV takes the last of two; setting them again changes nothing."""
    monkeypatch.setenv(VARIABLE, "rtsp_transport;udp")
    for _ in range(2):
        limit_ffmpeg()
        assert os.environ[VARIABLE] == f"{OPTIONS}|rtsp_transport;udp"
    monkeypatch.delenv(VARIABLE)
    limit_ffmpeg()
    assert os.environ[VARIABLE] == OPTIONS


def test_a_camera_that_answers_or_hangs_up_does_not_redirect():
    """Only a status of 3xx is a redirect; anything else is left for FFmpeg to report."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answers = [b"RTSP/1.0 401 Unauthorized\r\n\r\n", b"nonsense\r\n\r\n", b"", b"RTSP/1.0 301 Moved\r\n\r\n"]

        def serve():
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    while answer and connection.recv(4096):
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        url = f"rtsp://me:pw@127.0.0.1:{server.getsockname()[1]}/live"
        assert [redirects(url) for _ in answers] == [False, False, False, True]
    assert not redirects("rtsp://127.0.0.1:1/x") and not redirects("http://127.0.0.1/x")


@pytest.mark.parametrize(("codec", "pixels", "side", "is_read"), [
    (b"MJPG", b"444P", 5800, True),
    (b"h264", b"I420", 5800, False),  # 18 frames of a decoder take more than five of the run
    (b"h264", b"I420", 4096, True),
    (b"hevc", b"Y3\x0b\n", 3000, True),  # 10 bits, two bytes a sample
    (b"h264", b"Y3\x00\n", 3000, False),  # and full colours
    (bytes(4), b"BGR\x18", 5800, True),  # an uncompressed AVI
    (b"new1", b"new2", 3000, False),
])  # fmt: skip
def test_memory_of_a_decoder_counts_by_its_codec(monkeypatch, codec, pixels, side, is_read):
    """A video of 100 kB took 1.5 GiB, since H.264 may keep sixteen earlier frames."""
    monkeypatch.setattr(memory, "budget", lambda: memory.MAX_BUDGET)
    if is_read:
        check_frame_size(side, side, "night.avi", codec, pixels)
        return
    with pytest.raises(ImageError, match="too large"):
        check_frame_size(side, side, "night.avi", codec, pixels)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg to make a video that changes its size")
def test_frames_that_grow_within_a_video_are_not_decoded(tmp_path):
    content = b""
    for side, name in ((64, "small.ts"), (4080, "large.ts"), (64, "small.ts")):
        made = ["-f", "lavfi", "-i", f"color=gray:s={side}x{side}:r=5:d=1", "-c:v", "mpeg2video", tmp_path / name]
        subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *made], check=True)
        content += (tmp_path / name).read_bytes()
    (tmp_path / "grows.mpg").write_bytes(content)
    shapes = [frame.pixels.shape for frame in open_source(str(tmp_path / "grows.mpg"))]
    assert set(shapes) == {(64, 64, 3)} and len(shapes) >= 8


def test_a_decoder_that_takes_all_memory_ends_the_run(tmp_path, monkeypatch):
    path = tmp_path / "large.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (2000, 1100))
    writer.write(np.zeros((1100, 2000, 3), np.uint8))
    writer.release()
    assert len(list(open_source(str(path)))) == 1
    monkeypatch.setattr(ffmpeg_limits, "MAX_RESIDENT", 2**20)
    with pytest.raises(RunFailure, match=r"takes \d+ MiB of memory, and may take \d+ MiB here: give smaller frames"):
        list(open_source(str(path)))


def test_memory_that_was_taken_before_is_not_the_decoders(monkeypatch):
    """A script may take gigabytes for another library before it opens a video."""
    monkeypatch.setattr(ffmpeg_limits, "resident_bytes", lambda: 3 * 2**30)
    ffmpeg_limits.check_memory_in_use(10**7, "night.avi", before=3 * 2**30 - 2**20)
    with pytest.raises(ImageError, match="may take 896 MiB here"):
        ffmpeg_limits.check_memory_in_use(10**7, "night.avi", before=2**27)


def test_limits_end_with_the_last_source(tmp_path):
    """A script that wrote a large video after a run failed, without a message."""

    def write_video(name, side):
        writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (side, side))
        for _ in range(3):
            writer.write(np.random.default_rng(1).integers(0, 255, (side, side, 3), np.uint8))
        writer.release()
        return (tmp_path / name).stat().st_size if (tmp_path / name).exists() else 0

    write_video("small.avi", 64)
    assert len(list(open_source(str(tmp_path / "small.avi")))) == 3
    assert write_video("large.avi", 3200) > 10**6
    source = open_source(str(tmp_path / "small.avi"))  # opened, and never read
    assert ffmpeg_limits.LimitedCapture._number_open == 1
    del source
    assert ffmpeg_limits.LimitedCapture._number_open == 0


def test_a_decoder_has_no_more_threads_on_a_large_machine(tmp_path, monkeypatch):
    """Each thread keeps a frame, so that 16 cores could take more than 1 GiB.

    This was measured for a video that grows in full colours.
    """
    given, cv2_like = [], cv2.VideoCapture()
    monkeypatch.setattr(ffmpeg_limits.os, "sched_getaffinity", lambda _: range(64))
    monkeypatch.setattr(ffmpeg_limits.cv2, "VideoCapture", lambda *arguments: given.append(arguments) or cv2_like)
    ffmpeg_limits.LimitedCapture("x.avi", [1, 2])
    assert given == [("x.avi", cv2.CAP_FFMPEG, [1, 2, cv2.CAP_PROP_N_THREADS, 4])]
