"""Markdown tables, for reports and for the generated parts of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def markdown_row(cells: Iterable[str]) -> str:
    """Return one line of a Markdown table.

    A ``|``, the begin of an HTML tag and line breaks in a cell are escaped.
    """
    escaped = (re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(cell.splitlines())).replace("|", "\\|") for cell in cells)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in escaped)


def markdown_text(text: str) -> str:
    """Escape untrusted text, such as a layer's name.

    Markdown then makes no link, image or tag of it.
    """
    return re.sub(r"([\\`\[\]])", r"\\\1", " ".join(text.splitlines())).replace("<", "&lt;")


def markdown_table(heading: Sequence[str], rows: Iterable[Iterable[str]], right_from: int | None = None) -> list[str]:
    """Return the lines of a Markdown table.

    Args:
        heading: one cell per column.
        rows: the cells of each row.
        right_from: index of the first column that is aligned to the right; None aligns none.
    """
    plain = len(heading) if right_from is None else right_from
    rule = ["---"] * plain + ["---:"] * (len(heading) - plain)
    return [markdown_row(heading), markdown_row(rule), *(markdown_row(row) for row in rows)]
