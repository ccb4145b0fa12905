"""Write untrusted text as a line of JSON or a cell of a table."""

from __future__ import annotations

import json
import re
from typing import Any

_FORMULA = re.compile(r"(^|[;\t\r\n])([\s\ufeff\0]*[=+\-@\uff1d\uff0b\uff0d\uff20|])")
"""The beginning of a formula; in some countries, spreadsheets split cells at semicolons."""


def json_line(value: Any) -> str:
    """Return a value as one line of JSON.

    Letters of any script are written as they are; characters that some programs interpret as the end of a line
    (U+2028, U+0085), that reverse text (U+202E) or that are invisible are written as ``\\u2028``.
    """
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return text if text.isascii() else "".join(map(_json_escaped, text))


def _json_escaped(sign: str) -> str:
    import unicodedata  # most texts need no escape

    if sign.isascii() or unicodedata.category(sign) not in ("Cc", "Cf", "Zl", "Zp", "Cs"):
        return sign
    return json.dumps(sign)[1:-1]


def csv_cell(text: str) -> str:
    """Return a text with ``'`` where a spreadsheet would begin a formula."""
    return _FORMULA.sub(r"\1'\2", text)
