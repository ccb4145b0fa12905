"""Limit what a settings file that was found in the folder may set.

It was found in the working folder, not named by the user.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...runtime.system.address import redact_credentials

logger = logging.getLogger(__name__)

CODE_OPTIONS = frozenset(
    {"models", "engine", "device", "require_signature", "allow_older", "path", "bundle", "detector", "classifier",
     "detect", "classify", "foreign", "weights", "distill_from", "teacher"}
)  # fmt: skip
"""Options, by the names of their parameters, that choose networks or what runs them."""
NETWORK_OPTIONS = frozenset({"serve", "token_file", "serve_tls", "mqtt", "mqtt_ca", "notify"})
"""Options that give others access, or send results to another machine."""


class UntrustedSettings(UserError):
    """A settings file of another user that chooses networks."""

    exit_code = 2


def check_trust(path: Path, values: dict[str, Any]) -> None:
    """Refuse networks and services set by a file of another user.

    Those that the user's own file sets are logged.

    Args:
        path: the file, which nobody named: it was found in the working folder.
        values: of the command that is run.

    Raises:
        UntrustedSettings: the file, or its folder, belongs to another user or can be changed by others.
    """
    sensitive = sorted(set(_named(values, CODE_OPTIONS | NETWORK_OPTIONS)))
    if sensitive and (owner := _foreign(path)):
        options = ", ".join(sensitive)
        raise UntrustedSettings(
            f"{path.absolute()} sets {options}, and {owner}: check it, then name it with --config {path}"
        )
    if named := sorted(set(_named(values, CODE_OPTIONS))):
        logger.info("%s from %s", ", ".join(named), path.absolute())


def _named(values: dict[str, Any], names: frozenset[str]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _named(value, names)
        elif key in names:
            shown = ", ".join(redact_credentials(str(part)) for part in (value if isinstance(value, list) else [value]))
            yield f"{key.replace('_', '-')} = {shown}"


def _foreign(path: Path) -> str:
    """Return why a file is not controlled by this user alone; "" if it is.

    Root's files are trusted.
    """
    for subject, status in (("it", path.stat()), ("its folder", path.absolute().parent.stat())):
        if status.st_uid not in (os.geteuid(), 0):
            return f"{subject} belongs to another user"
        if status.st_mode & 0o002 and not status.st_mode & 0o1000:
            return f"other users can change {subject}"
    return ""
