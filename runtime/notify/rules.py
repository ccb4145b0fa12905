"""Decide of which events to notify, and which of them are the same object."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ...errors import UsageError
from ...models.labels import coarse_group
from ...models.naming import display_name as class_label
from ...models.naming import plain_name, shown_group
from ..events.event import Event
from ..tracking.track import HOT_PIXEL, TRAIL
from .config import NotifyConfig


def check_classes(wanted: Sequence[str], classes: Sequence[str]) -> None:
    """Check that a classifier can give the wanted classes.

    Raises:
        UsageError: it has no such class and no such group.
    """
    known = [*classes, *dict.fromkeys(group for name in classes if (group := coarse_group(name)) != name)]
    for name in wanted:
        if name not in known:
            raise UsageError(f"--notify-class {name}: the classifier has no such class; it has {', '.join(known)}")


def matches(event: Event, config: NotifyConfig) -> bool:
    """Return whether to notify of an event.

    Artefacts never match; catalogued objects that are not galaxies match by their name only.
    """
    name = event.sky.object_name if event.sky and event.sky.object_name else ""
    if config.names:
        if not any(fnmatchcase(_plain(name), _plain(pattern)) for pattern in config.names) or not name:
            return False
    elif not event.is_object:
        return False
    if event.kind in (TRAIL, HOT_PIXEL):
        return False
    return event.score >= config.min_score and _has_class(event, config.classes) and _is_wanted(event, config.which)


def object_keys(event: Event) -> tuple[str, ...]:
    """Return what identifies an event's object.

    These are the event, the object and the catalogued name, as far as they are known.
    """
    sky = event.sky
    keys = (event.id, sky.object_id if sky else None, sky.object_name if sky else None)
    return tuple(key for key in keys if key)


def _has_class(event: Event, wanted: Sequence[str]) -> bool:
    """Return whether an event has one of the classes, as surely as it is displayed."""
    shown = class_label(event.name, event.probabilities, event.sure)
    return not wanted or not {shown, plain_name(shown), shown_group(shown)}.isdisjoint(wanted)


def _is_wanted(event: Event, which: str) -> bool:
    sky = event.sky
    if which == "all":
        return True
    if which == "known":
        return sky is not None and bool(sky.object_name)
    return sky is not None and sky.is_new


def _plain(name: str) -> str:
    """Return a name for comparison: capitals and spaces make no difference."""
    return re.sub(r"\s+", "", name).casefold()
