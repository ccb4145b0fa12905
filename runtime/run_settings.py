"""The settings of a run that may be shared: no address, path or password."""

from __future__ import annotations

import re
from typing import Any

from ..devices.engines import ENGINE_NAMES
from .run_config import RunConfig
from .system.address import redact_credentials

PLAIN = (
    "allow_older", "threads", "min_score", "tiles", "stretch", "debayer", "stack", "gate", "wait", "max_frames",
    "overlap", "video", "quota", "keep_free", "fits", "save_input", "show", "stale_after",
)  # fmt: skip
"""Fields of `RunConfig` whose values are numbers, switches or words of a list."""
GIVEN = ("models", "require_signature", "device", "catalogue", "trace", "watch", "web", "mqtt", "notify")
"""Fields of which only is said whether they are set."""


def shareable_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings of a run as plain values, for a report to others.

    What is not known to be harmless is left out: a new field of `RunConfig` must be added to `PLAIN` or `GIVEN`.
    """
    engine = config.engine if config.engine is None or config.engine in ENGINE_NAMES else "a plug-in"
    sky = {"solve": config.sky.solve, "has_hints": config.sky.has_hints, "interval": config.sky.interval}
    return {
        "source": source_kind(config.source),
        "engine": engine,
        **{name: getattr(config, name) for name in PLAIN},
        **{name: getattr(config, name) is not None for name in GIVEN},
        "sky": sky,
    }


def source_kind(source: str) -> str:
    """Return what a source is, without its name or address.

    A local camera keeps its options, e.g. ``0?exposure=200ms&gain=40``; an address its scheme, a file its suffix.
    """
    if re.fullmatch(r"demo|picamera2(:\d{1,2})?(\?.*)?|(/dev/video)?\d{1,3}(\?.*)?", source):
        return source if redact_credentials(source) == source else source.partition("?")[0]
    if scheme := re.match(r"(rtsps?|https?|watch):", source):
        return scheme[0]
    suffix = re.search(r"(?:\.fits)?\.[A-Za-z0-9]{1,5}$", source)
    return f"a file ({suffix[0].lower()})" if suffix else "a folder"
