"""Settings of a detector's network and training, and named presets."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files import file_hash
from ..run import RunError
from ..scenes.mixture import check_shares

ARCHITECTURES = ("ssd", "quick", "efficientdet")


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of a detector's network and training.

    Attributes:
        architecture: ``ssd`` (MobileNetV2, FPNLite), ``quick`` (the same with the backbone of `quick_backbone`) or
            ``efficientdet`` (EfficientNet-B0 of the Lite family, BiFPN).
        seed: of weights, split and scenes.
        size: side of the input in pixels, a multiple of 32.
        width: factor of the MobileNet's channels; not used by EfficientNet.
        stage_blocks: inverted bottlenecks of ``quick`` in its stages of stride 8, 16 and 32.
        expansions: their inner channels divided by their outer ones, in these stages.
        fpn_filters, head_convs: channels of pyramid and head, convolutions of the head before its last.
        repeats: number of passes of a BiFPN.
        min_level, max_level, anchor_size, scales_per_octave, aspect_ratios: as in `models.decode.anchor_grid`.
        batch, epochs, images_per_epoch: scenes per step, epochs, scenes per epoch.
        learning_rate: peak, after a warm-up and before a cosine decay to 0.
        weight_decay: of kernels only (AdamW).
        ema: decay of the averaged weights per step.
        threads: of TensorFlow; may change when a run is resumed, as may `epochs`.
        weights: initial weights of the backbone: the npz of a folded MobileNetV2 of this width, or the run folder of a
            classifier with the recipe ``mobilenet``; or of the whole network: the float32 TFLite file of an exported
            detector with these settings, or with another size, other anchors and levels, or more blocks in a stage, see
            `tflite_weights.load_exported`; None for random weights.
        imitate: the npz of a folded MobileNetV2 whose features are distilled, see `feature_distillation`.
        patience: epochs without a better mAP@0.5 on the validation share after which training stops; the best weights
            are always kept. 0: train to the end and keep the last weights.
        raw_frames: folder of raw exposures, see `raw_frames.read_raw_frames`: a share `raw_share` (0..1) of the scenes
            is drawn like them; None: none.
        teacher: bundle whose outputs, averaged over flips, are soft targets too, see `teacher`; None: none.
        hard_share: share (0..1) of scenes in which the teacher finds something false, see `hard_scenes`.
        scenes: kinds of scenes and their shares, in place of the usual ones of `scenes.mixture`.
        folds, fold: number of folds and the one to hold out, from 0; 0 folds: hold out a tenth.
    """

    architecture: str = "ssd"
    seed: int = 1
    size: int = 256
    width: float = 0.5
    stage_blocks: tuple[int, int, int] = (1, 3, 4)
    expansions: tuple[float, float, float] = (2.0, 3.0, 3.0)
    fpn_filters: int = 64
    head_convs: int = 2
    repeats: int = 3
    min_level: int = 3
    max_level: int = 7
    anchor_size: float = 2.0
    scales_per_octave: int = 2
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 0.5)
    batch: int = 16
    epochs: int = 30
    images_per_epoch: int = 1600
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema: float = 0.998
    threads: int = 2
    weights: Path | None = None
    imitate: Path | None = None
    patience: int = 0
    raw_frames: Path | None = None
    raw_share: float = 0.8
    teacher: Path | None = None
    hard_share: float = 0.0
    scenes: tuple[tuple[str, float], ...] = ()
    folds: int = 0
    fold: int = 0

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be {', '.join(ARCHITECTURES)}, not {self.architecture}")
        for name in ("size", "fpn_filters", "repeats", "scales_per_octave", "batch", "epochs", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.head_convs < 0:
            raise ValueError(f"head_convs must be at least 0, not {self.head_convs}")
        if not 2 <= self.min_level <= self.max_level:
            raise ValueError(f"levels must be 2 <= min_level <= max_level, not {self.min_level} and {self.max_level}")
        if self.size % 32:  # the backbone's stride; other sides would be rounded up
            raise ValueError(f"size must be a multiple of 32, not {self.size}")
        if self.images_per_epoch < self.batch:
            raise ValueError(f"images_per_epoch ({self.images_per_epoch}) must be at least one batch ({self.batch})")
        if not 0 < self.width <= 2:
            raise ValueError(f"width must be over 0 and at most 2, not {self.width}")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and self.anchor_size > 0):
            raise ValueError("learning_rate and anchor_size must be over 0, weight_decay at least 0")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in 0..1, not {self.ema}")
        for name in ("raw_share", "hard_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0..1, not {getattr(self, name)}")
        check_shares(dict(self.scenes))
        if self.hard_share and not self.teacher:
            raise ValueError("hard negatives are what a teacher finds wrongly: --hard-share needs --teacher")
        if self.patience < 0:
            raise ValueError(f"patience must be at least 0, not {self.patience}")
        if (self.folds and not 0 <= self.fold < self.folds) or self.folds == 1 or self.folds < 0:
            raise ValueError(f"folds must be 0, or at least 2 with 0 <= fold < folds, not {self.folds} and {self.fold}")
        if len(self.stage_blocks) != 3 or min(self.stage_blocks) < 0:
            raise ValueError(f"stage_blocks must be three numbers of at least 0, not {self.stage_blocks}")
        if len(self.expansions) != 3 or min(self.expansions) <= 1:
            raise ValueError(f"expansions must be three numbers over 1, not {self.expansions}")
        if not self.aspect_ratios or min(self.aspect_ratios) <= 0:
            raise ValueError(f"aspect_ratios must be over 0, not {self.aspect_ratios}")

    @property
    def grid(self) -> dict[str, Any]:
        """Keyword arguments of the anchor grid, except the input's size."""
        names = ("min_level", "max_level", "anchor_size", "scales_per_octave")
        return {name: getattr(self, name) for name in names} | {"aspect_ratios": list(self.aspect_ratios)}

    def plain(self) -> dict[str, Any]:
        """Return the settings as plain values, with the names of files instead of paths."""
        lists = {name: list(getattr(self, name)) for name in ("aspect_ratios", "stage_blocks", "expansions")}
        values = dataclasses.asdict(self) | lists | {"scenes": dict(self.scenes)}
        return {key: value.name if isinstance(value, Path) else value for key, value in values.items()}

    def file_hashes(self) -> dict[str, str]:
        """Return the hashes of the networks to start from and to imitate.

        By these, a resumed run is known to use the same ones.
        """
        files = {"weights_hash": self.weights, "imitate_hash": self.imitate}
        networks = {name: path / "model.keras" if path and path.is_dir() else path for name, path in files.items()}
        return {name: file_hash(path) for name, path in networks.items() if path and path.is_file()}


