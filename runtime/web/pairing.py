"""Pair a phone with the live page: addresses, and a link that logs in once."""

from __future__ import annotations

import array
import fcntl
import hashlib
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np

LIFETIME = 600.0
"""Seconds for which a link can be used."""
MAX_CODES = 8
"""Links that can be used at a time; one more ends the oldest."""
QUIET = 2
"""Modules of light border around a code, in addition to the two that OpenCV draws."""
_SIOCGIFADDR = 0x8915


class PairingCodes:
    """Codes that log in one browser each, in place of the token; thread-safe.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._made: dict[bytes, float] = {}

    def create(self) -> str:
        """Return a new code, valid for `LIFETIME`."""
        code = secrets.token_urlsafe(16)
        with self._lock:
            self._made[_digest(code)] = self._clock()
            while len(self._made) > MAX_CODES:
                del self._made[next(iter(self._made))]
        return code

    def redeem(self, code: str) -> bool:
        """Use a code up; return whether it was valid."""
        with self._lock:
            made = self._made.pop(_digest(code), None)  # looked up by digest, so that time reveals nothing about it
        return made is not None and self._clock() - made <= LIFETIME


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "replace")).digest()


def pairing_link(url: str, code: str) -> str:
    """Return the link for a page's address.

    The code is behind the #, which no server or proxy logs.
    """
    return f"{url.rstrip('/')}/login#{code}"


def qr_modules(text: str) -> np.ndarray:
    """Return a QR code as (N, N) bool, True where it is dark, with its border."""
    image = cv2.QRCodeEncoder.create().encode(text)
    dark: np.ndarray = np.pad(np.asarray(image) < 128, QUIET)
    return dark


def qr_text(text: str) -> str:
    """Return a QR code for a terminal, in lines of two modules per character.

    It is white on black, whatever the terminal's own colours are.
    """
    dark = qr_modules(text)
    dark = np.pad(dark, ((0, len(dark) % 2), (0, 0)))
    blocks = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
    lines = (
        "".join(blocks[bool(upper), bool(lower)] for upper, lower in zip(top, bottom, strict=True))
        for top, bottom in zip(dark[::2], dark[1::2], strict=True)
    )
    return "".join(f"\x1b[97;40m{line}\x1b[0m\n" for line in lines)


def lan_addresses() -> list[str]:
    """Return this computer's IPv4 addresses in its networks, without loopback ones."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = array.array("B", struct.pack("256s", name.encode()[:15]))
            try:
                fcntl.ioctl(probe, _SIOCGIFADDR, request, True)
            except OSError:
                continue  # the interface has no IPv4 address
            address = socket.inet_ntoa(request.tobytes()[20:24])
            if not address.startswith("127.") and not name.startswith(("docker", "veth", "br-")):
                found.append(address)
    return found


def local_name() -> str | None:
    """Return this computer's name in mDNS, which most phones resolve.

    None where it has no name.
    """
    name = socket.gethostname().partition(".")[0]
    return f"{name}.local" if name and name != "localhost" else None
