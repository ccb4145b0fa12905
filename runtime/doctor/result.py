"""The result of one check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

STATUSES = ("ok", "warn", "fail", "skipped")


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        name: subject and item, e.g. ``golden.galaxy-detector``.
        status: one of `STATUSES`.
        detail: what was found, in one line.
        hint: what to do, in one line: a command that can be pasted, or words; "" if nothing is to be done.
        exercised: whether the part was used, not only looked for. Only such checks decide whether all is well.
    """

    name: str
    status: str
    detail: str
    hint: str = ""
    exercised: bool = False


def report(results: Iterable[CheckResult]) -> dict[str, Any]:
    """Return ``checks``, and ``ok``: whether all exercised checks passed, for JSON."""
    checks = list(results)
    failed = any(check.exercised and check.status == "fail" for check in checks)
    return {"checks": [asdict(check) for check in checks], "ok": not failed}
