"""Addresses of cameras and brokers as they may be shown, written and published: without their secrets."""

from __future__ import annotations

import re


def masked(address: str) -> str:
    """Hide the password before the host, and the values of parameters that sound like one.

    What stands behind the last ``@`` is taken for the host, as passwords hold ``/`` and ``@`` too.
    """
    address = re.sub(r"(://[^:/@]*):(?!\d+(?:/|$)).*@", r"\1:***@", address)
    return re.sub(r"(?i)([?&;][^=&;]*(?:pass|pw|secret|token|key|auth)[^=&;]*=)[^&;#]*", r"\1***", address)
