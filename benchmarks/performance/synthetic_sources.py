"""Sources for benchmarks.

Frames from memory, a network camera that can be disconnected, corrupt files.
"""

from __future__ import annotations

import datetime
import io
import socket
import threading
import time
from collections.abc import Iterator
from itertools import count

import cv2
import numpy as np

from ...runtime.frame import Frame
from ...runtime.sources.demo import DemoSource
from ...runtime.sources.image_files import Entry, ImageSource

SUFFIXES = (".png", ".jpg", ".tiff")
PNG_HEAD, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
CARDS = ("NAXIS", "NAXIS1", "NAXIS2", "BITPIX", "PCOUNT", "GCOUNT", "TFIELDS", "TFORM1", "ZBITPIX", "ZNAXIS1", "ZTILE1",
         "ZCMPTYPE", "XTENSION")  # fmt: skip
VALUES = ("0", "-1", "3", "16", "999999999", "1e400", "T", "'x'", "NaN", "")


class InMemory:
    """The drifting sky of the demo at any size, from memory.

    There is no delay between frames.

    Args:
        size: (width, height) of the frames.
        length: number of frames.
        different: number of different frames, after which the sky drifts back. They are views of one image, so a frame
            is in the processor's cache like one just delivered by a camera.
        still: whether the sky is fixed and has only stars, with independent noise in every frame.
    """

    name, continuous, live, bad, reopened = "memory", True, False, 0, 0

    def __init__(self, size: tuple[int, int], length: int, different: int = 100, still: bool = False) -> None:
        self.length: int | None = length
        self._images = _empty(size) if still else _skies(size, different)

    def __iter__(self) -> Iterator[Frame]:
        start = datetime.datetime.now(datetime.UTC)
        there_and_back = self._images + self._images[-2:0:-1]
        for number in range(self.length or 0):
            time = start + datetime.timedelta(seconds=number / 25)
            yield Frame(there_and_back[number % len(there_and_back)], time, self.name, number)


def jpegs(size: tuple[int, int], length: int, different: int = 100, at_once: int = 1) -> ImageSource:
    """Return the same sky as a sequence of JPEG files.

    For `at_once` see `ImageSource`.
    """
    files = [cv2.imencode(".jpg", sky[..., ::-1])[1].tobytes() for sky in _skies(size, different)]
    there_and_back = files + files[-2:0:-1]
    entries: list[Entry] = [
        Entry.from_bytes(f"{number:06d}.jpg", there_and_back[number % len(there_and_back)]) for number in range(length)
    ]
    return ImageSource("memory", entries, lambda _: None, sequence=True, at_once=at_once)


def _skies(size: tuple[int, int], different: int) -> list[np.ndarray]:
    """Return `different` views of the demo's sky.

    It drifts by two pixels right and one down per frame.
    """
    sky = cv2.resize(next(iter(DemoSource())).pixels, (size[0] + 2 * different, size[1] + different))
    return [sky[step : step + size[1], 2 * step : 2 * step + size[0]] for step in range(different)]


def _empty(size: tuple[int, int], different: int = 16) -> list[np.ndarray]:
    """Return frames of one sky of two hundred stars, each with its own noise."""
    random = np.random.default_rng(1)
    sky: np.ndarray = np.full((size[1], size[0]), 12.0, np.float32)
    positions = random.uniform((8, 8), (size[0] - 8, size[1] - 8), (200, 2)).astype(int)
    sky[positions[:, 1], positions[:, 0]] += random.uniform(200, 2500, 200)
    sky = cv2.GaussianBlur(sky, (0, 0), 1.5)
    noisy = (sky + random.normal(0.0, 2.0, sky.shape) for _ in range(different))
    return [np.repeat(frame.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2) for frame in noisy]


