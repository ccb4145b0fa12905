"""The search space of small classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..classifier.small_network import KINDS, POOLINGS, SmallNetwork, Stage, cost
from .space import Space

WIDTHS = (range(16, 65, 8), range(24, 97, 8), range(48, 193, 16))
"""Possible channels of each of the three stages."""


def _stage_space(number: int, widths: range) -> dict[str, Sequence[Any]]:
    choices = {"width": widths, "depth": range(0, 4), "kernel": (3, 5), "kind": KINDS}
    return {f"stage{number}_{name}": values for name, values in choices.items()}


SPACE: dict[str, Sequence[Any]] = {
    "size": range(48, 97, 3),
    "stem_channels": range(8, 33, 4),
    "stem_kernel": (3, 5),
    "stem_stride": (1, 2),
    **_stage_space(1, WIDTHS[0]),
    **_stage_space(2, WIDTHS[1]),
    **_stage_space(3, WIDTHS[2]),
    "pooling": POOLINGS,
    "dense": range(0, 97, 32),
    "dropout_percent": range(0, 51, 10),
}
"""Possible values: a range is ordered, a tuple is not."""


START: dict[str, Any] = {
    "size": 69,
    "stem_channels": 16,
    "stem_kernel": 5,
    "stem_stride": 2,
    "stage1_width": 24,
    "stage1_depth": 1,
    "stage1_kernel": 3,
    "stage1_kind": "plain",
    "stage2_width": 64,
    "stage2_depth": 2,
    "stage2_kernel": 3,
    "stage2_kind": "mixed",
    "stage3_width": 128,
    "stage3_depth": 1,
    "stage3_kernel": 3,
    "stage3_kind": "separable",
    "pooling": "average",
    "dense": 0,
    "dropout_percent": 20,
}
"""The first choice of a search: a hand-made design, the closest of the space to the first network of this project."""


def from_choice(choice: Mapping[str, Any]) -> SmallNetwork:
    """Return the network of a choice, i.e. of one value for every name in `SPACE`."""
    stages = (
        Stage(*(choice[f"stage{number}_{name}"] for name in ("width", "depth", "kernel", "kind")))
        for number in (1, 2, 3)
    )
    plain = {name: choice[name] for name in SPACE if not name.startswith(("stage", "dropout"))}
    return SmallNetwork(**plain, stages=tuple(stages), dropout=choice["dropout_percent"] / 100)


def _describe(values: dict[str, Any]) -> tuple[str, ...]:
    net = SmallNetwork.from_dict(values)
    stages = ", ".join(
        f"{stage.width}x{1 + stage.depth} {stage.kind} {stage.kernel}x{stage.kernel}" for stage in net.stages
    )
    head = f"{net.pooling}{f', dense {net.dense}' if net.dense else ''}, dropout {net.dropout:g}"
    return str(net.size), f"{net.stem_channels} {net.stem_kernel}x{net.stem_kernel}/{net.stem_stride}", stages, head


CLASSIFIERS = Space(
    SPACE,
    START,
    from_choice,
    cost,
    ("macro_f1", "macro F1"),
    ("input", "stem", "stages", "head"),
    _describe,
    "galaxy-edge train classifier --network {picked} --out RUN_DIR",
)
"""The space of small classifiers."""
