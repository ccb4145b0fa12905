"""A camera that is absent when the run starts."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from .....runtime.sources.camera import stream
from ...attack import Attack, Outcome
from .http_cameras import HttpCameras


def run(count: int, _: Path) -> Outcome:
    """Wait `count` times for a camera that appears later.

    Measure the delay of its first frame.
    """
    delays, appeared = [], list[HttpCameras]()
    for number in range(count):
        cameras = HttpCameras()
        cameras.close()
        frames = iter(stream(f"{cameras.url}/snapshot", wait=True))
        appearance = threading.Timer(
            0.2 + 0.3 * (number % 5), lambda port: appeared.append(HttpCameras(port)), [cameras.port]
        )
        started = time.monotonic()
        appearance.start()
        next(frames)
        delays.append(time.monotonic() - started - appearance.interval)
        frames.close()  # type: ignore[attr-defined]
        appearance.join()
        appeared[-1].close()
    return Outcome({"frames": len(delays), "worst_delay_s": round(max(delays), 2)}, len(delays) == count)


ATTACK = Attack(
    promise="With `--wait`, a run waits for a camera that is absent at the start.",
    method="{count} cameras that appear 0.2 to 1.4 s after the start",
    run=run,
    count=20,
    small_count=2,
)