class NetworkCamera:
    """An MJPEG camera on loopback that shows the demo's sky.

    It can be disconnected and reconnected.

    Args:
        rate: frames per second.

    Attributes:
        url: its address, which stays the same after a reconnection.
    """

    def __init__(self, rate: float = 25.0) -> None:
        self._images = [
            cv2.imencode(".jpg", frame.pixels[..., ::-1])[1].tobytes()
            for frame, _ in zip(DemoSource(), range(16), strict=False)
        ]
        self._pause = 1.0 / rate
        self._listener: socket.socket | None = None
        self._connected = threading.Event()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/stream"
        self.reconnect()

    def reconnect(self) -> None:
        """Start answering."""
        self._connected = threading.Event()
        self._connected.set()
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._listen, args=(self._listener, self._connected), daemon=True).start()

    def disconnect(self) -> None:
        """Stop answering and interrupt running transfers."""
        self._connected.clear()
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self, listener: socket.socket, connected: threading.Event) -> None:
        while connected.is_set():
            try:
                viewer, _ = listener.accept()
            except OSError:
                return  # disconnected
            threading.Thread(target=self._send, args=(viewer, connected), daemon=True).start()

    def _send(self, viewer: socket.socket, connected: threading.Event) -> None:
        with viewer:
            try:
                viewer.recv(4096)
                viewer.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=edge\r\n\r\n")
                for number in count():
                    if not connected.is_set():
                        return
                    image = self._images[number % len(self._images)]
                    head = f"--edge\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                    viewer.sendall(head.encode() + image + b"\r\n")
                    time.sleep(self._pause)
            except OSError:
                return  # the viewer has gone


def corrupt_image(number: int, random: np.random.Generator) -> Entry:
    """Generate an image file with arbitrary content.

    Any size and type, with NaN, truncated, corrupted, or empty.

    FITS files may be tile-compressed and have invalid headers.
    """
    kind = int(random.integers(7))
    width, height = (int(side) for side in random.integers(1, 200, 2))
    channels = int(random.choice([1, 3, 4]))
    name, content = f"{number:06d}.png", b""
    if kind in (0, 1, 2):
        suffix = SUFFIXES[kind]
        wide = suffix != ".jpg" and random.random() < 0.5
        image = random.integers(0, 65536 if wide else 256, (height, width, channels), np.uint16 if wide else np.uint8)
        if suffix == ".jpg" and channels == 4:
            image = image[..., :3]
        name, content = f"{number:06d}{suffix}", cv2.imencode(suffix, image)[1].tobytes()
    elif kind == 3:
        name, content = f"{number:06d}.fits", _fits(random, width, height)
    elif kind == 4:
        head = random.choice([b"", PNG_HEAD, b"\xff\xd8", b"SIMPLE  ="])
        content = head + random.bytes(int(random.integers(0, 3000))) + PNG_END * int(random.integers(2))
    elif kind == 5:
        name, content = f"{number:06d}.fits", _invalid_headers(_compressed_fits(random, width, height), random)
    if content and random.random() < 0.4:
        content = _damage(content, random)
    return Entry.from_bytes(name, content)


def _fits(random: np.random.Generator, width: int, height: int) -> bytes:
    from astropy.io import fits

    kind = random.choice(["float32", "float64", "int16", "int32", "uint8"])
    data = random.normal(1000, 300, (height, width)).clip(0, 255 if kind == "uint8" else None).astype(kind)
    if data.dtype.kind == "f":
        data[random.random(data.shape) < random.choice([0.0, 0.1, 1.0])] = random.choice([np.nan, np.inf, -np.inf])
    file = io.BytesIO()
    fits.PrimaryHDU(data).writeto(file)
    return file.getvalue()


def _compressed_fits(random: np.random.Generator, width: int, height: int) -> bytes:
    from astropy.io import fits

    data = random.integers(0, 5000, (height, width)).astype(np.int16)
    file = io.BytesIO()
    units = [fits.PrimaryHDU(), fits.CompImageHDU(data, compression_type=random.choice(["RICE_1", "GZIP_2"]))]
    fits.HDUList(units).writeto(file)
    return file.getvalue()


def _invalid_headers(content: bytes, random: np.random.Generator) -> bytes:
    """Write up to two invalid values into a FITS file's header."""
    damaged = bytearray(content)
    for _ in range(int(random.integers(0, 3))):
        card = f"{random.choice(CARDS):8}= {random.choice(VALUES):>20}".ljust(80).encode()
        start = damaged.rfind(card[:9])
        if start >= 0:
            damaged[start : start + 80] = card
    return bytes(damaged)


def _damage(content: bytes, random: np.random.Generator) -> bytes:
    """Truncate a file, or overwrite random bytes."""
    if random.random() < 0.5:
        return content[: int(random.integers(0, len(content)))]
    damaged = np.frombuffer(content, np.uint8).copy()
    positions = random.integers(0, len(damaged), int(random.integers(1, 20)))
    damaged[positions] = random.integers(0, 256, len(positions))
    return damaged.tobytes()
