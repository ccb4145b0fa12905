"""Markdown tables, for reports and for the generated parts of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_row(cells: Iterable[str]) -> str:
    """Return one line of a Markdown table; a ``|`` in a cell is escaped."""
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in escaped)


def markdown_table(heading: Sequence[str], rows: Iterable[Iterable[str]], right_from: int | None = None) -> list[str]:
    """Return the lines of a Markdown table.

    Args:
        heading: one cell a column.
        rows: the cells of each row.
        right_from: index of the first column that is aligned to the right; None aligns none.
    """
    plain = len(heading) if right_from is None else right_from
    rule = ["---"] * plain + ["---:"] * (len(heading) - plain)
    return [markdown_row(heading), markdown_row(rule), *(markdown_row(row) for row in rows)]
