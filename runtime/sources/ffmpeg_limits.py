"""Keep FFmpeg to the address that it was given: no playlists, no redirects.

A camera, or a file, could otherwise have this computer send requests to other machines of its network.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
FORMATS = (
    "mpjpeg", "mjpeg", "jpeg_pipe", "png_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe", "mpegts", "mpeg", "mpegvideo",
    "h264", "hevc", "m4v", "matroska", "webm", "mov", "mp4", "avi", "asf", "flv", "live_flv", "ogg", "rtsp", "nut",
    "ivf", "obu",
)  # fmt: skip
"""What may be read: no playlists or descriptions that name further addresses (HLS, DASH, SDP, concat)."""
PROTOCOLS = ("file", "http", "https", "httpproxy", "tcp", "tls", "udp", "rtp", "rtsp", "rtsps")
OPTIONS = "|".join((
    "max_redirects;0", f"format_whitelist;{','.join(FORMATS)}", f"protocol_whitelist;{','.join(PROTOCOLS)}",
    "rtsp_transport;tcp",  # OpenCV's own choice where there are no options
))  # fmt: skip
CONNECT_SECONDS = 5.0
MAX_ANSWER = 65536


def limit_ffmpeg() -> None:
    """Have OpenCV pass `OPTIONS` to FFmpeg; options that the user has set in `VARIABLE` come after them."""
    given = os.environ.get(VARIABLE, "")
    if not given.startswith(OPTIONS):
        os.environ[VARIABLE] = f"{OPTIONS}|{given}".rstrip("|")


def redirects(url: str) -> bool:
    """Return whether an RTSP camera redirects; FFmpeg would follow, and has no option against it.

    A camera that does not answer, or not with RTSP, does not: FFmpeg reports what is wrong with it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname:
        return False
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    with suppress(OSError, ValueError), _connect(parts.scheme, parts.hostname, parts.port) as connection:
        for number, method in enumerate(("OPTIONS", "DESCRIBE"), 1):
            connection.sendall(f"{method} {plain} RTSP/1.0\r\nCSeq: {number}\r\n\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer and len(answer) < MAX_ANSWER:
                part = connection.recv(4096)
                if not part:
                    return False
                answer += part
            if re.match(rb"RTSP/\d\.\d 3\d\d", answer):
                return True
    return False


def _connect(scheme: str, host: str, port: int | None) -> socket.socket:
    connection = socket.create_connection((host, port or (554 if scheme == "rtsp" else 322)), CONNECT_SECONDS)
    if scheme == "rtsp":
        return connection
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as FFmpeg does: cameras sign for themselves
    return context.wrap_socket(connection, server_hostname=host)
