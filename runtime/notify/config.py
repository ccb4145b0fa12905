"""Where to send notifications, and about which finds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ...errors import UsageError
from .address import parse_service_scheme

WHICH = ("all", "known", "new")


@dataclass(frozen=True, eq=False)
class NotifyConfig:
    """Notifications: services and rules.

    Attributes:
        urls: of the services, as Apprise takes them.
        classes: classes, or coarse groups, of which one is needed; empty for all.
        names: names of catalogued objects, of which one is needed; empty for all. ``*`` and ``?`` stand for others.
        which: ``all``, ``known`` (catalogued) or ``new`` (at a known position where no catalogued object is).
        min_score: minimum detector score, 0..1.
        interval: minimum seconds between two notifications of a service; finds of that time are in the next one.
        again: seconds for which the same object is not notified again.
        settle: seconds from a find to its notification, in which its class and its name become certain.

    Raises:
        UsageError: a value is outside its range, or an address is none.
    """

    urls: tuple[str, ...] = field(repr=False)  # they hold passwords and tokens
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    which: str = "all"
    min_score: float = 0.0
    interval: float = 60.0
    again: float = 43_200.0
    settle: float = 5.0

    @property
    def needs_positions(self) -> bool:
        """Whether only finds at a known position on the sky can match."""
        return self.which != "all" or bool(self.names)

    def __post_init__(self) -> None:
        for url in self.urls:
            parse_service_scheme(url)
        if self.which not in WHICH:
            raise UsageError(f"notify which must be one of {', '.join(WHICH)}, not {self.which}")
        if not 0 <= self.min_score <= 1:
            raise UsageError(f"notify min_score must be from 0 to 1, not {self.min_score}")
        for name, seconds in (("interval", self.interval), ("again", self.again), ("settle", self.settle)):
            if not (seconds >= 0 and math.isfinite(seconds)):
                raise UsageError(f"notify {name} must be a number of seconds, not {seconds}")
