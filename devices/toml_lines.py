"""Help for error messages about TOML files: lines and similar keys.

It finds the line of a key, and the key that was probably meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_STRINGS_AND_COMMENTS = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'{3}.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL
)
"""Strings and comments, in which ``[``, ``]`` and ``=`` have no meaning."""


def find_line(text: str, keys: tuple[str, ...]) -> str:
    """Find the line of a key or table of a TOML document.

    Args:
        text: a valid TOML document.
        keys: the key's path from the top, e.g. ``("run", "threads")``.

    Returns:
        ``:LINE``, to be appended to the file's name; empty if the key is written in an unusual way.
    """
    table: tuple[str, ...] = ()
    depth = 0  # of nested arrays: an inner array alone on its line looks like the header of a table
    text = _STRINGS_AND_COMMENTS.sub(lambda match: re.sub(r"[][=]", " ", match[0]), text)
    for number, line in enumerate(text.split("\n"), 1):
        in_array, depth = depth > 0, depth + line.count("[") - line.count("]")
        if in_array:
            continue
        header = re.match(r"\s*\[{1,2}([^\[\]]+)\]", line)
        if header:
            table = _split_keys(header[1])
            if table[: len(keys)] == keys:
                return f":{number}"
            continue
        assignment = re.match(r"\s*([\w.\"' -]+?)\s*=", line)
        if assignment and (*table, *_split_keys(assignment[1]))[: len(keys)] == keys:
            return f":{number}"
    return ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean '…'?`` with the most similar known word.

    The text is empty if none is similar.
    """
    import difflib  # needed for errors only

    known = list(known)
    if "-" in "".join(known):
        word = word.replace("_", "-")
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _split_keys(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
