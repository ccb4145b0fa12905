"""Parse the address that the live page is served at."""

from __future__ import annotations

import re

from ...errors import UsageError
from ..system.address import is_host_name


def parse_listen_address(where: str) -> tuple[str, int]:
    """Read ``[HOST:]PORT``; without a host it is loopback.

    Raises:
        UsageError: it is no such address.
    """
    found = re.fullmatch(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+):)?(?P<port>\d{1,5})", where)
    if not found or int(found["port"]) > 65535 or not is_host_name(found["host"] or ""):
        raise UsageError(f"'{where}' is no address: give PORT or HOST:PORT, e.g. 8080 or 0.0.0.0:8080")
    return (found["host"] or "127.0.0.1").strip("[]"), int(found["port"])
