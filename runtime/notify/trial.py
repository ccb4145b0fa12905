"""Send a test message to services, each from a thread that may be left."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence

import numpy as np

from .message import Message, crop_image
from .sender import Sender, SendError, open_senders

TRIAL_SECONDS = 60.0
"""Time for which a service is waited for."""


def send_trial(urls: Sequence[str], seconds: float = TRIAL_SECONDS) -> Iterator[tuple[str, str]]:
    """Send a test message to each service; yield its name and why it failed, or "".

    Raises:
        UsageError: an address cannot be used; nothing is sent then.
    """
    message = Message(
        f"Test of galaxy-edge ({socket.gethostname()})", "Finds will be notified like this.", crop_image(_galaxy())
    )
    for sender in open_senders(urls):
        reasons = ["it did not answer in time"]

        def send(sender: Sender = sender, reasons: list[str] = reasons) -> None:
            try:
                sender.send(message)
                reasons[0] = ""
            except SendError as error:
                reasons[0] = str(error)

        thread = threading.Thread(target=send, name="notify", daemon=True)
        thread.start()
        thread.join(seconds)
        yield sender.name, reasons[0]


def _galaxy(side: int = 80) -> np.ndarray:
    """Return an image (side, side, 3) of a drawn galaxy: an inclined disk."""
    y, x = np.mgrid[:side, :side] - side / 2
    light = np.exp(-np.hypot(0.8 * x + 0.6 * y, 2.2 * (0.8 * y - 0.6 * x)) / (side / 10))
    return np.asarray(255 * light[..., None] * (1.0, 0.92, 0.8), np.uint8)
