"""Parse the address that the live page is served at."""

from __future__ import annotations

import re

from ...errors import UsageError
from ..system.address import is_host_name


def parse_listen_address(text: str) -> tuple[str, int]:
    """Parse ``[HOST:]PORT`` into host and port; the default host is loopback.

    Raises:
        UsageError: `text` is not such an address.
    """
    match = re.fullmatch(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+):)?(?P<port>\d{1,5})", text)
    if not match or int(match["port"]) > 65535 or not is_host_name(match["host"] or ""):
        raise UsageError(f"'{text}' is not an address: give PORT or HOST:PORT, e.g. 8080 or 0.0.0.0:8080")
    return (match["host"] or "127.0.0.1").strip("[]"), int(match["port"])
