"""The record of a run, ``run.json``: its content, and how it is read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from .run_checks import fault


class RunError(UserError):
    """A run folder that cannot be used; the message says why and what to do."""

    exit_code = 2


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The content of ``run.json``.

    Attributes:
        task: ``classify`` or ``detect``.
        settings: plain values: the recipe or the detector's settings, seed, threads.
        data: what the network is trained on: hash, number of images by set, split, sources.
        started, finished: UTC times in ISO format, "" if there is none yet.
        versions: package name -> version.
        model: description of the network for the bundle: input, preprocess, decode, outputs, classes, parameters,
            macs; empty until the training has finished, as are `metrics`.
        metrics: measured on the validation share.
        extra: other values at the top level of the file, e.g. ``core_hours`` of a detector.
    """

    task: str
    settings: dict[str, Any]
    data: dict[str, Any]
    started: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    finished: str = ""
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the training has ended and the network is described."""
        return bool(self.model)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as it is written to ``run.json``."""
        at_start = {name: getattr(self, name) for name in ("task", "started", "settings", "data", "versions")}
        finished = {name: getattr(self, name) for name in ("finished", "model", "metrics")} if self.is_finished else {}
        return at_start | finished | self.extra

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunRecord:
        """Create a record from the values of `to_dict`; all but ``task`` have defaults."""
        known = {field.name for field in dataclasses.fields(cls)} - {"extra"}
        fields = {"settings": {}, "data": {}} | {name: value for name, value in values.items() if name in known}
        return cls(**fields, extra={name: value for name, value in values.items() if name not in known})


class _Table(dict[str, Any]):
    """A table of a record that was read; a missing key is an error of the file."""

    def __init__(self, values: Mapping[str, Any], path: Path, name: str = "") -> None:
        self._path, self._name = path, name
        super().__init__(
            {
                key: _Table(value, path, f"{name}{key}.") if isinstance(value, dict) else value
                for key, value in values.items()
            }
        )

    def __missing__(self, key: str) -> Any:
        raise RunError(f"{self._path} has no '{self._name}{key}': finish the training, or train again in a new folder")


def read_record(folder: Path, task: str = "") -> RunRecord:
    """Read ``run.json`` of a run folder.

    In the record, a key that is missing and is asked for raises a RunError too.

    Raises:
        RunError: the folder is not a run folder, or not one of the `task` if given, or the record is damaged.
    """
    path = folder / "run.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{folder} is not a run folder: it has no run.json") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    if not isinstance(values, dict) or "task" not in values:
        raise RunError(f"{path} is not the record of a run")
    if wrong := fault(values):
        raise RunError(f"{path} is damaged: {wrong}")
    if task and values["task"] != task:
        raise RunError(f"{folder} is not a run of a {'classifier' if task == 'classify' else 'detector'}")
    record = RunRecord.from_dict(values)
    settings, data, model, metrics = (
        _Table(getattr(record, name), path, f"{name}.") for name in ("settings", "data", "model", "metrics")
    )
    extra = _Table(record.extra, path)
    return dataclasses.replace(record, settings=settings, data=data, model=model, metrics=metrics, extra=extra)