QUICK: dict[str, Any] = {
    "architecture": "quick",
    "size": 288,
    "width": 1.0,
    "stage_blocks": (1, 2, 1),
    "expansions": (2.0, 2.0, 3.0),
    "fpn_filters": 48,
    "head_convs": 0,
}
"""The network that is shipped."""

PRESETS: dict[str, dict[str, Any]] = {
    "nano": QUICK | {"size": 192, "stage_blocks": (1, 1, 1), "expansions": (2.0, 2.0, 2.0), "max_level": 6},
    "quick": QUICK,
    "base": QUICK | {"size": 320, "stage_blocks": (1, 3, 4), "expansions": (2.0, 3.0, 3.0)},
    "small": {},
    "stock": {"size": 320, "width": 1.0, "fpn_filters": 128, "head_convs": 4, "anchor_size": 4.0},
    "efficientdet": {
        "architecture": "efficientdet",
        "size": 320,
        "width": 1.0,
        "fpn_filters": 64,
        "head_convs": 3,
        "anchor_size": 3.0,
        "scales_per_octave": 3,
    },
}
"""Differences from `DetectorSettings`: four networks of this project, and two as published."""


SEARCHED = ("size", "width", "fpn_filters", "head_convs", "scales_per_octave", "min_level")
"""What a search chooses: the fields of `search.detector_space.DetectorDesign`."""


def read_picked_network(path: Path) -> dict[str, Any]:
    """Read the network chosen by a detector search.

    Raises:
        RunError: the file is not the result of a search, or a value of its network is of another type.
    """
    try:
        values = dict(json.loads(path.read_text(encoding="utf-8"))["network"])
        if not values or not values.keys() <= set(SEARCHED):
            raise ValueError(f"its network is not a detector: it has other values than {', '.join(SEARCHED)}")
        for name, value in values.items():
            if type(value) not in (int, type(getattr(DetectorSettings, name))):
                raise ValueError(f"{name} of its network is {value!r}, not a number as in a search's result")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is not a picked.json of 'galaxy-edge study search-detector': {error}") from None
    return values
