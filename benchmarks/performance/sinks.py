"""Measure the time that a frame spends inside the sinks.

They run alone, with viewers, and with a broker that does not answer.

``python -m galaxy_edge.benchmarks.performance.sinks --out benchmarks/reference/sinks.json`` writes the figures.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.events.frame_record import FrameRecord
from ...runtime.frame import Detections, Frame
from ...runtime.pipeline.sink import Sink
from ...runtime.session import MqttConfig, RunConfig, Session, WebConfig
from ...runtime.system.utc_time import utc_text
from ...runtime.tracking.track import CONFIRMED, Track
from .synthetic_sources import InMemory

BOXES = 3
VIEWERS = 4
RATE = 30.0
"""Frames per second of the simulated camera."""


def measure(frames: int, size: tuple[int, int], viewers: int = 0, broker: bool = False) -> dict[str, float]:
    """Send the frames of a simulated camera to the sinks of a run.

    Args:
        frames: number of frames.
        size: of a frame: width, height.
        viewers: number of viewers of the live view.
        broker: whether events go to a broker that accepts the connection and never answers.

    Returns:
        Milliseconds per frame inside the sinks: median, 99th percentile, maximum (``most_ms``); and the number of
        images that viewers received (``pictures``).
    """
    spent, received = [], [0]
    with ExitStack() as stack:
        session = _session(Path(stack.enter_context(tempfile.TemporaryDirectory())), stack, viewers, broker)
        sink, classes = session.sink, len(session.classifier.classes)
        if session.web:
            _start_viewers(int(session.web.url.rstrip("/").rpartition(":")[2]), viewers, received, sink, classes)
        for frame, detections, record, tracks in _camera(frames, size, classes):
            start = time.perf_counter()
            sink.frame(frame, detections, record)
            sink.events(tracks)
            seconds = time.perf_counter() - start
            spent.append(seconds * 1e3)
            time.sleep(max(0.0, 1 / RATE - seconds))
        sink.close(frames, 0)
    return {
        "median_ms": round(float(np.median(spent)), 3), "p99_ms": round(float(np.percentile(spent, 99)), 3),
        "most_ms": round(max(spent), 3), "pictures": received[0],
    }  # fmt: skip


def _session(folder: Path, stack: ExitStack, viewers: int, broker: bool) -> Session:
    """Open a run, whose sinks are then called without its pipeline."""
    mqtt = None
    if broker:
        port = stack.enter_context(_silent_broker())
        mqtt = MqttConfig(f"mqtt://127.0.0.1:{port}", prefix="bench", discovery="", interval=1.0)
    config = RunConfig(out=folder, video=False, keep_free=0, web=WebConfig("0") if viewers else None, mqtt=mqtt)
    return Session(config, source=InMemory((64, 48), 1, different=1))


def _start_viewers(port: int, viewers: int, received: list[int], sink: Sink, classes: int) -> None:
    """Start the viewers, and send frames until the first image was received.

    Then the server is running.
    """
    for _ in range(viewers):
        threading.Thread(target=_watch, args=(port, received), daemon=True).start()
    while not received[0]:
        for frame, detections, record, _ in _camera(1, (64, 48), classes):
            sink.frame(frame, detections, record)
            sink.events([])  # the live view shows a frame once its objects are known
        time.sleep(0.05)


def _camera(
    count: int, size: tuple[int, int], classes: int
) -> Iterator[tuple[Frame, Detections, FrameRecord, list[Track]]]:
    """Yield frames of noise with a few boxes.

    In each, some objects begin and those of the frame before end.
    """
    random = np.random.default_rng(1)
    pixels = random.integers(0, 60, (size[1], size[0], 3), dtype=np.uint8)
    boxes = np.array([[i * 10, i * 10, i * 10 + 40, i * 10 + 40] for i in range(BOXES)], np.float32)
    probabilities = np.full((BOXES, classes), 1 / classes, np.float32)
    detections = Detections(boxes, np.full(BOXES, 0.9, np.float32), probabilities)
    before: list[Track] = []
    for number in range(count):
        now = datetime.datetime.now(datetime.UTC)
        moment = number, utc_text(now)
        for track in before:
            track.end()
        begin_tracks = [
            Track(number * BOXES + i + 1, moment, moment, "played", boxes[i], 0.9, number, pixels[:48, :48].copy(),
                  np.full(classes, 1 / classes), state=CONFIRMED, confirmed=True)
            for i in range(BOXES)
        ]  # fmt: skip
        record = FrameRecord(number, "played", moment[1], *size, ms={"detect": 10.0})
        yield Frame(pixels, now, "played", number), detections, record, [*before, *begin_tracks]
        before = begin_tracks


def _watch(port: int, received: list[int]) -> None:
    """Receive the images of a stream as they come."""
    with closing(socket.create_connection(("127.0.0.1", port))) as wire:
        wire.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while part := wire.recv(1 << 16):
            received[0] += part.count(b"Content-Type: image/jpeg")


@contextmanager
def _silent_broker() -> Iterator[int]:
    """Yield a port that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def main() -> None:
    """Measure every case and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cases: dict[str, Callable[[tuple[int, int]], dict[str, float]]] = {
        "alone": lambda size: measure(given.frames, size),
        f"{VIEWERS} viewers": lambda size: measure(given.frames, size, viewers=VIEWERS),
        "a dead broker": lambda size: measure(given.frames, size, broker=True),
    }
    figures: dict[str, Any] = {"frames": given.frames, "machine": os.uname().machine, "load": os.getloadavg()[0]}
    for size in ((640, 480), (1920, 1080), (3840, 2160)):
        for name, run in cases.items():
            figures[f"{size[0]}x{size[1]}, {name}"] = run(size)
    text = json.dumps(figures, indent=1) + "\n"
    print(text, end="")
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
