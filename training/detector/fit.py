"""Train a galaxy detector and write its run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...models.decode import anchor_grid
from ...models.raw.stretch import Stretch
from ..data.errors import DataError
from ..data.sample import Sample
from ..data.splits import warn_of_other_split
from ..formats.read_set import read_set
from ..progress import Report
from ..run import RunError, RunFolder, RunRecord, load_resumable_record, lock_run_folder, write_arrays
from ..scenes.contact_sheet import write_scene_sheet
from ..scenes.generator import SceneGenerator, SceneSource
from ..threads import set_threads
from . import networks as ssd
from .dataset import SceneBatches, split
from .distributed import Workers, WorkersError
from .evaluation import calibration_set, evaluation_set, score
from .feature_distillation import FeatureDistillation
from .hard_scenes import HardScenes, find_hard_scenes
from .raw_data import PooledBatches, RawSkies, join_raw_evaluation, raw_calibration, read_raw_skies, with_raw_scenes
from .settings import DetectorSettings
from .teacher import DetectorTeacher, load_teacher, recorded_settings
from .tflite_weights import load_exported
from .trainer import DetectorTrainer, undamaged_checkpoints

SINGLE_PROCESS = Workers()


def train(
    data: Path,
    out: Path,
    settings: DetectorSettings,
    resume: bool = False,
    report: Report | None = None,
    workers: Workers = SINGLE_PROCESS,
    skip_invalid: bool = False,
) -> RunRecord:
    """Train a detector.

    Args:
        data: folder of data sets, see `formats.read_set`.
        out: the run folder, see `run`.
        resume: continue after the last complete epoch of the run in `out`, with the same result as without the
            interruption. A finished run is left unchanged.
        report: called after every step with epoch, epochs, step, steps and loss.
        workers: the processes that train together. Each calls this function with the same arguments but its own index,
            and writes its own run folder, see `Workers.folder`.
        skip_invalid: leave invalid labels out, with a warning, instead of raising.

    Returns:
        the run's record.

    Raises:
        DataError: there are no usable data.
        RunError: `out` contains a run and `resume` is not set, or the run has other settings or data; or another
            process writes to it.
    """
    if settings.patience and workers.count > 1:
        raise RunError("early stopping is not supported with several processes: omit --patience, or use one")
    material = _read_material(data, settings, skip_invalid)
    record, plain = material.record, recorded_settings(settings, material.teacher)
    out, positions = workers.folder(out), workers.part(settings.batch)
    with lock_run_folder(out):
        previous = load_resumable_record(out, "detect", plain, record, resume)
        if previous and previous.is_finished and previous.settings["epochs"] == settings.epochs:
            return previous
        run = RunFolder(out, "detect", plain, record, resume)
        with workers.explain_failures():
            training = _Training(run, settings, material, positions, workers, report)
            training.restore()
            training.run_epochs()
            return training.finish()


@dataclass(frozen=True)
class _Material:
    """What a network is trained and evaluated on, and its record for the run folder."""

    training: list[Sample]
    held_out: list[Sample]
    record: dict[str, Any]
    skies: RawSkies | None
    teacher: DetectorTeacher | None


def _read_material(data: Path, settings: DetectorSettings, skip_invalid: bool) -> _Material:
    training, held_out, record = split(read_set(data, skip_invalid), settings.seed, settings.folds, settings.fold)
    if not training or not held_out:
        raise DataError(f"{data} holds too few images to train a detector on: {record['sets'] or 'none'}")
    if not any(len(sample.boxes) for sample in training):
        raise DataError(f"{data} holds no frame with a usable box to train a detector on")
    skies = read_raw_skies(settings.raw_frames) if settings.raw_frames else None
    if skies:
        record |= {"raw_frames": skies.record}
    teacher = load_teacher(settings.teacher, settings) if settings.teacher else None
    if settings.teacher and teacher and teacher.data:
        warn_of_other_split(settings.teacher, teacher.data, record["sets"], record["split"])
    return _Material(training, held_out, record, skies, teacher)


class _Training:
    """A training in an open run folder.

    `positions` are those of a batch that this process generates.
    """

    def __init__(
        self,
        run: RunFolder,
        settings: DetectorSettings,
        material: _Material,
        positions: range,
        workers: Workers,
        report: Report | None,
    ) -> None:
        self.run, self.settings, self.workers, self.report = run, settings, workers, report
        self.train_samples, held_out = material.training, material.held_out
        skies, teacher = material.skies, material.teacher
        set_threads(settings.threads, opencv_threads=1)
        if report and workers.count > 1:
            label = f"waiting for {', '.join(workers.addresses)}"
            report({"epoch": 1, "step": 0, "epochs": settings.epochs, "label": label})
        self.strategy = workers.strategy()
        import tensorflow as tf
        import tf_keras

        self.anchors = anchor_grid(settings.size, settings.size, **settings.grid)
        processed = SceneGenerator(self.train_samples, settings.size, dict(settings.scenes))
        generator: SceneSource = with_raw_scenes(processed, skies.training, settings.raw_share) if skies else processed
        if teacher and settings.hard_share:
            numbers = find_hard_scenes(generator, teacher, settings.seed, run.record.data)
            generator = HardScenes(generator, numbers, settings.seed, settings.hard_share)
        batches = PooledBatches if skies else SceneBatches
        self.batches = batches(generator, self.anchors, positions, settings.seed)
        self.batches.teacher = teacher
        write_scene_sheet(generator, settings.seed, run.folder / "scenes.png")
        self.evaluation = evaluation_set(held_out, settings.size, settings.seed)
        if skies:
            self.evaluation = join_raw_evaluation(self.evaluation, held_out, skies.validation, settings)
        write_arrays(run.folder / "evaluation.npz", **self.evaluation)
        tf_keras.utils.set_random_seed(settings.seed)
        with run.discard_on_failure(), self.strategy.scope():
            network = ssd.build_network(settings, workers.count > 1)
            distillation = None
            if settings.imitate:
                distillation = FeatureDistillation(network.backbone, settings.imitate, first_inputs(self.batches))
            self.trainer = DetectorTrainer(network, settings.weight_decay, distillation)
        self.checkpoints = tf.train.CheckpointManager(self.trainer.state, str(run.checkpoint_folder), max_to_keep=2)
        self.steps = settings.images_per_epoch // settings.batch
        self.best_file = run.checkpoint_folder / "best"

    def restore(self) -> None:
        """Load the last epoch that every worker has saved, or initialise the weights."""
        by_epoch = undamaged_checkpoints(self.run.checkpoint_folder)
        done = max(by_epoch, default=0)
        # After an interruption some workers may have saved one epoch more: all continue from the last common one.
        common = self.workers.minimum(self.strategy, done)
        if common < done - 1:
            raise WorkersError(
                f"{self.run.folder} has completed {done} epochs and another worker's folder {common}: "
                "they do not belong to one training"
            )
        if common and common not in by_epoch:
            raise WorkersError(f"{self.run.folder} has no undamaged checkpoint of epoch {common}: name another --out")
        self.run.truncate_log(common)
        if common:
            self.trainer.state.restore(by_epoch[common]).expect_partial()
            return
        if self.settings.weights:
            from ..mobilenet.pretrained_weights import load_backbone

            with self.run.discard_on_failure():
                if self.settings.weights.suffix == ".tflite":
                    load_exported(self.trainer.model, self.settings.weights, first_inputs(self.batches, 96))
                else:
                    load_backbone(self.trainer.model.backbone, self.settings.weights, first_inputs(self.batches))
        self.trainer.begin_averages()

    def run_epochs(self) -> None:
        """Train until the last epoch, or until early stopping.

        Training stops early if the score has not improved for `patience` epochs; 0 turns this off.
        """
        trainer, patience = self.trainer, self.settings.patience
        for epoch in range(int(trainer.epoch.numpy()), self.settings.epochs):
            if patience and epoch - int(trainer.best_epoch) >= patience:
                break
            log = self._run_steps(epoch)
            trainer.epoch.assign(epoch + 1)
            with trainer.averaged():
                metrics = score(trainer.outputs, self.evaluation, self.anchors, every=2)
            if patience:
                trainer.keep_if_best(metrics.get("map50", 0.0), self.best_file)
            line = log()
            # Before the checkpoint: a resumed run cuts a line without one, but could not restore a lost one.
            self.run.log(epoch=epoch + 1, **line, **metrics)
            self.checkpoints.save()
            if self.report:
                shown = {"loss": line["loss"], **{key: metrics[key] for key in ("map50",) if key in metrics}}
                self.report({"epoch": epoch + 1, "epochs": self.settings.epochs, "steps": self.steps, **shown})

    def _run_steps(self, epoch: int) -> Callable[[], dict[str, float]]:
        """Train for an epoch, and return a function that creates its line of the log.

        The line has the processor time until then.
        """
        import tensorflow as tf

        settings, steps = self.settings, self.steps
        started, cpu_started, losses = time.monotonic(), time.process_time(), []
        for step, batch in enumerate(self.batches.run(epoch * steps, (epoch + 1) * steps)):
            rate, decay = schedule(settings, epoch * steps + step, settings.epochs * steps)
            loss, class_loss = self.trainer.step(*batch, tf.constant(rate), tf.constant(decay))
            losses.append((float(loss), float(class_loss)))
            if self.report:
                state = {"epoch": epoch + 1, "epochs": settings.epochs, "step": step + 1, "steps": steps}
                self.report(state | {"loss": losses[-1][0]})
        speed = steps * settings.batch / (time.monotonic() - started)
        mean_loss, mean_class_loss = (float(mean) for mean in np.mean(losses, axis=0))
        return lambda: {
            "loss": round(mean_loss, 4),
            "class_loss": round(mean_class_loss, 4),
            "rate": float(rate),
            "images_per_second": round(speed, 2),
            "core_seconds": round(time.process_time() - cpu_started, 1),
        }

    def finish(self) -> RunRecord:
        """Evaluate and write the network with averaged weights, and close the run.

        The calibration inputs are written too.
        """
        trainer, settings, folder = self.trainer, self.settings, self.run.folder
        self.batches.teacher = None  # not needed to estimate statistics
        if settings.patience:
            trainer.take_best(self.best_file)
        with trainer.averaged():
            last = int(trainer.epoch.numpy()) * self.steps
            # A thousand new scenes are enough for the statistics; a short trial uses as many as it was trained on.
            count = min(last, max(8, 1000 // len(self.batches.positions)))
            trainer.estimate_statistics(self.batches.run(last, last + count))
            metrics = score(trainer.outputs, self.evaluation, self.anchors, own_threshold=True)
            inputs = calibration_set(self.batches.generator, self.train_samples, settings.seed)
            if settings.raw_frames:
                inputs = np.concatenate([inputs, raw_calibration(self.batches.generator, settings.seed)])
            write_arrays(folder / "calibration.npz", images=inputs)
            network = _single_process_network(trainer.model, settings, self.workers)
            macs, parameters = ssd.save_network(network, settings.size, folder / "saved_model")
        preprocess: dict[str, Any] = {"kind": "letterbox", "fill": 0}
        if settings.raw_frames:
            preprocess |= {"stretch": Stretch().manifest()}
        description = {
            "input": {"width": settings.size, "height": settings.size},
            "preprocess": preprocess,
            "decode": settings.grid | {"box_weights": [10, 10, 5, 5]},
            "outputs": ["boxes", "scores"],
            "classes": ["galaxy"],
            "parameters": parameters,
            "macs": macs,
        }
        seconds = sum(line.get("core_seconds", 0.0) for line in self.run.read_log())
        return self.run.finish(description, metrics, core_hours=round(seconds / 3600, 3))


def first_inputs(batches: SceneBatches, count: int = 48) -> np.ndarray:
    """Generate the first training inputs, for statistics.

    Returns (n, size, size, 3) uint8 with n at least `count`.
    """
    return np.concatenate([batches.make(step)[0] for step in range(-(-count // len(batches.positions)))])


def _single_process_network(model: Any, settings: DetectorSettings, workers: Workers) -> Any:
    """Copy distributed weights into a network of this process, to save it as a graph."""
    if workers.count == 1:
        return model
    single = ssd.build_network(settings)
    for value, shared in zip(single.variables, model.variables, strict=True):
        value.assign(shared.numpy())
    return single


def schedule(settings: DetectorSettings, step: int, total: int) -> tuple[np.float32, np.float32]:
    """Return the learning rate and the decay of the averaged weights at a step."""
    warm_up = min(200, total // 10 + 1)
    rate = settings.learning_rate * min(1.0, (step + 1) / warm_up) * 0.5 * (1 + np.cos(np.pi * step / total))
    return np.float32(rate), np.float32(min(settings.ema, (1 + step) / (10 + step)))
