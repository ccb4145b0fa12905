"""The results of the classification study as records.

Their JSON is that of ``NAME-seedN.json``. Optional values are missing in files of earlier versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ....models.metrics import ClassificationMetrics
from ....training.study.paired_difference import macro_f1_difference
from .evaluation import ExpertCounts

KINDS = ("float", "float_levelled", "int8", "int8_levelled")
"""The float and the int8 network, on the images unchanged and with normalised levels; in the order of the file."""


def encode_labels(labels: np.ndarray) -> str:
    """Return classes (N,) as one character each: 0 to 9, and those after."""
    return "".join(chr(ord("0") + label) for label in labels)


def decode_labels(text: str) -> np.ndarray:
    """Return the classes (N,) of `encode_labels`."""
    return np.array([ord(character) - ord("0") for character in text], int)


@dataclass(frozen=True, kw_only=True)
class SourceScores(ClassificationMetrics):
    """Metrics of a classifier on the images of one source.

    Attributes:
        intervals: 95 %, see `models.classification_metrics.classification_intervals`; None where not recorded.
    """

    intervals: Mapping[str, Any] | None = None

    def interval(self, key: str) -> Sequence[float] | None:
        """Return the interval of a metric; None where there is none."""
        found: Sequence[float] | None = (self.intervals or {}).get(key)
        return found

    def recall_interval(self, name: str) -> Sequence[float] | None:
        """Return the interval of the recall of a class; None where there is none."""
        found: Sequence[float] | None = (self.intervals or {}).get("recall", {}).get(name)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = super().to_dict()
        return {name: value for name, value in values.items() if name != "intervals" or value is not None}


@dataclass(frozen=True, kw_only=True)
class Scores(SourceScores):
    """Metrics of a classifier on a labelled data set.

    Attributes:
        ece_by_chance: calibration error that perfect probabilities would show on the same number of images; None
            where not recorded.
        classes: metrics of each class, see `training.study.significance.class_scores`; None where not recorded.
        within_experts: None where no image has intervals of experts.
        sets: metrics of each source of images.
    """

    ece_by_chance: float | None = None
    classes: Mapping[str, Mapping[str, Any]] | None = None
    within_experts: ExpertCounts | None = None
    sets: Mapping[str, SourceScores]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = super().to_dict()
        if self.within_experts:
            values["within_experts"] = dict(vars(self.within_experts))
        values["sets"] = {name: source.to_dict() for name, source in self.sets.items()}
        optional = ("ece_by_chance", "classes", "within_experts")
        return {name: value for name, value in values.items() if name not in optional or value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        experts = values.get("within_experts")
        parts = {
            "within_experts": ExpertCounts(**experts) if experts else None,
            "sets": {name: SourceScores.from_dict(source) for name, source in values["sets"].items()},
        }
        return super().from_dict({**values, **parts})


@dataclass(frozen=True, kw_only=True)
class RefitGain:
    """What the refit of the last layer changed, on the test part.

    Attributes:
        before, after: macro F1 with the last layer as it was trained, and refitted.
        low, high: 95 % interval of their difference, see `training.study.paired_difference.macro_f1_difference`.
    """

    before: float
    after: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """A classifier, or the weighted average of several, measured on the test part.

    Attributes:
        name: of the result.
        seed: of the first run's training.
        split: hash of the split.
        images: number of images of the test part.
        recipes: of each run, the settings that results of one name have in common; None where not recorded.
        weights: of the runs, with a sum of 1.
        temperature: of the average.
        parameters, macs: of all runs together.
        scores: by what was measured, see `KINDS`; int8 only where a bundle was measured.
        int8_bytes: size of the int8 file; None without a bundle.
        refit: gain of the refit of the last layer, float network; None where it was not refitted or not recorded.
        labels: true class of each image, one character each (see `encode_labels`); None where not recorded.
        predicted: predicted class of each image, in the same way, by what was measured; None where not recorded.
    """

    name: str
    seed: int
    split: str
    images: int
    recipes: Sequence[Mapping[str, Any]] | None = None
    weights: Sequence[float]
    temperature: float = 1.0
    parameters: int
    macs: int
    scores: Mapping[str, Scores]
    int8_bytes: int | None = None
    refit: RefitGain | None = None
    labels: str | None = None
    predicted: Mapping[str, str] | None = None

    def recipe(self, key: str) -> str:
        """Return the different values of a setting of the runs, separated by commas."""
        return ", ".join(dict.fromkeys(str(recipe[key]) for recipe in self.recipes or () if key in recipe))

    def difference(self, other: StudyResult, kind: str = "float") -> tuple[float, float, float] | None:
        """Return how much higher its macro F1 is than another one's, on the same images.

        Returns:
            The difference and its 95 % interval, see `training.study.paired_difference`; None where the predictions
            of one are not recorded, or they are of other images.
        """
        own, their = (self.predicted or {}).get(kind), (other.predicted or {}).get(kind)
        if not own or not their or not self.labels or self.labels != other.labels:
            return None
        classes = len(self.scores[kind].recall)
        after, before, labels = map(decode_labels, (own, their, self.labels))
        return macro_f1_difference(before, after, labels, classes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the scores are next to the other values."""
        values = {name: value for name, value in vars(self).items() if name not in ("scores", "int8_bytes", "refit")}
        if self.recipes is None:
            del values["recipes"]
        for name in ("labels", "predicted"):
            if values[name] is None:
                del values[name]
        if self.refit:
            values["refit"] = dict(vars(self.refit))
        for kind in (kind for kind in KINDS if kind in self.scores):
            if kind == "int8":
                values["int8_bytes"] = self.int8_bytes
            values[kind] = self.scores[kind].to_dict()
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: the values are not those of a result.
        """
        scores = {kind: Scores.from_dict(values[kind]) for kind in KINDS if kind in values or kind == "float"}
        refit = RefitGain(**values["refit"]) if values.get("refit") else None
        for text in (values.get("labels", ""), *values.get("predicted", {}).values()):
            known = decode_labels(text)
            if text and not (
                len(known) == values["images"] and 0 <= known.min() <= known.max() < len(values["float"]["recall"])
            ):
                raise ValueError("a class of an image is missing, or is none of the classes")
        rest = {name: value for name, value in values.items() if name not in (*KINDS, "refit")}
        return cls(**rest, scores=scores, refit=refit)
