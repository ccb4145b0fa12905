"""Texts and tables as HTML; every text that comes from files is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ..system.address import printable_name


def text(value: object) -> str:
    """Return a text as HTML; control characters are escaped, too."""
    return escape(printable_name(str(value)))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table that scrolls where it is wide; "" without rows."""
    body = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    titles = "".join(f"<th>{text(name)}</th>" for name in head)
    return (
        f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>' if body else ""
    )


def section(title: str, content: str, name: str) -> str:
    """Return a section with a heading; "" without content."""
    return f'<section id="{name}"><h2>{text(title)}</h2>{content}</section>' if content else ""
