"""Contact sheet of a detector's training scenes, to be checked before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..formats.preview import arrange_grid, draw_tile, write_sheet
from .generator import SceneSource

SCENES = 36


def write_scene_sheet(generator: SceneSource, seed: int, path: Path) -> None:
    """Write a sheet of training scenes of every kind as PNG.

    Boxes to find are solid, boxes to ignore dashed.
    """
    tiles = []
    for number in range(SCENES):
        kind = generator.kinds[number % len(generator.kinds)]
        scene = generator.draw(np.random.default_rng([seed, 5, number]), kind)
        boxes = np.concatenate([scene.boxes, scene.ignore])
        dashed = [False] * len(scene.boxes) + [True] * len(scene.ignore)
        tiles.append(draw_tile(scene.image, boxes, [0] * len(boxes), dashed, scene.kind.replace("_", " ")))
    write_sheet(path, arrange_grid(tiles, ["galaxy"]))
