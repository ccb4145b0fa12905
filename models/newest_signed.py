"""Remember the newest signed bundle of each key and name.

An older one can then be refused.

An old signature stays valid: someone who can replace files could otherwise bring back a bundle that was withdrawn.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from ..files import wait_for_lock

logger = logging.getLogger(__name__)


def state_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the record.

    It is in systemd's ``STATE_DIRECTORY``, else in the user's state folder.
    """
    systemd = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if systemd:
        return Path(systemd) / "newest-bundles.json"
    home = environment.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(home) / "galaxy-edge" / "newest-bundles.json"


def newer_seen(key: str, name: str, signed: str, file: Path | None = None) -> str | None:
    """Record when a bundle was signed.

    Return the time of a newer one if this machine has seen one, else None.

    Args:
        key: fingerprint of the key.
        name: the bundle's name.
        signed: UTC time of the signature, ISO 8601, which sorts as text.
        file: the record; None for `state_file`.
    """
    path = file or state_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+", encoding="utf-8") as stream:
            wait_for_lock(stream.fileno())
            seen = _parse(stream.read(), path)
            newest = seen.get(f"{key} {name}", "")
            if newest > signed:
                return newest
            if newest < signed:
                stream.seek(0)
                stream.write(json.dumps(seen | {f"{key} {name}": signed}, indent=1))
                stream.truncate()
    except OSError as error:
        logger.warning("%s cannot be used (%s): an older signed bundle would not be noticed", path, error.strerror)
    return None


def _parse(text: str, path: Path) -> dict[str, str]:
    try:
        content = json.loads(text or "{}")
        return {str(key): str(value) for key, value in content.items()}
    except (ValueError, AttributeError):
        logger.warning("%s is damaged: an older signed bundle may not be noticed this time", path)
        return {}
