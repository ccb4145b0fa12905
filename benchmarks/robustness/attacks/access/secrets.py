"""Put random passwords into addresses of every known form.

The addresses are mistyped too.
"""

from __future__ import annotations

import random
import re
import string
from pathlib import Path

from .....runtime.system.address import redact_credentials
from ...attack import Attack, Outcome

FORMS = (
    "rtsp://admin:{}@10.0.0.9:554/live/ch0", "rtsp://{}@10.0.0.9/live", "http://{}:x-oauth-basic@cam.local/video.cgi",
    "rtsp://10.0.0.9:554/user=admin_password={}_channel=1_stream=0.sdp?real_stream",
    "http://10.0.0.9/cgi-bin/snap.cgi?usr=admin&pwd={}", "http://10.0.0.9/snapshot.cgi?loginuse=admin&loginpas={}",
    "http://10.0.0.9/video?login=admin:{}&size=2", "http://10.0.0.9/video?p={}", "http://10.0.0.9/video#{}",
    "rtsps://10.0.0.9:7441/{}?enableSrtp", "rtmp://10.0.0.9/live/{}", "mqtts://me:{}@broker:8883",
    "me:{}@10.0.0.9/live", "watch:smb://me:{}@server/share",
)  # fmt: skip
SIGNS = string.ascii_letters + string.digits
SPECIAL = "@:/?#&=_-.;%"


def run(count: int, folder: Path) -> Outcome:
    """Redact `count` addresses.

    A shown run of four characters of a password counts as a leak.
    """
    numbers = random.Random(18)
    leaked = 0
    for number in range(count):
        secret = "".join(numbers.choices(SIGNS, k=5)) + numbers.choice(SPECIAL) * (number % 3 == 0)
        secret += "".join(numbers.choices(SIGNS, k=5))
        head, tail = FORMS[number % len(FORMS)].split("{}")
        for _ in range(number // len(FORMS) % 3):
            head = _mistyped(head, numbers)
        shown = redact_credentials(head + secret + tail)
        runs = [secret[at : at + 4] for at in range(len(secret) - 3)]
        leaked += any(run in shown for run in runs if re.fullmatch(r"[A-Za-z0-9]+", run))
    return Outcome({"addresses": count, "leaked": leaked}, leaked == 0)


def _mistyped(text: str, numbers: random.Random) -> str:
    """Leave out, double or replace one character."""
    at = numbers.randrange(len(text))
    return (
        text[:at]
        + numbers.choice(("", text[at] * 2, numbers.choice(string.ascii_lowercase + ";:/\\ ")))
        + text[at + 1 :]
    )


ATTACK = Attack(
    promise="A password in an address, in any form that cameras accept, is never shown.",
    method="{count} addresses of 14 forms with random passwords, two thirds of them mistyped",
    run=run,
    count=200_000,
    small_count=3_000,
)
