"""Addresses without their credentials, and file names as printable text."""

from __future__ import annotations

import re


def redact_credentials(address: str) -> str:
    """Mask the password in front of the host, and the values of parameters that may be secret.

    The part after the last ``@`` is taken for the host, as passwords may contain ``/`` and ``@`` too.
    """
    address = re.sub(r"(://[^:/@]*):(?!\d+(?:/|$)).*@", r"\1:***@", address)
    return re.sub(r"(?i)([?&;][^=&;]*(?:pass|pw|secret|token|key|auth)[^=&;]*=)[^&;#]*", r"\1***", address)


def printable_name(name: str) -> str:
    """Return a file's name as one printable line: control characters and invalid UTF-8 as ``\\x1b``."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda sign: f"\\x{ord(sign[0]):02x}", text)


def is_text(name: str) -> bool:
    """Return whether a name is UTF-8: with others, OpenCV's video reader aborts the process."""
    return name == name.encode("utf-8", "replace").decode()


def is_host_name(host: str) -> bool:
    """Return whether a text is a valid host name: no label is empty or longer than 63 characters."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True
