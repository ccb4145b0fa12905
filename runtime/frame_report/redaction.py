"""Keep of records and log lines what is known to be harmless."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from ..system.address import MASK

LOG_LINES = 200
_PACKAGE = Path(__file__).parents[2]
_NUMBER = re.compile(r"-?\d{1,7}(?:\.\d{1,2})?")
_TOKEN = re.compile(r"[^\W_]+|[\W_]")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_CATALOGUED = re.compile(r"(?:M|NGC|IC|UGC|PGC|HCG|Arp|Abell) ?\d{1,6}[A-Z]?")

Keys = dict[str, Any]
_NUMBERS: Any = object()
"""Of a key whose value has numbers only, at any depth."""
_WORD: Any = re.compile(r"[A-Za-z0-9_.:+ -]{0,40}")
SKY: Keys = {
    "ra": _NUMBERS, "dec": _NUMBERS, "position_error": _NUMBERS, "size_arcsec": _NUMBERS, "position_angle": _NUMBERS,
    "object_name": _CATALOGUED, "object_kind": _WORD, "object_type": _WORD, "object_separation": _NUMBERS,
}  # fmt: skip
DETECTION: Keys = {
    "box": _NUMBERS, "score": _NUMBERS, "class": _WORD, "probability": _NUMBERS, "sure": _NUMBERS, "group": _WORD,
    "probabilities": _NUMBERS, "sky": SKY,
}  # fmt: skip
FRAME: Keys = {
    "frame": _NUMBERS, "time": _WORD, "width": _NUMBERS, "height": _NUMBERS, "detections": DETECTION, "ms": _NUMBERS,
    "stacked": _NUMBERS, "stretch": {"": _NUMBERS, "kind": _WORD, "balance": _WORD, "pattern": _WORD},
    "reused": _NUMBERS, "lost": _NUMBERS, "clock_step": _NUMBERS,
}  # fmt: skip
EVENT: Keys = DETECTION | {
    "id": _WORD, "run": _NUMBERS, "number": _NUMBERS, "first_frame": _NUMBERS, "last_frame": _NUMBERS,
    "first_time": _WORD, "last_time": _WORD, "frames": _NUMBERS, "best_frame": _NUMBERS, "state": _WORD, "kind": _WORD,
    "engine": _WORD, "detector": re.compile("[0-9a-f]{64}"), "classifier": re.compile("[0-9a-f]{64}"),
    "version": _WORD, "started": _WORD,
}  # fmt: skip
"""Keys that are kept, with what their values may be. Sources, crops, devices and notes have names of their owners."""


def keep_known(record: dict[str, Any], keys: Keys) -> tuple[dict[str, Any], list[str]]:
    """Return the listed parts of a record, and the names of the others."""
    kept: dict[str, Any] = {}
    removed: list[str] = []
    for key, value in record.items():
        rule = keys.get(key, keys.get(""))
        if value is None:
            kept[key] = None
        elif isinstance(rule, dict) and isinstance(value, dict):
            kept[key], inner = keep_known(value, rule)
            removed += [f"{key}.{name}" for name in inner]
        elif isinstance(rule, dict) and isinstance(value, list):
            pairs = [keep_known(item, rule) for item in value]
            kept[key] = [item for item, _ in pairs]
            removed += [f"{key}.{name}" for _, inner in pairs for name in inner]
        elif (rule is _NUMBERS and _is_numbers(value)) or (
            isinstance(rule, re.Pattern) and isinstance(value, str) and rule.fullmatch(value)
        ):
            kept[key] = value
        else:
            removed.append(key)
    return kept, list(dict.fromkeys(removed))


def _is_numbers(value: Any) -> bool:
    """Return whether a value is a number or a switch, or consists of such."""
    if isinstance(value, dict):
        return all(re.fullmatch(r"[a-z_]{1,40}", key) and _is_numbers(item) for key, item in value.items())
    return all(map(_is_numbers, value)) if isinstance(value, list) else isinstance(value, int | float)


def redact_log(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the last lines of a log with everything unknown masked.

    Words of the package's own messages, times and short numbers are kept. Everything else is masked: whatever a
    message was completed with, such as paths, addresses and names.

    Args:
        text: the log.
        secrets: texts that are masked before anything else, in either case.
    """
    hidden = sorted({re.escape(item) for item in secrets if len(item) > 2}, key=len, reverse=True)
    pattern = re.compile("|".join(hidden), re.IGNORECASE) if hidden else None
    lines = text.splitlines()[-LOG_LINES:]
    return "".join(f"{_redact_line(pattern.sub(MASK, line) if pattern else line)}\n" for line in lines)


def _redact_line(line: str) -> str:
    """Mask unknown words of a line, and what stands between quotes."""
    line = re.sub(r"'[^']*'|\"[^\"]*\"", f"'{MASK}'", line[:2000])
    words = (stamp[0] if (stamp := _STAMP.match(part)) else _redact_word(part) for part in re.split(r"(\s)", line))
    return re.sub(rf"(?:{re.escape(MASK)}\s*)+", f"{MASK} ", "".join(words)).rstrip()


def _redact_word(word: str) -> str:
    """Return a word without its paths, addresses and unknown parts."""
    inner = word.strip("()[],;:.!?'")
    if not inner or inner == MASK or _NUMBER.fullmatch(inner.rstrip("%")):
        return word
    if re.search(r"[/\\@=&?~]|\d[.,:]\d+[.,:]|\d,\d|\d\.\d\d\d", inner) or len(inner) > 40:
        return MASK
    parts = [part for part in _TOKEN.findall(inner) if part.isalnum()]
    known = all((part.isdigit() and len(part) < 5) or part.lower() in _vocabulary() for part in parts)
    return word if known else MASK


@cache
def _vocabulary() -> frozenset[str]:
    """Return the words of the package's own source, in lower case."""
    found: set[str] = set()
    for path in _PACKAGE.rglob("*.py"):
        if not {"tests", "docs", ".git"} & set(path.relative_to(_PACKAGE).parts) and ".venv" not in str(path):
            found.update(re.findall(r"[a-z]+", path.read_text(encoding="utf-8").lower()))
    return frozenset(found)
