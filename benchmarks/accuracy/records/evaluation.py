"""The results of `galaxy-edge eval` as records.

Their JSON is that of ``report.json`` and of ``--json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ....models.metrics import ClassificationMetrics, DetectionMetrics

BASELINES = {
    "centre_box": "constant centre box",
    "sep": "SEP, extended sources",
    "sep_tuned": "SEP, filter and boxes fitted",
}
"""The baselines that every situation is measured with, and their titles."""

Intervals = Mapping[str, Sequence[float] | None]
"""95 % interval [low, high] by metric; None where the metric is undefined."""


@dataclass(frozen=True, kw_only=True)
class SizedMetrics(DetectionMetrics):
    """Metrics of a detector or a baseline in one situation.

    Attributes:
        intervals: of the metrics.
        sizes: number of galaxies found at the threshold and number of galaxies, by the galaxy's side; see
            `curves.recall_by_size`.
    """

    intervals: Intervals
    sizes: Mapping[str, Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class Situation(SizedMetrics):
    """Metrics of a detector and, by name, of the baselines in a situation."""

    baselines: Mapping[str, SizedMetrics]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the baselines are next to the metrics."""
        values = super().to_dict()
        del values["baselines"]
        return values | {name: metrics.to_dict() for name, metrics in self.baselines.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        baselines = {name: SizedMetrics.from_dict(values[name]) for name in BASELINES}
        return super().from_dict({**values, "baselines": baselines})


@dataclass(frozen=True, kw_only=True)
class DetectorResult(DetectionMetrics):
    """Metrics of a detector over all real frames, and in each situation.

    Attributes:
        intervals: of the metrics.
        threshold: the bundle's operating threshold, at which precision, recall and false positives are counted.
        situations: by name.
        curves: over the score, of all real frames; see `curves.curves`.
        swallowed: number of survey frames left out because their box holds another object too.
    """

    intervals: Intervals
    threshold: float
    situations: Mapping[str, Situation]
    curves: Mapping[str, Any]
    swallowed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return super().to_dict() | {"situations": {name: found.to_dict() for name, found in self.situations.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        situations = {name: Situation.from_dict(found) for name, found in values["situations"].items()}
        return super().from_dict({**values, "situations": situations})


@dataclass(frozen=True)
class ExpertCounts:
    """How many classes agree with experts who gave an interval.

    Attributes:
        images: number of images with such intervals.
        right: of them, those with the class of the label.
        within: of them, those with that or another class within the interval.
    """

    images: int
    right: int
    within: int


@dataclass(frozen=True, kw_only=True)
class ClassifierResult(ClassificationMetrics):
    """Metrics of a classifier over the images of a data set.

    Attributes:
        intervals: 95 %, see `models.classification_metrics.classification_intervals`.
        ece_by_chance: calibration error that perfect probabilities would show on the same number of images.
        within_experts: None where no image has intervals of experts.
    """

    intervals: Mapping[str, Any]
    ece_by_chance: float
    within_experts: ExpertCounts | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = super().to_dict()
        experts = values.pop("within_experts")
        return values if experts is None else values | {"within_experts": dict(vars(experts))}


@dataclass(frozen=True)
class LossShares:
    """At which step galaxies are lost.

    Shares of `galaxies`; `right` and the last three add up to 1.

    Attributes:
        galaxies: their number.
        found: by the detector.
        right: found and classified correctly.
        interval: 95 %, of `right`.
        lost_unfound: not found.
        lost_by_frame: found, and classified correctly from the true box only.
        lost_by_name: found, and classified wrongly from either box.
    """

    galaxies: int
    found: float
    right: float
    interval: tuple[float, float]
    lost_unfound: float
    lost_by_frame: float
    lost_by_name: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read plain values."""
        low, high = values["interval"]
        return cls(**{**values, "interval": (low, high)})


@dataclass(frozen=True)
class PipelineMetrics:
    """Results of a detector or baseline with the classifier in a situation.

    Attributes:
        galaxies: number of those with a box.
        found: share of them, 0..1.
        interval: 95 %, of `found`.
        classes: of those with one of the nine classes; None without any.
        groups: of those with a coarse group; None without any.
    """

    galaxies: int
    found: float
    interval: tuple[float, float]
    classes: LossShares | None
    groups: LossShares | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        shares = {"classes": self.classes, "groups": self.groups}
        return {**vars(self), **{name: dict(vars(found)) if found else None for name, found in shares.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        classes, groups = (LossShares.from_dict(values[key]) if values[key] else None for key in ("classes", "groups"))
        low, high = values["interval"]
        return cls(values["galaxies"], values["found"], (low, high), classes, groups)


@dataclass(frozen=True)
class PipelineSituation:
    """Results of the detector and of each baseline with the same classifier."""

    detector: PipelineMetrics
    baselines: Mapping[str, PipelineMetrics]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the baselines are next to the detector's metrics."""
        return self.detector.to_dict() | {name: metrics.to_dict() for name, metrics in self.baselines.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        baselines = {name: PipelineMetrics.from_dict(values[name]) for name in BASELINES}
        return cls(PipelineMetrics.from_dict(values), baselines)
