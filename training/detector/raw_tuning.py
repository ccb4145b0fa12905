"""Train a detector on raw-like and processed scenes, starting from the weights of an exported detector."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...models.decode import anchor_grid
from ..data.sample import Sample
from ..formats.read_set import read_set
from ..progress import Report
from ..run import RunFolder, RunRecord, lock_run_folder
from ..scenes.camera_effects import rotate_randomly
from ..scenes.contact_sheet import write_scene_sheet
from ..scenes.generator import SceneGenerator
from ..scenes.raw_frames import parted, read_raw_frames
from ..scenes.raw_scenes import KINDS, MixedScenes, RawSceneGenerator
from ..scenes.raw_sky import RawSky
from ..threads import set_threads
from . import networks as ssd
from .anchor_matching import assign_targets
from .dataset import SceneBatches, split
from .evaluation import calibration_set, evaluation_set, score
from .fit import first_inputs, schedule
from .settings import DetectorSettings
from .tflite_weights import load_exported
from .trainer import DetectorTrainer

RAW_SHARE = 0.58
VALIDATION_SCENES = 240
REUSE, POOL = 5, 1500
"""Number of times that a scene is used, and number of recent scenes to draw from."""
EVALUATE_EVERY = 32
"""Epochs between evaluations."""
RAW = "raw"
"""The situation of raw-like scenes in an evaluation set."""


class PooledBatches(SceneBatches):
    """Training batches that use a scene several times in other orientations; batch n is always the same.

    Scenes of large frames cost more than a step of training. Of every `REUSE` scenes of a batch one is new, the others
    are drawn from the last `POOL`.
    """

    def __init__(self, generator: Any, anchors: np.ndarray, positions: range, seed: int) -> None:
        super().__init__(generator, anchors, positions, seed)
        self._scene = lru_cache(maxsize=POOL + 200)(
            lambda number: self.generator.draw(np.random.default_rng([seed, 11, number]))
        )

    def make(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Make batch `step`, see `SceneBatches.make`."""
        images, targets, deltas = [], [], []
        for position in self.positions:
            rng, number = np.random.default_rng([self.seed, step, position]), step * len(self.positions) + position
            newest = number // REUSE
            old = int(rng.integers(min(newest + 1, POOL))) if number % REUSE else 0
            scene = self._scene(newest - old)
            image, boxes, ignore = rotate_randomly(rng, scene.image, scene.boxes, scene.ignore)
            target, delta = assign_targets(self.anchors, boxes, ignore)
            images.append(image)
            targets.append(target)
            deltas.append(delta)
        return np.stack(images), np.stack(targets), np.stack(deltas)


def tune(
    data: Path,
    frames: Path,
    out: Path,
    settings: DetectorSettings,
    start: Path,
    resume: bool = False,
    seconds: float = 0.0,
    report: Report | None = None,
) -> RunRecord:
    """Train a detector on a mixture of processed and raw-like scenes.

    Args:
        data: folder of data sets, see `formats.read_set`.
        frames: a folder of raw exposures, see `raw_frames.read_raw_frames`.
        out: the run folder, see `run`; settings: of the network in `start`, and of the training.
        start: float32 TFLite file with the initial weights.
        resume: continue after the last complete epoch of the run in `out`.
        seconds: training time, over which the learning rate falls; `settings.epochs` is the maximum. 0: unlimited.
        report: called after every epoch with its line of the log.

    Returns:
        the run's record.

    Raises:
        DataError: data or frames cannot be used. RunError: see `run.RunFolder`.
    """
    train, held, record = split(read_set(data), settings.seed)
    training, validation, _ = parted(list(read_raw_frames(frames)))
    with lock_run_folder(out):
        run = RunFolder(out, "detect", settings.plain(), record, resume)
        generator = SceneGenerator(train, settings.size)
        mixed = MixedScenes(generator, RawSceneGenerator(generator, [frame.sky() for frame in training]), RAW_SHARE)
        evaluation = _evaluation(held, [frame.sky() for frame in validation], settings)
        np.savez_compressed(out / "evaluation.npz", **evaluation)  # type: ignore[arg-type]
        return _tune(run, settings, mixed, train, evaluation, start, seconds, report)


def _evaluation(held: Sequence[Sample], skies: Sequence[RawSky], settings: DetectorSettings) -> dict[str, np.ndarray]:
    """Join the processed evaluation set with raw-like scenes of galaxies and skies that are not trained on."""
    known = evaluation_set(held, settings.size, settings.seed)
    raw = RawSceneGenerator(SceneGenerator(held, settings.size), skies)
    scenes = [raw.draw(np.random.default_rng([settings.seed, 77, place])) for place in range(VALIDATION_SCENES)]
    first = len(known["images"])

    def joined(name: str, boxes: list[np.ndarray]) -> dict[str, np.ndarray]:
        frames = first + np.repeat(np.arange(len(boxes)), [len(part) for part in boxes])
        more = np.concatenate(boxes).astype(np.float32).reshape(-1, 4)
        frame = "box_frame" if name == "boxes" else "ignore_frame"
        return {name: np.concatenate([known[name], more]), frame: np.concatenate([known[frame], frames])}

    empty = [not len(scene.boxes) and not len(scene.ignore) for scene in scenes]
    return {
        "images": np.concatenate([known["images"], [scene.image for scene in scenes]]),
        **joined("boxes", [scene.boxes for scene in scenes]),
        **joined("ignore", [scene.ignore for scene in scenes]),
        "complete": np.concatenate([known["complete"], np.ones(len(scenes), bool)]),
        "set": np.concatenate([known["set"], [RAW] * len(scenes)]),
        "negative": np.concatenate([known["negative"], empty]),
    }


