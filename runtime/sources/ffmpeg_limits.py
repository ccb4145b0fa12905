"""Keep FFmpeg to its given address and to the memory that there is.

It follows neither playlists nor redirects.

A camera, or a file, could otherwise have this computer send requests to other machines of its network, or state small
frames and send huge ones.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import socket
import ssl
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import cv2

from ...errors import ImageError
from ...models.images.headers import ImageHeader
from ...models.images.memory import memory_limit, resident_bytes

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
FRAMES_AT_ONCE, REFERENCE_FRAMES = 5, 18
"""Frames of a video that may be in the memory at the same time: of a run, and of a decoder that needs earlier ones."""
STATES_NO_REFERENCES = (b"MJPG", b"MPNG", b"FFV1", b"FFVH", b"HFYU", b"ULRA", b"ULRG", b"ULY0", b"ULY2", b"ULY4")
"""Codecs, in capitals, that need no earlier frames; uncompressed AVI has four zeros."""
OPENING_ALLOCATION, MIN_ALLOCATION = 64 * 2**20, 8 * 2**20
"""Limits of the largest block of memory that FFmpeg may take: while it reads the index of a long recording, and from
then on, unless the frames are large. Each plane of a decoded frame is one."""
NO_LIMIT = 2**31 - 1
"""FFmpeg's own limit."""
MAX_RESIDENT = 896 * 2**20
"""Bytes of memory of this process above which no further frame is decoded, on any machine."""
RESIDENT_SHARE = 0.75
"""The same as a share of the machine's memory, or of what its control group allows."""
USUAL_RESIDENT = 256 * 2**20
"""Bytes of memory that a process takes before it opens a source; what it takes beyond is not the decoder's."""
MAX_THREADS = 4
"""Threads of a decoder, each of which may keep a frame; OpenCV would take one for each core, up to 16."""
SMALL_FRAME = 2_000_000
"""Pixels of a frame up to which a decoder cannot take much, however many frames it keeps."""


def limit_ffmpeg() -> None:
    """Make OpenCV pass `OPTIONS`, then the user's in `VARIABLE`, to FFmpeg.

    The limit of allocations holds for the whole process, see `LimitedCapture`.
    """
    given = os.environ.get(VARIABLE, "")
    if not given.startswith(OPTIONS):
        os.environ[VARIABLE] = f"{OPTIONS}|{given}".rstrip("|")
    _limit_allocations(OPENING_ALLOCATION)


class LimitedCapture:
    """A capture of FFmpeg within the limits of `limit_ffmpeg`.

    When the last one is released or deleted, FFmpeg's own limit holds again: a script that writes a video after a run
    could otherwise not encode its frames.

    Args:
        address: a file or a stream.
        parameters: keys and values, as of `cv2.VideoCapture`.
    """

    _number_open = 0
    _lock = threading.Lock()

    def __init__(self, address: str, parameters: Sequence[int] = ()) -> None:
        with self._lock:
            LimitedCapture._number_open += 1
            limit_ffmpeg()
        self._end_limits = weakref.finalize(self, LimitedCapture._end_limits_of_one)
        threads = cv2.CAP_PROP_N_THREADS, min(MAX_THREADS, len(os.sched_getaffinity(0)))
        # Not a subclass: OpenCV frees the memory of those wrongly.
        self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, [*parameters, *threads])
        self.get, self.set, self.isOpened = self._capture.get, self._capture.set, self._capture.isOpened
        self.read = self._capture.read

    def release(self) -> None:
        """Close it."""
        self._capture.release()
        self._end_limits()

    @classmethod
    def _end_limits_of_one(cls) -> None:
        with cls._lock:
            LimitedCapture._number_open -= 1
            if not LimitedCapture._number_open:
                _limit_allocations(NO_LIMIT)


AnyCapture = cv2.VideoCapture | LimitedCapture


def check_capture(capture: AnyCapture, name: str) -> None:
    """Refuse a video whose frames are too large for the memory.

    This happens before a frame is decoded.

    From then on, FFmpeg refuses frames that are much larger than those that the video states, before it takes memory
    for them; such a frame counts as damaged. OpenCV that was built without FFmpeg's shared library does not.

    Args:
        capture: opened.
        name: for the message.

    Raises:
        ImageError: they are.
    """
    width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width and height:  # a few formats state no size
        codec = code_of(capture, cv2.CAP_PROP_FOURCC)
        check_frame_size(width, height, name, codec, code_of(capture, cv2.CAP_PROP_CODEC_PIXEL_FORMAT))
    _limit_allocations(max(MIN_ALLOCATION, 4 * width * height))


def check_frame_size(width: int, height: int, name: str, codec: bytes = b"MJPG", pixels: bytes = b"I420") -> None:
    """Refuse frames that are too large for the memory.

    Args:
        codec, pixels: FFmpeg's codes, four bytes each.
        name: for the message.

    Raises:
        ImageError: they are.
    """
    extra = 4 + 3 * (FRAMES_AT_ONCE - 1)
    if codec.upper() not in STATES_NO_REFERENCES and not (codec == bytes(4) and name.lower().endswith(".avi")):
        extra = max(extra, 3 + math.ceil(REFERENCE_FRAMES * _pixel_bytes(pixels)))
    ImageHeader(width, height, 3, extra_bytes=extra).check(0, name)


def code_of(capture: AnyCapture, key: int) -> bytes:
    """Return FFmpeg's code of four bytes of the codec or the decoded pixels."""
    return (int(capture.get(key)) & 0xFFFFFFFF).to_bytes(4, "little")


def _pixel_bytes(code: bytes) -> float:
    """Return the bytes of a decoded pixel, all planes, see libavcodec/raw.c.

    8 where the code is not known.
    """
    if code[:2] == b"Y3" and code[2] in (0, 10, 11):
        return {0: 3.0, 10: 2.0, 11: 1.5}[code[2]] * (2 if code[3] > 8 else 1)
    return {b"I420": 1.5, b"NV12": 1.5, b"Y42B": 2.0, b"YUY2": 2.0, b"444P": 3.0, b"G3\0\x08": 3.0}.get(code, 8.0)


def _limit_allocations(size: int) -> None:
    library = _libavutil()
    if library:
        library.av_max_alloc(ctypes.c_size_t(size))


def check_memory_in_use(pixels: int, name: str, before: int = 0) -> None:
    """Stop before the decoder's own frames take all memory.

    How many it keeps is up to the video.

    Args:
        pixels: of the frame that was just read; 0 where reading failed.
        name: for the message.
        before: bytes of memory that the process took when the source was opened.

    Raises:
        ImageError: the process takes too much.
    """
    if 0 < pixels <= SMALL_FRAME:
        return
    limit = min(MAX_RESIDENT, int(RESIDENT_SHARE * memory_limit())) + max(0, before - USUAL_RESIDENT)
    used = resident_bytes()
    if used > limit:
        raise ImageError(
            name,
            f"with frames of this size the run takes {used >> 20} MiB of memory, and may take {limit >> 20} MiB here: "
            "give smaller frames, or a copy that is encoded with fewer reference frames",
        )


@cache
def _libavutil() -> ctypes.CDLL | None:
    """Return the library of FFmpeg that OpenCV has loaded; None where there is none."""
    with suppress(OSError, AttributeError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            found = re.search(r"/\S*/libavutil[^/]*\.so[^/]*$", line)
            if found:
                library = ctypes.CDLL(found[0])
                library.av_max_alloc.restype = None
                return library
    return None


def redirects(url: str) -> bool:
    """Return whether an RTSP camera redirects.

    FFmpeg would follow, and has no option against it.

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
