"""Addresses: of the live view, of brokers and their topics; as they may be shown; and names of files as text."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from ..errors import UsageError

BROKER = "mqtt://HOST or mqtts://USER:PASSWORD@HOST:PORT, with %23 for a # in the password, %2F for / and %40 for @"
BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883}


def masked(address: str) -> str:
    """Hide the password before the host, and the values of parameters that sound like one.

    What stands behind the last ``@`` is taken for the host, as passwords hold ``/`` and ``@`` too.
    """
    address = re.sub(r"(://[^:/@]*):(?!\d+(?:/|$)).*@", r"\1:***@", address)
    return re.sub(r"(?i)([?&;][^=&;]*(?:pass|pw|secret|token|key|auth)[^=&;]*=)[^&;#]*", r"\1***", address)


def readable(name: str) -> str:
    """Write a file's name as a line that can be shown, stored and sent: control signs, and no UTF-8, as ``\\x1b``."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda sign: f"\\x{ord(sign[0]):02x}", text)


def is_text(name: str) -> bool:
    """Tell whether a name is UTF-8: given another, OpenCV's videos end the process."""
    return name == name.encode("utf-8", "replace").decode()


def server_at(where: str) -> tuple[str, int]:
    """Read ``[HOST:]PORT``; without a host it is loopback.

    Raises:
        UsageError: it is no such address.
    """
    found = re.fullmatch(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+):)?(?P<port>\d{1,5})", where)
    if not found or int(found["port"]) > 65535 or not _is_name(found["host"] or ""):
        raise UsageError(f"'{where}' is no address: give PORT or HOST:PORT, e.g. 8080 or 0.0.0.0:8080")
    return (found["host"] or "127.0.0.1").strip("[]"), int(found["port"])


def broker_url(url: str) -> SplitResult:
    """Read ``mqtt[s]://[USER:PASSWORD@]HOST[:PORT]``.

    Raises:
        UsageError: it is no such address; the message holds no password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # is read when asked for
    except ValueError:
        raise UsageError(f"the broker's address cannot be read; give {BROKER}") from None
    known = parts.scheme in BROKER_PORTS and parts.hostname and _is_name(parts.hostname) and parts.port != 0
    if not known or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(f"'{url.rpartition('@')[2]}' is no broker; give {BROKER}")
    return parts


def _is_name(host: str) -> bool:
    """Tell whether a text can be a computer's name: no part of it is empty, or longer than 63 letters."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def topic(text: str) -> str:
    """Read the beginning of MQTT topics.

    Raises:
        UsageError: it can be none.
    """
    if set(text) & set("+#\0") or text != text.strip("/") or len(text) > 200 or not is_text(text):
        raise UsageError(f"'{text}' is no topic: no + or #, no / at its ends")
    return text
