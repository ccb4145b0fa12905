"""What the loop pays for those who watch it: time a frame inside the sinks, alone, with viewers, with a dead broker.

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

from ...runtime.frame import Detections, Frame
from ...runtime.monitoring.controls import Controls
from ...runtime.monitoring.health import RunMonitor
from ...runtime.mqtt.address import parse_broker
from ...runtime.mqtt.publisher import MqttSink
from ...runtime.pipeline.sink import Sink, SinkGroup
from ...runtime.recording.output_folder import OutputFolder
from ...runtime.system.utc_time import utc_text
from ...runtime.tracking.track import Track
from ...runtime.web.sink import WebSink

CLASSES = ("smooth", "spiral", "edge_on")
BOXES = 3
VIEWERS = 4
RATE = 30.0
"""Frames a second of the camera that is played."""


def measure(frames: int, size: tuple[int, int], viewers: int = 0, broker: bool = False) -> dict[str, float]:
    """Play a camera into the sinks that `run` has.

    Args:
        frames: how many.
        size: of a frame: width, height.
        viewers: how many watch the live view.
        broker: whether events go to a broker that takes the connection and then says nothing.

    Returns:
        Milliseconds a frame inside the sinks: median, 99th percentile, most; and the pictures that viewers got.
    """
    spent, got = [], [0]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = _sinks(folder, stack, viewers, broker, got)
        for frame, named, record, tracks in _camera(frames, size):
            begin = time.perf_counter()
            sink.frame(frame, named, record)
            sink.events(tracks)
            took = time.perf_counter() - begin
            spent.append(took * 1e3)
            time.sleep(max(0.0, 1 / RATE - took))
        sink.close(frames, 0)
    return {
        "median_ms": round(float(np.median(spent)), 3), "p99_ms": round(float(np.percentile(spent, 99)), 3),
        "most_ms": round(max(spent), 3), "pictures": got[0],
    }  # fmt: skip


def _sinks(folder: Path, stack: ExitStack, viewers: int, broker: bool, got: list[int]) -> Sink:
    about = {key: "played" for key in ("started", "source", "version", "engine", "device", "detector", "classifier")}
    output = OutputFolder(folder, about, CLASSES, video=False, floor=0)
    pulse = RunMonitor(writer=output.writer)
    sinks: list[Sink] = [output, pulse]
    if viewers:
        controls = Controls(writer=output.writer)
        live = WebSink("0", None, "played", output, pulse, controls)
        sinks.append(live)
        port = int(live.url.rstrip("/").rpartition(":")[2])
        for _ in range(viewers):
            threading.Thread(target=_watch, args=(port, got), daemon=True).start()
        while not got[0]:  # the server has started
            _play(sinks)
            time.sleep(0.05)
    if broker:
        port = stack.enter_context(_dead_broker())
        where = parse_broker(f"mqtt://127.0.0.1:{port}", "bench", "", 1.0)
        sinks.append(MqttSink(where, output.info, folder, pulse))
    return SinkGroup(sinks)


def _play(sinks: list[Sink]) -> None:
    for frame, named, record, _ in _camera(1, (64, 48)):
        SinkGroup(sinks).frame(frame, named, record)


def _camera(count: int, size: tuple[int, int]) -> Iterator[tuple[Frame, Detections, dict[str, Any], list[Track]]]:
    """Frames of noise with a few boxes; in each, some objects begin and those of the frame before end."""
    random = np.random.default_rng(1)
    pixels = random.integers(0, 60, (size[1], size[0], 3), dtype=np.uint8)
    boxes = np.array([[i * 10, i * 10, i * 10 + 40, i * 10 + 40] for i in range(BOXES)], np.float32)
    named = Detections(boxes, np.full(BOXES, 0.9, np.float32), np.full((BOXES, len(CLASSES)), 1 / 3, np.float32))
    before: list[Track] = []
    for number in range(count):
        now = datetime.datetime.now(datetime.UTC)
        when = number, utc_text(now)
        for track in before:
            track.state = "ended"
        begun = [
            Track(number * BOXES + i + 1, when, when, "played", boxes[i], 0.9, number, pixels[:48, :48].copy(),
                  np.full(len(CLASSES), 1 / 3), state="confirmed", confirmed=True)
            for i in range(BOXES)
        ]  # fmt: skip
        record = {"frame": number, "time": when[1], "detections": [], "ms": {"detect": 10.0}}
        yield Frame(pixels, now, "played", number), named, record, [*before, *begun]
        before = begun


def _watch(port: int, got: list[int]) -> None:
    """Take the pictures of a stream as they come."""
    with closing(socket.create_connection(("127.0.0.1", port))) as wire:
        wire.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while part := wire.recv(1 << 16):
            got[0] += part.count(b"Content-Type: image/jpeg")


@contextmanager
def _dead_broker() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        yield door.getsockname()[1]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    kinds: dict[str, Callable[[tuple[int, int]], dict[str, float]]] = {
        "alone": lambda size: measure(given.frames, size),
        f"{VIEWERS} viewers": lambda size: measure(given.frames, size, viewers=VIEWERS),
        "a dead broker": lambda size: measure(given.frames, size, broker=True),
    }
    told: dict[str, Any] = {"frames": given.frames, "machine": os.uname().machine, "load": os.getloadavg()[0]}
    for size in ((640, 480), (1920, 1080), (3840, 2160)):
        for name, run in kinds.items():
            told[f"{size[0]}x{size[1]}, {name}"] = run(size)
    text = json.dumps(told, indent=1) + "\n"
    print(text, end="")
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
