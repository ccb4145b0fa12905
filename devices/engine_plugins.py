"""Engines of other packages, registered as entry points.

The group of the entry points is ``galaxy_edge.engines``.

Nothing is looked for unless an engine is named that this package does not have: a start does not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import UsageError

GROUP = "galaxy_edge.engines"
OWN_FILES = "plugin:"
"""Begins the runtime, in a bundle's manifest, of model files that only one plug-in runs: ``plugin:NAME``."""


def plugin_names() -> tuple[str, ...]:
    """Return the names of the installed plug-ins, sorted, without importing them."""
    from importlib.metadata import entry_points

    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def load_plugin(name: str) -> Callable[..., Any]:
    """Return what a plug-in registered: a callable that makes an engine.

    Raises:
        UsageError: there is no such plug-in, several packages have it, or it cannot be imported.
    """
    from importlib.metadata import entry_points

    entries = list(entry_points(group=GROUP, name=name))
    if not entries:
        raise UsageError(f"there is no engine '{name}', and no installed package adds it")
    packages = sorted({entry.dist.name for entry in entries if entry.dist})
    if len(packages) > 1:
        raise UsageError(f"the engine {name} is in several packages ({', '.join(packages)}): uninstall all but one")
    try:
        factory = entries[0].load()
    except (ImportError, AttributeError, OSError) as error:
        raise UsageError(f"the engine {name} of {', '.join(packages)} cannot be loaded: {error}") from None
    if not callable(factory):
        raise UsageError(f"the engine {name} of {', '.join(packages)} cannot be loaded: it is not callable")
    return factory  # type: ignore[no-any-return]
