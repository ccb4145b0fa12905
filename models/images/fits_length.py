"""The length that a FITS file must have, by its header."""

from __future__ import annotations

from collections.abc import Callable


def fits_length(read: Callable[[int], bytes]) -> int:
    """Return the length in bytes of a FITS file's first unit, by its header.

    Args:
        read: returns the next bytes of the file, up to a number.

    Raises:
        ValueError: the header is not complete, or is not a FITS header.
    """
    cards: dict[str, int] = {}
    length = 0
    while True:
        block = read(2880)
        if len(block) < 2880 or (length == 0 and not block.startswith(b"SIMPLE  =")):
            raise ValueError("the FITS header is not complete")
        length += 2880
        for start in range(0, 2880, 80):
            card = block[start : start + 80]
            key = card[:8].decode("ascii", "replace").strip()
            if key == "END":
                return length + _data_length(cards)
            if card[8:10] == b"= " and (key == "BITPIX" or key.startswith("NAXIS")):
                cards[key] = int(card[10:].split(b"/")[0])


def _data_length(cards: dict[str, int]) -> int:
    """Return the length of a unit's data, a multiple of 2880 bytes."""
    axes = [cards[f"NAXIS{number}"] for number in range(1, cards.get("NAXIS", 0) + 1)]
    size = abs(cards.get("BITPIX", 8)) // 8
    for axis in axes:
        size *= axis
    return -(-size // 2880) * 2880 if axes else 0
