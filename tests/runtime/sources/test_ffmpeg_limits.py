"""FFmpeg keeps to the address it was given; see also the attack `access/other_hosts`."""

import os
import socket
import threading

from galaxy_edge.runtime.sources.ffmpeg_limits import OPTIONS, VARIABLE, limit_ffmpeg, redirects


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
