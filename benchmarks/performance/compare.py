"""`galaxy-edge bench compare`: compare two machines by their ratios."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...errors import UserError
from .latency import FORMAT

KEY = ("bundle", "variant", "engine", "threads")


class BenchError(UserError):
    """A benchmark file that cannot be used; the message says which and why."""

    exit_code = 2


def read_bench(path: Path) -> dict[str, Any]:
    """Read a file that `galaxy-edge bench` wrote."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BenchError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or "results" not in content:
        raise BenchError(f"{path} is not a benchmark of format {FORMAT}: make it with galaxy-edge bench --out")
    return content


def compare(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    """Pair the results of two benchmarks.

    Returns:
        One row per configuration that is in both: its key, both minima and medians in ms, ``min_ratio`` and
        ``median_ratio`` (second over first), and ``same_model``, false if the bundles' hashes differ.

    Raises:
        BenchError: no configuration is in both.
    """
    others = {tuple(row[key] for key in KEY): row for row in second["results"]}
    rows = []
    for row in first["results"]:
        other = others.get(tuple(row[key] for key in KEY))
        if other is None:
            continue
        rows.append(
            {
                **{key: row[key] for key in KEY},
                "same_model": row["hash"] == other["hash"],
                "first_min_ms": row["min_ms"],
                "second_min_ms": other["min_ms"],
                "min_ratio": round(other["min_ms"] / row["min_ms"], 3),
                "first_median_ms": row["median_ms"],
                "second_median_ms": other["median_ms"],
                "median_ratio": round(other["median_ms"] / row["median_ms"], 3),
            }
        )
    if not rows:
        raise BenchError("the two benchmarks have no configuration in common")
    return rows
