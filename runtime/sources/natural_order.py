"""Natural order of names: frame 2 before frame 10."""

from __future__ import annotations

import re


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key for a file name, with runs of digits as numbers.

    The rest is compared as text.
    """
    parts = re.split(r"(\d+)", name.casefold())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
