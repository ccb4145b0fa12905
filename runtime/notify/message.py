"""Write the message about one or more events, with the crop of the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ...models.naming import UNCERTAIN, plain_name
from ...models.naming import display_name as class_label
from ..events.candidates import CandidateRow
from ..events.event import Event
from ..imaging.encoding import encode_image
from ..system.address import printable_name

MAX_LINES = 10
"""Events that a message describes; the others are counted."""
CROP_SIDE = 320
"""Side to which a crop is enlarged, in pixels, so that a phone shows more than a dot."""


class Message(NamedTuple):
    """A notification.

    Attributes:
        title, body: plain text.
        image: a JPEG.
    """

    title: str
    body: str
    image: bytes


def compose(events: Sequence[Event], station: str) -> Message:
    """Return the message about events.

    Args:
        events: at least one.
        station: name of this computer.
    """
    best_first = sorted(events, key=lambda event: -event.score)
    best = best_first[0]
    if len(events) == 1:
        return Message(f"{_title(best)} ({station})", "\n".join(_details(best)), crop_image(best.cutout))
    lines = [f"{_title(event)}: {_details(event)[0]}" for event in best_first[:MAX_LINES]]
    if len(events) > MAX_LINES:
        lines.append(f"and {len(events) - MAX_LINES} more")
    lines.append(f"The image shows the first: {_title(best)}.")
    return Message(f"{len(events)} finds ({station})", "\n".join(lines), crop_image(best.cutout))


def compose_candidates(rows: Sequence[CandidateRow], image: bytes, station: str) -> Message:
    """Return the message about candidates, which are to be checked by a person.

    Args:
        rows: at least one.
        image: JPEG of the first.
        station: name of this computer.
    """
    title = f"Candidate near {rows[0].galaxy}" if len(rows) == 1 else f"{len(rows)} candidates near galaxies"
    lines = ["To be checked: most are minor planets, variable stars or errors of the comparison."]
    lines += [
        printable_name(
            f"{row.id}: near {row.galaxy}, magnitude {row.magnitude:.1f}, RA {row.ra:.4f}, Dec {row.dec:+.4f} "
            f"(J2000, degrees), in {row.sightings} of {row.stacks} stacks"
        )
        for row in rows[:MAX_LINES]
    ]
    if len(rows) > MAX_LINES:
        lines.append(f"and {len(rows) - MAX_LINES} more")
    lines.append(f"The images: reference, new, difference{'' if len(rows) == 1 else ' of the first'}.")
    return Message(f"{printable_name(title)} ({station})", "\n".join(lines), image)


def crop_image(cutout: np.ndarray) -> bytes:
    """Return a crop (H, W, 3) as JPEG, enlarged to at least `CROP_SIDE`."""
    factor = -(-CROP_SIDE // max(cutout.shape[:2]))
    if factor > 1:
        cutout = cv2.resize(cutout, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return encode_image(cutout, ".jpg", 92)


def _title(event: Event) -> str:
    name = printable_name(plain_name(event.display_name))
    return name[:1].upper() + name[1:]


def _details(event: Event) -> list[str]:
    """Return the lines about an event: how sure, when, where."""
    lines = [f"{_certainty(event)}; detector score {event.score:.2f}"]
    lines.append(f"{event.first_time[:19].replace('T', ' ')} UTC, {_count(event.frames, 'frame')}")
    sky = event.sky
    if sky is not None and sky.ra is not None and sky.dec is not None:
        lines.append(f"RA {sky.ra:.4f}, Dec {sky.dec:+.4f} (J2000, degrees)")
    if sky is not None and sky.object_name:
        kind = " ".join(text for text in (sky.object_kind, sky.object_type) if text)
        lines.append(printable_name(f"catalogued: {sky.object_name}{f', {kind}' if kind else ''}"))
    elif sky is not None and sky.is_new:
        lines.append(f"new: {sky.sky_note}")
    return lines


def _certainty(event: Event) -> str:
    """Return how sure the class is, in words and per cent."""
    shown = class_label(event.name, event.probabilities, event.sure)
    likely = f"{plain_name(event.name)} {event.probability:.0%}"
    if event.sure is not False:
        return f"class: {likely}"
    group = "" if shown in (UNCERTAIN, event.display_name) else f"{plain_name(shown)}, "
    return f"{group}class uncertain, most likely {likely}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
