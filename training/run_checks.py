"""Checks of a run's record: the kinds of its values, and how two runs differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

KINDS = {
    "task": "text",
    "started": "text",
    "finished": "text",
    "versions": "table",
    "settings": "table",
    "settings.seed": "whole number",
    "settings.epochs": "whole number",
    "settings.images_per_epoch": "whole number",
    "settings.margin": "number",
    "settings.network": "text",
    "data": "table",
    "data.hash": "text",
    "data.sets": "table",
    "data.split": "table",
    "data.split.hash": "text",
    "data.split.train": "whole number",
    "data.split.validation": "whole number",
    "data.sources": "list",
    "model": "table",
    "model.input": "table",
    "model.input.width": "whole number",
    "model.input.height": "whole number",
    "model.preprocess": "table",
    "model.decode": "table",
    "model.decode.temperature": "number",
    "model.classes": "list of names",
    "model.outputs": "list of names",
    "model.parameters": "whole number",
    "model.macs": "whole number",
    "metrics": "table",
    "metrics.accuracy": "number or null",
    "metrics.macro_f1": "number or null",
    "metrics.coarse_accuracy": "number or null",
    "metrics.ece": "number or null",
    "core_hours": "number",
}
"""The values of a record that are used, tables before what is in them."""

_DIFFERENCES = {
    "hash": "on other data",
    "labels": "with other boxes on the same images",
    "boxes": "with other boxes on the same images",
    "raw_frames": "with other raw frames",
    "split.hash": "on another split of the data",
    "split.labels": "with other labels of the validation or test images",
}
"""Values of the data of a run, and what another value means."""

_ABSENT = object()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_IS_KIND: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "table": lambda value: isinstance(value, dict),
    "list": lambda value: isinstance(value, list),
    "list of names": lambda value: (
        isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
    ),
    "number": _is_number,
    "whole number": lambda value: _is_number(value) and isinstance(value, int),
    "number or null": lambda value: value is None or _is_number(value),
}


def fault(values: Mapping[str, Any], needed: Iterable[str] = ()) -> str | None:
    """Describe the first value of a record that cannot be used, or return None.

    Args:
        values: the content of ``run.json``.
        needed: keys of `KINDS` that must be there; others may be missing, but not be of another kind.
    """
    for key, kind in KINDS.items():
        value = _look_up(values, key)
        if key in needed if value is _ABSENT else not _IS_KIND[kind](value):
            return f"'{key}' must be {'there, as ' if value is _ABSENT else ''}a {kind}"
    if values.get("task") == "detect":  # whose metrics are named after the data sets
        for name, value in values.get("metrics", {}).items():
            if not _IS_KIND["number or null"](value):
                return f"'metrics.{name}' must be a number or null"
    return None


def difference(
    before: tuple[Mapping[str, Any], Mapping[str, Any]], settings: Mapping[str, Any], data: Mapping[str, Any]
) -> str | None:
    """Describe how a run was started differently; None if it was not.

    A value that an older version did not record cannot be compared.

    Args:
        before: settings and data of the run.
        settings, data: those that are wanted, as far as they are known.
    """
    old_settings, old_data = before
    for name, value in settings.items():
        if old_settings.get(name, value) != value:
            return f"with {name}={old_settings[name]}, not {value}"
    for key, meaning in _DIFFERENCES.items():
        old, new = _look_up(old_data, key), _look_up(data, key)
        if old != new and _ABSENT not in (old, new):
            return meaning
    splits = [_look_up(values, "split") for values in (old_data, data)]
    if all(isinstance(split, Mapping) and split.keys() & {"validation_share", "folds"} for split in splits):
        # Earlier versions moved no frame: without the list, none was.
        before, wanted = (split.get("moved", []) for split in splits)
        if before != wanted:
            return _DIFFERENCES["split.hash"]
    return None


def _look_up(values: Any, key: str) -> Any:
    """Return the value of a key such as ``model.input.width``, or `_ABSENT`."""
    for step in key.split("."):
        if not isinstance(values, Mapping) or step not in values:
            return _ABSENT
        values = values[step]
    return values
