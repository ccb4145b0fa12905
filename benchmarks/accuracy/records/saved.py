"""The saved results of detectors as records.

Their JSON is that of ``detectors.json``. Optional values are missing in rows of earlier versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ....models.metrics import DetectionMetrics
from .evaluation import Intervals


@dataclass(frozen=True, kw_only=True)
class SavedMetrics(DetectionMetrics):
    """Metrics of a detector or a baseline in one situation, as they are saved.

    Attributes:
        intervals: of the metrics; None where not recorded.
        sizes: galaxies found and galaxies by size, see `SizedMetrics`; None where not recorded.
    """

    intervals: Intervals | None = None
    sizes: Mapping[str, Sequence[int]] | None = None

    def interval(self, key: str) -> Sequence[float] | None:
        """Return the interval of a metric; None where there is none."""
        return (self.intervals or {}).get(key)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        optional = ("intervals", "sizes")
        return {name: value for name, value in super().to_dict().items() if name not in optional or value is not None}


BySituation = Mapping[str, SavedMetrics]
"""Metrics by the name of the situation."""


def _situations(values: Mapping[str, Mapping[str, Any]]) -> dict[str, SavedMetrics]:
    return {name: SavedMetrics.from_dict(metrics) for name, metrics in values.items()}


def _plain(situations: BySituation) -> dict[str, Any]:
    return {name: metrics.to_dict() for name, metrics in situations.items()}


@dataclass(frozen=True, kw_only=True)
class DetectorRow:
    """A detector that was measured on held-out images.

    Attributes:
        name: its title.
        seed: of its training.
        apart: whether it was measured on other images than the first detector, which were held out of its training.
        parameters, macs: of the network.
        int8_bytes: size of the int8 file.
        core_hours: processor time of the training, of all threads.
        images: number of scenes seen in training.
        min_ms, median_ms: latency of the int8 network on one thread; None where it was not timed.
        threshold: the bundle's operating threshold.
        fp32, int8: metrics of the variants.
        chosen_on: ``half`` or ``all``, the frames of the run's evaluation that the threshold was chosen on; None where
            not recorded.
        min_precision: precision that the threshold was chosen for, 0..1; None where not recorded.
        rule: how it was measured, see `detector_results.RULE`; None for the first rule.
        bundle: hash of the bundle; None where not recorded.
        started_from: initial weights of the training; None where not recorded.
        ungated: whether the bundle was made although a gate of its export failed; None where not recorded.
        swallowed: number of Galaxy Zoo frames that were left out, see `training.scenes.swallowed`; None where not
            recorded.
    """

    name: str
    seed: int
    apart: bool = False
    parameters: int
    macs: int
    int8_bytes: int
    core_hours: float
    images: int
    min_ms: float | None = None
    median_ms: float | None = None
    threshold: float
    fp32: BySituation
    int8: BySituation
    chosen_on: str | None = None
    min_precision: float | None = None
    rule: str | None = None
    bundle: str | None = None
    started_from: str | None = None
    ungated: bool | None = None
    swallowed: int | None = None

    def variant(self, name: str) -> BySituation:
        """Return the metrics of ``fp32`` or ``int8``."""
        return {"fp32": self.fp32, "int8": self.int8}[name]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        return values | {"fp32": _plain(self.fp32), "int8": _plain(self.int8)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        return cls(**{**values, "fp32": _situations(values["fp32"]), "int8": _situations(values["int8"])})


@dataclass(frozen=True, kw_only=True)
class DetectorComparison:
    """Detectors that were measured on the same images and timed in one run.

    Attributes:
        detectors: a row for each.
        baselines: by name, measured on the scenes of the first detector's size.
        machine: on which they were timed, see `devices.probe.Machine`.
        rounds: number of timed inferences of each.
        judged_on: hash of the ``data``, ``split``, and ``seed`` of the scenes.
    """

    detectors: Sequence[DetectorRow]
    baselines: Mapping[str, BySituation]
    machine: Mapping[str, Any]
    rounds: int
    judged_on: Mapping[str, Any]

    def row(self, name: str) -> DetectorRow | None:
        """Return the row of a name; None where there is none."""
        return next((row for row in self.detectors if row.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        baselines = {name: _plain(situations) for name, situations in self.baselines.items()}
        return {**vars(self), "detectors": [row.to_dict() for row in self.detectors], "baselines": baselines}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: the values are not those of a comparison.
        """
        rows = [DetectorRow.from_dict(row) for row in values["detectors"]]
        baselines = {name: _situations(found) for name, found in values["baselines"].items()}
        return cls(**{**values, "detectors": rows, "baselines": baselines})