def _tune(
    run: RunFolder,
    settings: DetectorSettings,
    mixed: MixedScenes,
    train: list[Sample],
    evaluation: dict[str, np.ndarray],
    start: Path,
    seconds: float,
    report: Report | None,
) -> RunRecord:
    set_threads(settings.threads)
    import tensorflow as tf
    import tf_keras

    anchors = anchor_grid(settings.size, settings.size, **settings.grid)
    batches = PooledBatches(mixed, anchors, range(settings.batch), settings.seed)
    write_scene_sheet(mixed, settings.seed, run.folder / "scenes.png")  # type: ignore[arg-type]
    tf_keras.utils.set_random_seed(settings.seed)
    trainer = DetectorTrainer(ssd.build_network(settings), settings.weight_decay)
    used = tf.Variable(0.0, dtype=tf.float64, trainable=False)  # seconds of training
    state = tf.train.Checkpoint(learner=trainer.state, used=used)
    checkpoints = tf.train.CheckpointManager(state, str(run.checkpoint_folder), max_to_keep=2)
    if checkpoints.latest_checkpoint:
        state.restore(checkpoints.latest_checkpoint).expect_partial()
    else:
        load_exported(trainer.model, start, first_inputs(batches, 96))
        trainer.begin_averages()
    for epoch in range(int(trainer.epoch.numpy()), settings.epochs):
        if seconds and float(used) >= seconds:
            break
        line = _run_epoch(settings, trainer, batches, epoch, seconds, used)
        if epoch % EVALUATE_EVERY == EVALUATE_EVERY - 1:
            with trainer.averaged():
                line |= score(trainer.outputs, evaluation, anchors, every=3)
        checkpoints.save()
        run.log(**line)
        if report:
            report(line)
    return finish(run, settings, trainer, batches, train, evaluation)


def _run_epoch(
    settings: DetectorSettings, trainer: DetectorTrainer, batches: SceneBatches, epoch: int, seconds: float, used: Any
) -> dict[str, Any]:
    """Train for an epoch, or until `seconds` are used up; add its seconds to `used`; return its line of the log."""
    import tensorflow as tf

    steps = settings.images_per_epoch // settings.batch
    started, cpu_started, losses = time.monotonic(), time.process_time(), []
    before, done = float(used), 0.0
    for index, batch in enumerate(batches.run(epoch * steps, (epoch + 1) * steps)):
        step = epoch * steps + index
        if seconds:
            done = min(1.0, (before + time.monotonic() - started) / seconds)
            rate, decay = schedule(settings, step, 10**9)
            rate = np.float32(rate * 0.5 * (1.01 + 0.99 * np.cos(np.pi * done)))
        else:
            rate, decay = schedule(settings, step, settings.epochs * steps)
        loss, class_loss = trainer.step(*batch, tf.constant(rate), tf.constant(decay))
        losses.append((float(loss), float(class_loss)))
        if seconds and done >= 1.0:
            break
    used.assign(before + time.monotonic() - started)
    trainer.epoch.assign(epoch + 1)
    return {
        "epoch": epoch + 1,
        "loss": round(float(np.mean(losses, axis=0)[0]), 4),
        "rate": float(rate),
        "images_per_second": round(len(losses) * settings.batch / (time.monotonic() - started), 1),
        "core_seconds": round(time.process_time() - cpu_started, 1),
        "used": round(float(used), 1),
    }


def finish(
    run: RunFolder,
    settings: DetectorSettings,
    trainer: DetectorTrainer,
    batches: SceneBatches,
    train: list[Sample],
    evaluation: dict[str, np.ndarray],
) -> RunRecord:
    """Estimate statistics of the averaged weights, evaluate them, and write the files that an export needs."""
    anchors, out = batches.anchors, run.folder
    with trainer.averaged():
        steps = int(trainer.epoch.numpy()) * settings.images_per_epoch // settings.batch
        trainer.estimate_statistics(batches.run(steps, steps + max(8, 1000 // settings.batch)))
        metrics = score(trainer.outputs, evaluation, anchors)
        inputs = calibration_set(batches.generator, train, settings.seed)
        rng = np.random.default_rng([settings.seed, 4])
        raw = [batches.generator.draw(rng, kind).image for kind in (*KINDS, "raw_galaxies") for _ in range(25)]
        np.savez_compressed(out / "calibration.npz", images=np.concatenate([inputs, raw]))
        macs, parameters = ssd.save_network(trainer.model, settings.size, out / "saved_model")
    description = {
        "input": {"width": settings.size, "height": settings.size},
        "preprocess": {"kind": "letterbox", "fill": 0},
        "decode": settings.grid | {"box_weights": [10, 10, 5, 5]},
        "outputs": ["boxes", "scores"],
        "classes": ["galaxy"],
        "parameters": parameters,
        "macs": macs,
    }
    spent = sum(line.get("core_seconds", 0.0) for line in run.read_log())
    return run.finish(description, metrics, core_hours=round(spent / 3600, 3))
