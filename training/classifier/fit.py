"""Train a galaxy classifier by a recipe and write its run folder.

Two kinds of labels are trained on together: a class, or only its coarse group, whose loss is the log of the summed
probability of the group's classes. AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), an average of the weights,
mixup (Zhang et al. 2018, arXiv:1710.09412), soft targets of a teacher (Hinton et al. 2015, arXiv:1503.02531): each
only where the recipe asks for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...files import file_hash
from ...models.classification_metrics import classification_metrics
from ...models.decode import softmax
from ..augmentation.presets import TELESCOPES
from ..data.errors import DataError
from ..data.splits import data_hash
from ..progress import Report
from ..run import RunFolder, RunRecord, load_resumable_record, lock_run_folder, write_arrays
from ..threads import set_threads
from .attributes import with_attributes
from .balancing import class_weights
from .batches import BatchLoader
from .dataset import GalaxyDataset, describe_dataset
from .domain_limits import calibrate_on_views, telescope_views
from .exported_weights import choose_share, load_exported, read_weights
from .keras_utils import multiply_adds, refresh_normalisation, save_network
from .last_layer import refit_last_layer, save_trained_layer, training_inputs
from .partition import check_trainable
from .recipe import Recipe, build
from .schedules import Cycles, Plateau
from .trainer import ClassifierTrainer
from .validation import calibrate_and_measure, compile_forward, log_loss, predict, write_plots

CALIBRATION_IMAGES = 300
REFRESH_BATCHES = 50
"""Batches over which the normalisation statistics of averaged weights are measured."""

START_BATCHES = 8
"""Batches over which the normalisation statistics of an exported network are measured."""

Schedule = Cycles | Plateau


# Long because every option of a training is a separate argument that is documented here.
def fit(
    recipe: Recipe,
    train: GalaxyDataset,
    validation: GalaxyDataset,
    out: Path,
    *,
    seed: int = 1,
    resume: bool = False,
    threads: int = 1,
    report: Report | None = None,
    weights: Any = None,
    split: dict[str, Any] | None = None,
    soft: np.ndarray | None = None,
    teachers: Sequence[str] = (),
    start: Path | None = None,
) -> RunRecord:
    """Train a classifier.

    Args:
        recipe: see `recipe.Recipe`.
        train: images to train on, some of them with a class.
        validation: images to validate on, all with a class.
        out: the run folder.
        seed: of the draws and the initial weights.
        resume: continue the run in `out`; at most one epoch is lost by an interruption. A finished run is not changed.
        threads: of TensorFlow and OpenCV.
        report: called after every step and, with the macro F1, after every epoch, see `Report`.
        weights: pretrained weights of the network, see `recipe.build`.
        split: how train and validation were split, for the record.
        soft: (N, C) soft targets of the training images, or None.
        teachers: hashes of the networks that gave them, for the record.
        start: float32 TFLite file of an exported network of the recipe to continue from; None: random weights.

    Returns:
        The run's record. The network that is kept has the best weights on validation under a plateau schedule, the
        last (averaged) ones under a cyclic schedule.

    Raises:
        DataError: no image has a class to train or validate on, or all are of one class.
        RunError: `out` holds another run, or one and `resume` is not given, or another process writes to it.
    """
    check_trainable(train, validation)
    if recipe.votes and not train.voted.any():
        raise DataError("no training image has shares of votes (columns p0 to p9 of Galaxy Zoo 2): leave --votes out")
    set_threads(threads)
    data = describe_dataset(train) | {"split": {**(split or {}), "train": len(train), "validation": len(validation)}}
    data["boxes"] = data_hash((*train.crop_ids, *validation.crop_ids))
    settings = {**recipe.to_dict(), "seed": seed, "threads": threads, "taught": soft is not None}
    settings["weights"] = _weights_name(recipe, weights)
    if recipe.pretrained and isinstance(weights, Path) and weights.is_file():
        settings["weights_hash"] = file_hash(weights)
    settings |= {"teachers": list(teachers), "start": file_hash(start) if start else None}
    with lock_run_folder(out):
        before = load_resumable_record(out, "classify", settings, data, resume)
        if before and before.is_finished and before.settings["epochs"] == recipe.epochs:
            return before
        # Errors in weights, network and classes are found before anything is written.
        keras.utils.set_random_seed(seed)
        network = build(recipe, len(train.classes), weights)
        if recipe.balance != "root":
            class_weights(train.labels[train.labelled], recipe.balance, len(train.classes), train.classes)
        run = RunFolder(out, "classify", settings, data, resume)
        images = validation.images(recipe.size)
        write_arrays(out / "evaluation.npz", images=images, labels=validation.labels, set=np.array(validation.sources))
        loader = BatchLoader(recipe, train, network, seed, soft)
        write_arrays(out / "calibration.npz", images=loader.calibration(CALIBRATION_IMAGES))
        if start:
            load_exported(network, start, np.concatenate(list(loader.refresh_batches(START_BATCHES))))
        average = loader.make_average(lambda: build(recipe, len(train.classes), weights))
        _run_epochs(run, recipe, loader, average, validation, images, report)
        return _finish(run, recipe, loader, average, train, validation, images, start)


def _weights_name(recipe: Recipe, weights: Any) -> str | None:
    """Return the name of the pretrained weights, None for a recipe that takes none."""
    return str(getattr(weights, "name", weights)) if recipe.pretrained and weights is not None else None


def _run_epochs(
    run: RunFolder,
    recipe: Recipe,
    loader: BatchLoader,
    average: keras.Model,
    validation: GalaxyDataset,
    images: np.ndarray,
    report: Report | None,
) -> None:
    """Train from the last checkpoint, and leave the weights to keep in `average`."""
    networks = loader.trainable, average
    if loader.attributes:
        networks = with_attributes(loader.trainable), with_attributes(average)
    trainer = ClassifierTrainer(*networks, recipe, loader.attributes)
    schedule = _make_schedule(recipe, loader.steps)
    checkpoint = run.checkpoint_folder / "state.npz"
    first = _load_checkpoint(run, trainer, checkpoint, schedule) if run.resumed else 0
    board = tf.summary.create_file_writer(str(run.folder / "tensorboard"))
    inputs, forward = loader.frozen_features(images), compile_forward(average)

    for epoch in range(first, recipe.epochs):
        if schedule.is_over:
            break
        loss = _train_epoch(trainer, loader, schedule, epoch, recipe, report)
        logits = forward(inputs)
        scores = classification_metrics(softmax(logits), validation.labels, validation.classes)
        validation_loss = log_loss(logits, validation.labels)
        values = {
            "epoch": epoch + 1,
            "loss": loss,
            "val_loss": validation_loss,
            "macro_f1": scores.macro_f1,
            "accuracy": scores.accuracy,
        }
        if schedule.update(validation_loss):
            trainer.keep_best()
        run.log(**values, rate=float(trainer.optimizer.learning_rate), coarse_accuracy=scores.coarse_accuracy)
        trainer.save(checkpoint, epoch + 1, schedule)
        with board.as_default(step=epoch + 1):
            for name in ("loss", "val_loss", "macro_f1", "accuracy"):
                tf.summary.scalar(name, values[name])
        if report:
            shown = {name: values[name] for name in ("epoch", "loss", "macro_f1")}
            report(shown | {"epochs": recipe.epochs, "steps": loader.steps})
    board.close()

    if recipe.schedule == "plateau":
        trainer.restore_best()
    elif recipe.average:
        refresh_normalisation(average, loader.refresh_batches(min(REFRESH_BATCHES, 2 * loader.steps)))


def _load_checkpoint(run: RunFolder, trainer: ClassifierTrainer, checkpoint: Path, schedule: Schedule) -> int:
    """Load the last checkpoint; return the number of epochs trained until then."""
    epoch = trainer.load(checkpoint, schedule)
    run.truncate_log(epoch)  # epochs after a checkpoint that was lost are trained again
    return epoch


def _make_schedule(recipe: Recipe, steps: int) -> Schedule:
    if recipe.schedule == "cycles":
        return Cycles(recipe.rates, steps, recipe.epochs)
    return Plateau(recipe.rates[0], recipe.factor, recipe.patience, recipe.stop_after)


def _train_epoch(
    trainer: ClassifierTrainer,
    loader: BatchLoader,
    schedule: Schedule,
    epoch: int,
    recipe: Recipe,
    report: Report | None,
) -> float:
    """Train one epoch; return its mean loss."""
    total, plain = 0.0, schedule.is_last_cycle(epoch)
    for number, batch in enumerate(loader.epoch(epoch, plain)):
        step = epoch * loader.steps + number
        trainer.optimizer.learning_rate = schedule.rate(step)
        loss = trainer.step(batch, 0.0 if plain else recipe.smoothing, step)
        total += loss
        if report:
            state = {"epoch": epoch + 1, "epochs": recipe.epochs, "step": number + 1, "steps": loader.steps}
            report(state | {"loss": loss})
    return total / loader.steps


def _finish(
    run: RunFolder,
    recipe: Recipe,
    loader: BatchLoader,
    average: keras.Model,
    train: GalaxyDataset,
    validation: GalaxyDataset,
    images: np.ndarray,
    start: Path | None,
) -> RunRecord:
    """Refine, evaluate and write the trained network, and complete the record."""
    out, seed = run.folder, run.record.settings["seed"]
    network = loader.complete_network(average)
    on_views = recipe.views == TELESCOPES
    views = telescope_views(validation, recipe.size, seed) if start or on_views else None
    blended, refitted = {}, {}
    if start and views:
        inputs = np.concatenate(list(loader.refresh_batches(START_BATCHES)))
        blended = choose_share(network, read_weights(start), inputs, (images, validation.labels), views)
    if recipe.refit:
        sets = [(images, validation.labels), *([views] if on_views and views else [])]
        save_trained_layer(network, out)
        refitted = refit_last_layer(network, training_inputs(train, recipe.size, seed, on_views, recipe.votes), sets)
    logits = predict(network, images)
    chosen, measured, checked = None, dict[str, Any](), dict[str, Any]()
    if on_views:
        chosen, measured, checked = calibrate_on_views(compile_forward(network), images, validation, seed)
    decode, metrics = calibrate_and_measure(logits, validation, out, chosen, checked)
    found = {"sure": measured, "blended": blended, "refitted": refitted}
    metrics |= {name: values for name, values in found.items() if values}
    network.save(out / "model.keras")
    write_plots(out, run.read_log(), logits, decode["temperature"], metrics, validation)
    shutil.rmtree(out / "saved_model", ignore_errors=True)
    save_network(network, out / "saved_model", recipe.size)
    return run.finish(
        {
            "input": {"width": recipe.size, "height": recipe.size},
            "preprocess": {"kind": "crop", "margin": recipe.margin},
            "decode": decode,
            "outputs": ["logits"],
            "classes": list(validation.classes),
            "parameters": network.count_params(),
            "macs": multiply_adds(network),
        },
        metrics,
        network_hash=file_hash(out / "model.keras"),
    )
