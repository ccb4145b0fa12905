"""Copy the image of a FITS file, with the keywords of a list and nothing else."""

from __future__ import annotations

import re

import numpy as np

BLOCK, CARD = 2880, 80
_NUMBER = re.compile(r"[+-]?[0-9.]{1,24}(?:[EDed][+-]?\d{1,3})?|[TF]")
_KEPT_NUMBERS = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d?|EXTEND|PCOUNT|GCOUNT|BSCALE|BZERO|BLANK|DATAMIN|DATAMAX|CBLACK|CWHITE|PEDESTAL|SATURATE|"
    r"EXPTIME|EXPOSURE|GAIN|EGAIN|OFFSET|BLKLEVEL|[XY]BINNING|CCD-TEMP|SET-TEMP|[XY]BAYROFF|BAYOFF[XY]|[XY]PIXSZ|"
    r"PIXSIZE[12]?|FOCALLEN|FOCRATIO|APTDIA|APERTURE|SCALE|PIXSCALE|SECPIX|STACKCNT|NCOMBINE|RA|DEC|CRVAL[12]|CRPIX[12]|"
    r"CDELT[12]|CROTA[12]|CD[12]_[12]|PC[12]_[12]|[AB]P?_(?:ORDER|\d_\d)|EQUINOX|LONPOLE|LATPOLE"
)
_DIGITS = re.compile(r"[+-]?\d{1,3}[ :]\d{2}[ :][\d.]{2,9}")
_KEPT_TEXTS = {
    "XTENSION": re.compile("IMAGE"),
    "BAYERPAT": (cell := re.compile("[RGB]{4}")),
    "COLORTYP": cell,
    "ROWORDER": re.compile("TOP-DOWN|BOTTOM-UP"),
    "IMAGETYP": (kind := re.compile(r"(?i)(?:(?:light|dark|bias|flat|object|zero|master)[ _-]?)+(?:frame|field)?")),
    "FRAME": kind,
    "FILTER": re.compile(r"(?i)[UBVRIGLHCrizy]'?|H-?a(?:lpha)?|O-?III|S-?II|Lum(?:inance)?|red|green|blue|none|ircut"),
    "INSTRUME": (camera := re.compile(r"(?:ZWO )?(?:Seestar S\d0|ASI ?\d{3,4}M[CM](?: Pro)?)")),
    "CREATOR": camera,
    "DATE-OBS": (time := re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,7})?)?")),
    "DATE-BEG": time,
    "TIMESYS": re.compile("UTC?"),
    "OBJCTRA": _DIGITS,
    "OBJCTDEC": _DIGITS,
    "OBJECT": re.compile(r"(?i)(?:M|NGC|IC|UGC|PGC|Abell|Arp) ?\d{1,6}"),
    "CTYPE1": (axis := re.compile(r"(?:RA--|DEC-)-(?:-[A-Z]{3}(?:-SIP)?)?")),
    "CTYPE2": axis,
    "CUNIT1": (unit := re.compile("deg")),
    "CUNIT2": unit,
    "RADESYS": re.compile("ICRS|FK5|FK4"),
    "RADECSYS": re.compile("ICRS|FK5|FK4"),
}  # fmt: skip
"""Texts that are kept, by keyword: only those that match as a whole."""
WITHOUT_TEXT = ("RA", "DEC", "EXPTIME", "EXPOSURE", "GAIN", "OFFSET", "CCD-TEMP", "XPIXSZ", "YPIXSZ", "FOCALLEN",
                "DATE-OBS", "FILTER", "IMAGETYP")  # fmt: skip
"""Keywords that stay true when an image is written again: not those of its values, rows and size."""


