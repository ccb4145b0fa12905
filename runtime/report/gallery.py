"""Cards of objects with their crops, which are part of the page."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..imaging.encoding import encode_image
from .markup import section, table, text
from .objects import NightObject

CROP_SIDE = 240
"""Maximum side of a crop in the page in pixels."""
MAX_CARDS = 60
MAX_ROWS = 500
MAX_CROP_BYTES, MAX_CROP_PIXELS = 32 << 20, 200_000_000
_CROP = re.compile(r"crops/\d+/\d+\.png")


def gallery(folder: Path, objects: Sequence[NightObject], is_served: bool = False) -> str:
    """Return cards of the first objects, and a table of the others.

    Args:
        folder: the output folder.
        objects: of the night.
        is_served: whether crops are links to the live page's server, not a part of the page.
    """
    cards = "".join(_card(folder, item, is_served) for item in objects[:MAX_CARDS])
    rest = objects[MAX_CARDS : MAX_CARDS + MAX_ROWS]
    rows = [(item.title, *_position(item), f"{item.best.score:.2f}", item.frames, item.best.id) for item in rest]
    more = len(objects) - MAX_CARDS - len(rest)
    note = f"<p>{more} more objects: galaxy-edge events list shows them.</p>" if more > 0 else ""
    listed = table(("object", "ra", "dec", "score", "frames", "event"), rows)
    return section("Objects", f'<div class="cards">{cards}</div>{listed}{note}' if cards else "", "objects")


def _position(item: NightObject) -> tuple[str, str]:
    return (f"{item.position[0]:.4f}", f"{item.position[1]:+.4f}") if item.position else ("", "")


def _card(folder: Path, item: NightObject, is_served: bool) -> str:
    crop = item.best.crop if is_served and item.best.crop else None
    crop = f"/{crop}" if crop and _CROP.fullmatch(crop) else crop_uri(folder, item.best.crop)
    image = (
        f'<img src="{crop}" alt="crop of {text(item.title)}" loading="lazy">'
        if crop
        else '<div class="none">no image</div>'
    )
    more = f" · {item.events} events" if item.events > 1 else ""
    lines = "".join(f"<p>{text(line)}</p>" for line in item.lines)
    return f'<article>{image}<h3>{text(item.title)}</h3>{lines}<p class="id">{text(item.best.id)}{more}</p></article>'


def crop_uri(folder: Path, name: str | None) -> str:
    """Return a crop as a data URI, reduced; "" if it is missing or cannot be read.

    Names outside the crops folder are ignored.
    """
    if not name or not _CROP.fullmatch(name):
        return ""
    path = folder / name
    try:
        if path.is_symlink() or path.stat().st_size > MAX_CROP_BYTES:
            return ""
        content = path.read_bytes()
    except OSError:
        return ""  # the quota may delete it at any moment
    # The size in a PNG's header comes first: a small file can claim more pixels than there is memory.
    if len(content) < 24 or np.prod(np.frombuffer(content, ">u4", 2, 16), dtype=np.int64) > MAX_CROP_PIXELS:
        return ""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return ""
    scale = CROP_SIDE / max(pixels.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    jpeg = encode_image(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), ".jpg")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
