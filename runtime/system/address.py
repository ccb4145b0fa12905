"""Addresses: of the live view, of brokers and their topics; as they may be shown; and names of files as text."""

from __future__ import annotations

import re


def redact_credentials(address: str) -> str:
    """Hide the password before the host, and the values of parameters that sound like one.

    What stands behind the last ``@`` is taken for the host, as passwords hold ``/`` and ``@`` too.
    """
    address = re.sub(r"(://[^:/@]*):(?!\d+(?:/|$)).*@", r"\1:***@", address)
    return re.sub(r"(?i)([?&;][^=&;]*(?:pass|pw|secret|token|key|auth)[^=&;]*=)[^&;#]*", r"\1***", address)


def printable_name(name: str) -> str:
    """Write a file's name as a line that can be shown, stored and sent: control signs, and no UTF-8, as ``\\x1b``."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda sign: f"\\x{ord(sign[0]):02x}", text)


def is_text(name: str) -> bool:
    """Tell whether a name is UTF-8: given another, OpenCV's videos end the process."""
    return name == name.encode("utf-8", "replace").decode()


def is_host_name(host: str) -> bool:
    """Tell whether a text can be a computer's name: no part of it is empty, or longer than 63 letters."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True
