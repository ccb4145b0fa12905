"""Drawn galaxies of nine classes, and a small training that tests share."""

import json
import shutil
from dataclasses import replace

import cv2
import keras
import numpy as np
from galaxy_edge.models.labels import CLASSES, coarse_group
from galaxy_edge.training.classifier.attributes import ATTRIBUTES
from galaxy_edge.training.classifier.dataset import GalaxyDataset
from galaxy_edge.training.classifier.fit import fit

from .tiny_recipe import TINY


def draw_galaxy(label, size, seed):
    """Draw an ellipse whose flattening and colour depend on the label."""
    rng = np.random.default_rng([seed, label])
    image = rng.integers(0, 12, (size, size, 3)).astype(np.uint8)
    axes = (size // 3, max(1, round(size / 3 / (1 + label % 4))))
    cv2.ellipse(
        image, (size // 2, size // 2), axes, float(rng.uniform(0, 180)), 0, 360, (200, 110 + 15 * label, 160), -1
    )
    return image


def make_dataset(rows):
    """Make a dataset of rows.

    Label (-1: edge-on without a class), side, seed, whether boxed as in Galaxy Zoo frames.
    """
    box = np.array([20, 20, 100, 100], np.float32)
    images = [draw_galaxy(label if label >= 0 else 4, side, seed) for label, side, seed, _ in rows]
    return GalaxyDataset(
        CLASSES,
        np.array([row[0] for row in rows]),
        tuple(coarse_group(CLASSES[row[0]]) if row[0] >= 0 else "edge_on" for row in rows),
        tuple(f"{index}-{row}" for index, row in enumerate(rows)),
        tuple("gz_frames" if row[3] else "efigi" for row in rows),
        tuple(
            lambda image=image, boxed=row[3]: (image, box if boxed else None)
            for image, row in zip(images, rows, strict=True)
        ),
        0.3,
        ("drawn",),
    )


TRAIN = make_dataset([(label, 88, seed, False) for seed in range(4) for label in range(9)]
                    + [(4 if seed < 2 else -1, 120, 100 + seed, True) for seed in range(6)])  # fmt: skip
VALIDATION = make_dataset([(label, 88, seed, False) for seed in (4, 5) for label in range(9)]
                     + [(4, 120, 106 + seed, True) for seed in range(2)])  # fmt: skip


# Attributes of the images that stand for EFIGI's; some are not known, as in its table.
KNOWN_ATTRIBUTES = (
    np.random.default_rng(9).choice([0, 0.25, 0.5, 0.75, 1, np.nan], (len(TRAIN), len(ATTRIBUTES))).astype(np.float32)
)
KNOWN_ATTRIBUTES[36:] = np.nan
TRAIN = replace(TRAIN, attributes=KNOWN_ATTRIBUTES)


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights_of(folder):
    return keras.saving.load_model(folder / "model.keras", compile=False).get_weights()


def copy_after_epoch(epoch, out, target):
    """Return a report callback that copies a run's folder after an epoch.

    The copy is what a power failure would leave.
    """
    return lambda values: shutil.copytree(out, target) if values["epoch"] == epoch and "step" not in values else None


def train_tiny(root):
    """Train the tiny recipe into ``run``, with a copy of epoch 1 in ``stopped``.

    Return folder, record and reports.
    """
    reports = []
    copy = copy_after_epoch(1, root / "run", root / "stopped")

    def report(values):
        if "step" not in values:  # the end of an epoch
            reports.append(values)
        copy(values)

    record = fit(TINY, TRAIN, VALIDATION, root / "run", seed=3, report=report, split={"seed": 1, "hash": "5" * 64})
    return root / "run", record, reports
