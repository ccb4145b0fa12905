"""Train a galaxy detector and write its run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...models.decode import anchor_grid
from ..data.sample import DataError, Sample, read_set
from ..run import RunError, RunFolder, RunRecord, load_resumable_record, lock_run_folder
from ..scenes.contact_sheet import write_scene_sheet
from ..scenes.generator import SceneGenerator
from ..threads import set_threads
from . import networks as ssd
from .dataset import SceneBatches, split
from .distributed import Workers, WorkersError
from .evaluation import calibration_set, evaluation_set, score
from .feature_distillation import FeatureDistillation
from .settings import DetectorSettings
from .trainer import DetectorTrainer

ALONE = Workers()


def train(
    data: Path,
    out: Path,
    settings: DetectorSettings,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
    workers: Workers = ALONE,
    skipped: Callable[[str], None] | None = None,
) -> RunRecord:
    """Train a detector.

    Args:
        data: a folder of data sets, see `data.read_set`.
        out: the run folder, see `run`.
        resume: go on after the last whole epoch of the run in `out`; the result is as if it had not stopped. One that
            is finished is left as it is.
        report: called after every step with epoch, epochs, step, steps and loss.
        workers: the processes that train together; each calls this with the same arguments but its own index, and
            each writes a run folder, see `Workers.folder`.
        skipped: told which faulty labels are left out; without it, they end the work.

    Returns:
        the run's record.

    Raises:
        DataError: there are no usable data.
        RunError: `out` holds a run and `resume` is not set, or another's; or another process is at work in it.
    """
    train_samples, held, record = split(read_set(data, skipped), settings.seed, settings.folds, settings.fold)
    if not train_samples or not held:
        raise DataError(f"{data} holds too few pictures to train a detector on: {record['sets'] or 'none'}")
    if not any(len(sample.boxes) for sample in train_samples):
        raise DataError(f"{data} holds no frame with a usable box to train a detector on")
    if settings.patience and workers.count > 1:
        raise RunError("several processes cannot agree on when to stop early: leave --patience out, or train in one")
    out, part = workers.folder(out), workers.part(settings.batch)
    with lock_run_folder(out):
        before = load_resumable_record(out, "detect", settings.plain(), record, resume)
        if before and before.is_finished and before.settings["epochs"] == settings.epochs:
            return before
        run = RunFolder(out, "detect", settings.plain(), record, resume)
        with workers.together():
            return _train(run, settings, train_samples, held, part, workers, report)


def _train(
    run: RunFolder,
    settings: DetectorSettings,
    train_samples: list[Sample],
    held: list[Sample],
    part: range,
    workers: Workers,
    report: Callable[[dict[str, Any]], None] | None,
) -> RunRecord:
    """Train in an open run folder; for arguments see `train`, `part` are the places of a batch that are made here."""
    out = run.folder
    set_threads(settings.threads, opencv_threads=1)
    if report and workers.count > 1:
        report({"epoch": 1, "step": 0, "epochs": settings.epochs, "label": f"meeting {', '.join(workers.addresses)}"})
    strategy = workers.strategy()
    import tensorflow as tf
    import tf_keras

    anchors = anchor_grid(settings.size, settings.size, **settings.grid)
    batches = SceneBatches(SceneGenerator(train_samples, settings.size), anchors, part, settings.seed)
    write_scene_sheet(batches.maker, settings.seed, out / "scenes.png")
    evaluation = evaluation_set(held, settings.size, settings.seed)
    np.savez_compressed(out / "evaluation.npz", **evaluation)  # type: ignore[arg-type]
    tf_keras.utils.set_random_seed(settings.seed)
    with run.discard_on_failure(), strategy.scope():
        network = ssd.build_network(settings, workers.count > 1)
        imitation = (
            FeatureDistillation(network.backbone, settings.imitate, first_inputs(batches)) if settings.imitate else None
        )
        learner = DetectorTrainer(network, settings.weight_decay, imitation)
    checkpoints = tf.train.CheckpointManager(learner.state, str(run.checkpoint_folder), max_to_keep=2)
    paths = (*checkpoints.checkpoints, checkpoints.latest_checkpoint)  # a clock set back leaves the first empty
    saved = {int(path.rpartition("-")[2]): path for path in paths if path}  # by epoch
    done = max(saved, default=0)
    # A stop may find one worker before, and another behind the end of an epoch: all go on from what all have.
    common = workers.least(strategy, done)
    if common < done:
        if common < done - 1:
            raise WorkersError(
                f"{out} has {done} epochs behind it and another worker's folder {common}: they are not of one training"
            )
        run.truncate_log(common)
    if common:
        learner.state.restore(saved[common]).expect_partial()
    else:
        if settings.weights:
            from ..mobilenet.pretrained_weights import load_backbone

            with run.discard_on_failure():
                load_backbone(learner.model.backbone, settings.weights, first_inputs(batches))
        learner.begin_averages()

    best = run.checkpoint_folder / "best"
    steps = settings.images_per_epoch // settings.batch
    for epoch in range(int(learner.epoch.numpy()), settings.epochs):
        if settings.patience and epoch - int(learner.best_epoch) >= settings.patience:
            break
        begun, busy, losses = time.monotonic(), time.process_time(), []
        for place, batch in enumerate(batches.run(epoch * steps, (epoch + 1) * steps)):
            rate, decay = schedule(settings, epoch * steps + place, settings.epochs * steps)
            loss, class_loss = learner.step(*batch, tf.constant(rate), tf.constant(decay))
            losses.append((float(loss), float(class_loss)))
            if report:
                state = {"epoch": epoch + 1, "epochs": settings.epochs, "step": place + 1, "steps": steps}
                report(state | {"loss": losses[-1][0]})
        speed = steps * settings.batch / (time.monotonic() - begun)
        mean = np.mean(losses, axis=0)
        learner.epoch.assign(epoch + 1)
        with learner.averaged():
            metrics = score(learner.outputs, evaluation, anchors, every=2)
        if settings.patience:
            learner.keep_if_best(metrics.get("map50", 0.0), best)
        checkpoints.save()
        run.log(
            epoch=epoch + 1,
            loss=round(float(mean[0]), 4),
            class_loss=round(float(mean[1]), 4),
            rate=float(rate),
            images_per_second=round(speed, 2),
            core_seconds=round(time.process_time() - busy, 1),
            **metrics,
        )

    if settings.patience:
        learner.take_best(best)
    with learner.averaged():
        last = int(learner.epoch.numpy()) * steps
        # A thousand fresh scenes settle the statistics; a run that was a try is not worth more than it trained on.
        learner.estimate_statistics(batches.run(last, last + min(last, max(8, 1000 // len(part)))))
        metrics = score(learner.outputs, evaluation, anchors)
        inputs = calibration_set(batches.maker, train_samples, settings.seed)
        np.savez_compressed(out / "calibration.npz", images=inputs)
        network = _single_process_network(learner.model, settings, workers)
        macs, parameters = ssd.save_network(network, settings.size, out / "saved_model")
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


def first_inputs(batches: SceneBatches, least: int = 48) -> np.ndarray:
    """Make the first `least` training inputs, or some more, for statistics: (n, size, size, 3) uint8."""
    return np.concatenate([batches.make(step)[0] for step in range(-(-least // len(batches.places)))])


def _single_process_network(model: Any, settings: DetectorSettings, workers: Workers) -> Any:
    """Give a network whose variables are of this process alone, as the writing of a graph needs them."""
    if workers.count == 1:
        return model
    single = ssd.build_network(settings)
    for value, shared in zip(single.variables, model.variables, strict=True):
        value.assign(shared.numpy())
    return single


def schedule(settings: DetectorSettings, step: int, total: int) -> tuple[np.float32, np.float32]:
    """Return the learning rate and the decay of the averaged weights at a step."""
    warm = min(200, total // 10 + 1)
    rate = settings.learning_rate * min(1.0, (step + 1) / warm) * 0.5 * (1 + np.cos(np.pi * step / total))
    return np.float32(rate), np.float32(min(settings.ema, (1 + step) / (10 + step)))
