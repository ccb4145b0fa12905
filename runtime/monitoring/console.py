"""A console for untrusted text such as names of files, classes and networks."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..system.address import printable_name


class PlainConsole(Console):
    """A rich console that prints strings as plain text.

    By default, rich takes ``[/]`` in a file's name for markup and fails, makes links of ``[link=...]``, and replaces
    ``:boom:``. Control characters and those that reverse text are escaped too. `rich.text.Text` carries styles.

    Args:
        stderr: whether to print to stderr.
        width: columns; None for those of the terminal.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects; without a terminal, tables have no lines.

        A log or the next program of a pipe has no use for them.
        """
        for shown in objects:
            if isinstance(shown, Table) and not self.is_terminal:
                shown.box, shown.pad_edge = None, False
        super().print(*objects, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert a string to text without markup.

        Rich calls this for each string, including the cells of tables.
        """
        shown = "\n".join(map(printable_name, text.split("\n")))
        return super().render_str(shown, **{**options, "markup": False, "emoji": False})

    def print_json(self, json: str | None = None, **options: Any) -> None:
        """Print JSON with its unusual characters as JSON escapes."""
        super().print_json(json, **{"ensure_ascii": True, **options})
