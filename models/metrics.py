"""What an evaluation of a network gives, as records.

Every number is a plain value, or None where it is undefined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class ClassificationMetrics:
    """Metrics of a classifier over labelled images.

    Attributes:
        accuracy: share of images with the right class, 0..1.
        macro_f1: mean F1 over the classes that occur in the truth.
        coarse_accuracy: share of images with the right coarse group.
        recall: class -> 0..1, None for a class without images.
        confusion: C x C counts, rows are the truth; empty where it is not recorded.
        ece: expected calibration error, 0..1.
        images: their number.
    """

    accuracy: float | None
    macro_f1: float | None
    coarse_accuracy: float | None
    recall: Mapping[str, float | None]
    confusion: Sequence[Sequence[int]]
    ece: float | None
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: value for name, value in vars(self).items() if name != "confusion" or value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        return cls(**{"confusion": (), **_known(cls, values)})


def _known(cls: type[ClassificationMetrics], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a record's fields.

    Other values belong to a record that contains it.
    """
    return {field.name: values[field.name] for field in fields(cls) if field.name in values}
