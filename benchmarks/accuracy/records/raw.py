"""The results of `galaxy-edge eval night` and `eval composites` as records.

Their JSON is that of ``--json``, ``raw-night.json`` and ``raw-composites.json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class TargetCount:
    """How often a known galaxy is found.

    Attributes:
        frames: number of frames that show it.
        found: of them, those in which it is found.
        share: found / frames.
        interval: 95 %, of `share`.
    """

    frames: int
    found: int
    share: float
    interval: Sequence[float]


@dataclass(frozen=True)
class DepthResult:
    """What is found at one depth of stack.

    Attributes:
        depth: number of frames in a stack; 1 for single exposures.
        frames: number of frames of this depth with a row in the truth table.
        galaxies: by name.
        false: number of false detections.
        false_per_frame, false_interval: their rate and its 95 % interval; None without frames.
        frames_without_galaxy, false_without_galaxy: number of frames without galaxies, and false detections in them.
    """

    depth: int
    frames: int
    galaxies: Mapping[str, TargetCount]
    false: int
    false_per_frame: float | None
    false_interval: Sequence[float] | None
    frames_without_galaxy: int
    false_without_galaxy: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read plain values."""
        galaxies = {name: TargetCount(**counts) for name, counts in values["galaxies"].items()}
        return cls(**{**values, "galaxies": galaxies})


@dataclass(frozen=True)
class NightResult:
    """What is found in a night.

    Attributes:
        folder: name of the folder of frames.
        depths: a result for each depth of stack.
        unknown: number of frames without a row in the truth table.
    """

    folder: str
    depths: Sequence[DepthResult]
    unknown: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        return cls(**{**values, "depths": [DepthResult.from_dict(depth) for depth in values["depths"]]})


@dataclass(frozen=True)
class FoundCount:
    """Number of galaxies found, and the 95 % interval of their share."""

    found: int
    interval: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class SignalGroup:
    """Galaxies of a range of signals, found by the detector and by SEP.

    SEP has fitted settings (``sep``) or a learned filter (``sep_tuned``, None in files of earlier versions).

    Attributes:
        low, high: limits of the mean signal in sigma, low included; None where there is no limit.
        galaxies: their number.
    """

    low: float | None = None
    high: float | None = None
    galaxies: int
    detector: FoundCount
    sep: FoundCount
    sep_tuned: FoundCount | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        found = {name: FoundCount(**values[name]) for name in ("detector", "sep", "sep_tuned") if name in values}
        return cls(**{**values, **found})


@dataclass(frozen=True)
class FalseRate:
    """Number of false detections, their number per frame and its 95 % interval."""

    false: int
    false_per_frame: float
    false_interval: Sequence[float]


@dataclass(frozen=True)
class DetectorFalse(FalseRate):
    """False detections of the detector.

    Attributes:
        false_on_sky: number of those that touch no added galaxy.
        without_faint: without those that touch a galaxy under `composites.BRIGHT`.
    """

    false_on_sky: int
    without_faint: FalseRate


@dataclass(frozen=True)
class SepFalse(FalseRate):
    """False detections of SEP.

    Attributes:
        settings: fitted, see `sep_baseline`.
    """

    settings: Mapping[str, Any]


@dataclass(frozen=True)
class CompositesResult:
    """Galaxies that were added to raw exposures and searched.

    Attributes:
        frames: number of frames searched.
        exposures: number of exposures that they were made of.
        min_iou: minimum overlap of a detection with a galaxy that it finds.
        seed: of the galaxies, their sizes, signals and positions.
        bundle: hash of the detector's bundle.
        bins: galaxies by signal.
        bright: galaxies of at least `composites.BRIGHT`.
        all: all galaxies.
        detector, sep, sep_tuned: their false detections; the last is None in files of earlier versions.
    """

    frames: int
    exposures: int
    min_iou: float
    seed: int
    bundle: str
    bins: Sequence[SignalGroup]
    bright: SignalGroup
    all: SignalGroup
    detector: DetectorFalse
    sep: SepFalse
    sep_tuned: SepFalse | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        groups = {"bins": [group.to_dict() for group in self.bins]}
        values = asdict(self) | groups | {"bright": self.bright.to_dict(), "all": self.all.to_dict()}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        detector = {**values["detector"], "without_faint": FalseRate(**values["detector"]["without_faint"])}
        parts = {
            "bins": [SignalGroup.from_dict(group) for group in values["bins"]],
            "bright": SignalGroup.from_dict(values["bright"]),
            "all": SignalGroup.from_dict(values["all"]),
            "detector": DetectorFalse(**detector),
            **{name: SepFalse(**values[name]) for name in ("sep", "sep_tuned") if name in values},
        }
        return cls(**{**values, **parts})
