"""Repair the cards of a FITS header that would make astropy refuse sound pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

CARD = 80
_SCALE = re.compile(rb"(BSCALE|BZERO) *= *(?:'([^']*)'|([^/]*))")
_BLANK = re.compile(rb"BLANK *= *([^/]*)")
_IS_CONTINUED = re.compile(rb"&' *(/.*)?")


def repair_cards(content: bytes, starts: Iterable[int]) -> bytes:
    """Return a file with readable scales, and without cards that astropy cannot use.

    A BSCALE or BZERO with a decimal comma or in quotes becomes a number, and one that is not a number is removed: the
    values of the image then are in another unit. A BLANK that is not a whole number, and continuations of nothing, are
    removed. Other cards that cannot be parsed stay: the reader ignores them.

    Args:
        content: the file.
        starts: where its intact units begin.
    """
    changes = [change for start in starts for change in _changes(content, start)]
    if not changes:
        return content
    repaired = bytearray(content)
    for offset, card in changes:
        repaired[offset : offset + CARD] = card.ljust(CARD)
    return bytes(repaired)


def _changes(content: bytes, start: int) -> Iterable[tuple[int, bytes]]:
    """Yield the offset and the new text of each card of a unit that is to be changed."""
    is_continued = False
    for offset in range(start, len(content), CARD):
        card = content[offset : offset + CARD]
        if card.rstrip() == b"END":
            return
        if card.startswith(b"CONTINUE") and not is_continued:
            yield offset, b""
            continue
        is_continued = bool(_IS_CONTINUED.search(card)) and b"'" in card
        if (blank := _BLANK.match(card)) and not re.fullmatch(rb"[+-]?\d+", blank[1].strip()):
            yield offset, b""
        elif scale := _SCALE.match(card):
            text = (scale[2] or scale[3] or b"").decode("ascii", "replace").strip()
            if scale[2] is not None or not _is_number(text):
                number = text.replace(",", ".")
                yield offset, f"{scale[1].decode():8}= {number:>20}".encode() if _is_number(number) else b""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text.upper().replace("D", "E")))
    except ValueError:
        return False
