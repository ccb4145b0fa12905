"""The callback by which long-running work reports its progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Report = Callable[[dict[str, Any]], None]
"""Called with ``epoch`` (from 1), ``epochs``, ``step`` and ``steps`` within the epoch, and any float to show.
A report at the end of an epoch, after its evaluation, has no ``step``;
``label`` is shown instead if the work is not a training."""
