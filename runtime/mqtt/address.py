"""Validate broker addresses and topics."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from ...errors import UsageError
from ..system.address import is_host_name, is_text

BROKER = "mqtt://HOST or mqtts://USER:PASSWORD@HOST:PORT, with %23 for a # in the password, %2F for / and %40 for @"


BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883}


def parse_broker_url(url: str) -> SplitResult:
    """Read ``mqtt[s]://[USER:PASSWORD@]HOST[:PORT]``.

    Raises:
        UsageError: it is no such address; the message holds no password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # is read when asked for
    except ValueError:
        raise UsageError(f"the broker's address cannot be read; give {BROKER}") from None
    known = parts.scheme in BROKER_PORTS and parts.hostname and is_host_name(parts.hostname) and parts.port != 0
    if not known or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(f"'{url.rpartition('@')[2]}' is no broker; give {BROKER}")
    return parts


def parse_topic(text: str) -> str:
    """Read the beginning of MQTT topics.

    Raises:
        UsageError: it can be none.
    """
    if set(text) & set("+#\0") or text != text.strip("/") or len(text) > 200 or not is_text(text):
        raise UsageError(f"'{text}' is no topic: no + or #, no / at its ends")
    return text