def clean_fits(content: bytes) -> tuple[bytes, list[str]] | None:
    """Return a FITS file with its first image and the keywords of the lists.

    The second value has the names of the keywords left out. The pixels are the same bytes. None if the first
    image is compressed, or the file is damaged.
    """
    result, removed, start = b"", [], 0
    while True:
        if (unit := _unit(content, start)) is None:
            return None
        cards, data, end, is_image = unit
        kept = [(card, _kept(card)) for card in cards]
        removed += [_name(card) for card, text in kept if text is None]
        if is_image or start == 0:
            header = b"".join(text for _, text in kept if text) + b"END".ljust(CARD)
            result += header.ljust(-(-len(header) // BLOCK) * BLOCK) + content[data:end]
        if is_image:
            return result, sorted({name for name in removed if name}) + ["all that follows"] * (end < len(content))
        start = end


def _unit(content: bytes, start: int) -> tuple[list[bytes], int, int, bool] | None:
    """Return a unit's cards, begin and end of its data, and whether it is an image.

    None where it is damaged.
    """
    cards: list[bytes] = []
    values: dict[str, int] = {}
    for offset in range(start, len(content) - CARD + 1, CARD):
        card = content[offset : offset + CARD]
        if card.rstrip() == b"END":
            data = start + -(-(offset + CARD - start) // BLOCK) * BLOCK
            break
        cards.append(card)
        number = re.fullmatch(rb"(BITPIX|NAXIS\d*|PCOUNT|GCOUNT|ZIMAGE) *= *([-\d]+|T|F) *(?:/.*)?", card, re.DOTALL)
        if number:
            values[number[1].decode()] = int(number[2]) if number[2] not in (b"T", b"F") else number[2] == b"T"
    else:
        return None
    axes = [values.get(f"NAXIS{number}", 0) for number in range(1, values.get("NAXIS", 0) + 1)]
    size = abs(values.get("BITPIX", 8)) // 8 * int(np.prod(axes, dtype=object)) if axes else 0
    size = (size + abs(values.get("BITPIX", 8)) // 8 * values.get("PCOUNT", 0)) * values.get("GCOUNT", 1)
    first = cards[0] if cards else b""
    is_image = size > 0 and (start == 0 or first.startswith(b"XTENSION= 'IMAGE"))
    if size < 0 or values.get("ZIMAGE") or not first.startswith((b"SIMPLE  =", b"XTENSION=")):
        return None
    if data + size > len(content) or (is_image and values.get("PCOUNT", 0)):
        return None
    return cards, data, min(len(content), data + -(-size // BLOCK) * BLOCK), is_image


def _name(card: bytes) -> str:
    return re.sub(r"[^A-Z0-9_-]", "", card[:8].decode("ascii", "replace").upper())


def _kept(card: bytes) -> bytes | None:
    """Return a card with its keyword and value only.

    The result is b"" for an empty card, and None for one that is left out.
    """
    if not card.strip():
        return b""
    name, text = _name(card), card.decode("ascii", "replace")
    if text[8:10] != "= ":
        return None
    value = keep_value(name, text[10:])
    return None if value is None else f"{name:8}= {value}".encode().ljust(CARD)


def keep_value(name: str, text: str) -> str | None:
    """Return the value of a keyword as a card has it; None if it is not in the lists."""
    quoted = re.match(r" *'([^']*)' *(?:/|$)", text)
    if quoted:
        value = quoted[1].strip()
        pattern = _KEPT_TEXTS.get(name)
        return f"'{value:8}'" if pattern and pattern.fullmatch(value) else None
    value = text.partition("/")[0].strip()
    if not _KEPT_NUMBERS.fullmatch(name) or not _NUMBER.fullmatch(value):
        return None
    return f"{value:>20}"


def fits_from_pixels(pixels: np.ndarray, header: dict[str, object], cfa: str | None) -> bytes:
    """Write (H, W) or (H, W, 3) uint16 or float32 as FITS, row 0 first."""
    planes = pixels if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    is_integer = planes.dtype == np.uint16
    axes = planes.shape[::-1]
    values = {"SIMPLE": "T", "BITPIX": 16 if is_integer else -32, "NAXIS": len(axes)}
    values |= {f"NAXIS{number}": axis for number, axis in enumerate(axes, 1)}
    values |= {"BSCALE": 1, "BZERO": 32768} if is_integer else {}
    cards = [f"{name:8}= {value:>20}" for name, value in values.items()]
    for name in WITHOUT_TEXT:
        value = header.get(name)
        text = keep_value(name, f"'{value}'" if isinstance(value, str) else str(value))
        cards += [f"{name:8}= {text}"] if value is not None and text else []
    cards += [f"BAYERPAT= '{cfa:8}'"] if cfa else []
    head = b"".join(card.encode().ljust(CARD) for card in [*cards, "END"])
    stored = (planes.astype(np.int32) - 32768).astype(">i2") if is_integer else planes.astype(">f4")
    data = stored.tobytes()
    return head.ljust(-(-len(head) // BLOCK) * BLOCK) + data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")
