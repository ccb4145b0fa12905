"""Order the images of a folder or zip, and report files that are not read."""

from __future__ import annotations

import bz2
import datetime
import logging
import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Protocol, TypeVar

from ...models.images.fits_time import KEYWORDS, observation_time
from ...models.images.headers import COMPRESSED_MAGIC, FITS_SUFFIXES

logger = logging.getLogger(__name__)

HEAD = 2**16
"""Number of bytes at the beginning of a file in which its date is searched for."""
NO_IMAGES = frozenset({
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".xmp", ".md", ".rst", ".log", ".ini", ".cfg", ".conf",
    ".db", ".sqlite", ".html", ".htm", ".css", ".js", ".pdf", ".doc", ".docx", ".odt", ".xls", ".xlsx", ".yaml",
    ".yml", ".toml", ".py", ".sh", ".bat", ".ps1", ".exe", ".lnk", ".url", ".tmp", ".bak", ".part", ".lock",
    ".pp3", ".dop", ".wcs", ".axy", ".corr", ".match", ".rdls", ".solved", ".xyls", ".ssf", ".lst", ".seq",
    ".info", ".session", ".zip",
})  # fmt: skip
"""Suffixes of files that hold no image: notes, side-cars, catalogues."""


class Named(Protocol):
    """An image with a name and a way to its first bytes."""

    @property
    def name(self) -> str:
        """Its path in the folder or zip."""
        ...

    @property
    def head(self) -> Callable[[], bytes]:
        """Return the first `HEAD` bytes; raises OSError or what reading a zip raises."""
        ...


Item = TypeVar("Item", bound=Named)


def is_hidden(parts: Sequence[str]) -> bool:
    """Return whether a path is hidden, or was added to a zip by macOS."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def log_unread(source: str, unread: Counter[str]) -> None:
    """Log how many files of each kind are not read."""
    if unread:
        logger.warning("%s: %s", source, describe_unread(unread))


def describe_unread(unread: Counter[str]) -> str:
    """Return how many files there are of each kind that is not read."""
    kinds = ", ".join(f"{suffix} ({count})" for suffix, count in sorted(unread.items()))
    subject = "file is" if unread.total() == 1 else "files are"
    return f"{unread.total()} {subject} of kinds that are not read: {kinds}"


def unread_suffix(name: str) -> str | None:
    """Return the suffix of an unread file that may hold an image, else None."""
    suffix = PurePath(name).suffix.lower()
    return suffix if suffix and suffix not in NO_IMAGES else None


def by_time(entries: list[Item], errors: tuple[type[Exception], ...]) -> list[Item]:
    """Sort FITS images that all have a date by it; return others as they are.

    Args:
        entries: in natural order of their names, which decides between equal dates.
        errors: what reading the first bytes may raise.
    """
    dates = []
    for entry in entries:
        if not entry.name.lower().endswith(FITS_SUFFIXES):
            return entries
        try:
            date = exposure_start(entry.head())
        except errors:
            date = None
        if date is None:
            return entries
        dates.append(date)
    order = sorted(range(len(entries)), key=dates.__getitem__)
    return [entries[index] for index in order]


def exposure_start(head: bytes) -> datetime.datetime | None:
    """Return when an image was taken by the first bytes of its FITS file.

    See `models.images.fits_time`.
    """
    try:
        gzip, bzip2 = COMPRESSED_MAGIC
        if head.startswith(gzip):
            head = zlib.decompressobj(wbits=31).decompress(head, HEAD)
        elif head.startswith(bzip2):
            head = bz2.BZ2Decompressor().decompress(head, HEAD)
    except (zlib.error, OSError):
        return None
    cards = (head[start : start + 80] for start in range(0, len(head) - 79, 80))
    values: dict[str, str] = {}
    for card in cards:
        keyword = card[:8].decode("ascii", "replace").strip()
        if keyword in KEYWORDS and card[8:10] == b"= ":
            text = card[10:].decode("ascii", "replace")
            quoted = re.match(r" *'([^']*)'", text)
            values.setdefault(keyword, (quoted[1] if quoted else text.partition("/")[0]).strip())
    return observation_time(values)
