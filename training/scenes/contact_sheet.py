"""A contact sheet of what a detector is fed: look at it before the nights of computing begin."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..formats.preview import grid, tile, write_sheet
from .generator import SceneGenerator

SCENES = 36


def write_scene_sheet(maker: SceneGenerator, seed: int, path: Path) -> None:
    """Draw scenes of every kind in turn, with the galaxies to find and, dashed, what counts neither way; as PNG."""
    tiles = []
    for number in range(SCENES):
        scene = maker.draw(np.random.default_rng([seed, 5, number]), maker.kinds[number % len(maker.kinds)])
        boxes = np.concatenate([scene.boxes, scene.ignore])
        dashed = [False] * len(scene.boxes) + [True] * len(scene.ignore)
        tiles.append(tile(scene.image, boxes, [0] * len(boxes), dashed, scene.kind.replace("_", " ")))
    write_sheet(path, grid(tiles, ["galaxy"]))
