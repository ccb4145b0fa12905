"""Terminal tables of benchmark results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table


def bench_table(result: dict[str, Any]) -> Table:
    """Format a benchmark: minimum and median milliseconds of every configuration."""
    table = Table("bundle", "variant", "engine", title=f"{_title(result)}, {result['rounds']} rounds")
    for heading in ("threads", "min ms", "median ms", "KiB"):
        table.add_column(heading, justify="right")
    for row in result["results"]:
        table.add_row(
            _short(row["bundle"]),
            row["variant"],
            row["engine"],
            str(row["threads"]),
            f"{row['min_ms']:.2f}",
            f"{row['median_ms']:.2f}",
            f"{row['bytes'] / 1024:.0f}",
        )
    return table


def compare_table(first: dict[str, Any], second: dict[str, Any], rows: Iterable[dict[str, Any]]) -> Table:
    """Format a comparison; configurations with different models are marked."""
    table = Table("bundle", "variant", "engine", title=f"{_title(first)}  against  {_title(second)}")
    for heading in ("threads", "first min ms", "second min ms", "ratio", "ratio of medians"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            _short(row["bundle"]) + ("" if row["same_model"] else " (models differ)"),
            row["variant"],
            row["engine"],
            str(row["threads"]),
            f"{row['first_min_ms']:.2f}",
            f"{row['second_min_ms']:.2f}",
            f"{row['min_ratio']:.2f}",
            f"{row['median_ratio']:.2f}",
        )
    return table


def _short(bundle: str) -> str:
    return bundle.removeprefix("galaxy-")


def _title(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return str(machine["model"] or f"{machine['machine']}, {machine['cores']} cores")
