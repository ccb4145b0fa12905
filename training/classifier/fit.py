"""Train a network that names galaxies, by a recipe, and write its run folder.

Two kinds of labels teach together: a class, or only its coarse group, whose loss is the log of the summed
probability of the group's classes. AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), an average of the weights,
mixup (Zhang et al. 2018, arXiv:1710.09412), soft targets of a teacher (Hinton et al. 2015, arXiv:1503.02531): each
only where the recipe asks for it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from ...models.classification_metrics import classification_metrics
from ...models.decode import softmax
from ..data.sample import DataError
from ..data.splits import name_of
from ..figures.plots import accuracy_coverage as draw_coverage
from ..figures.plots import confusion_matrix, learning_curves, reliability
from ..run import RunFolder, RunRecord, load_resumable_record, lock_run_folder
from .attributes import with_attributes
from .balancing import class_weights
from .batches import BatchLoader
from .calibration import abstain_threshold, accuracy_coverage, fit_temperature
from .dataset import GalaxyDataset, describe_dataset
from .keras_utils import multiply_adds, refresh_normalisation, save_network
from .recipe import Recipe, build
from .schedules import Cycles, Plateau
from .trainer import ClassifierTrainer

CALIBRATION_IMAGES = 300
TARGET_ACCURACY = 0.85
"""Accuracy, proven on validation, of the names that are given without a doubt."""
REFRESH_BATCHES = 50
"""Batches after which the statistics of averaged weights are settled."""


def set_threads(threads: int) -> None:
    """Set the threads of TensorFlow and OpenCV; where TensorFlow is at work already, of OpenCV only."""
    cv2.setNumThreads(threads)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass


def _name(recipe: Recipe, weights: Any) -> str | None:
    """Name the pretrained weights of a recipe that takes any."""
    return str(getattr(weights, "name", weights)) if recipe.pretrained and weights is not None else None


Forward = Callable[[np.ndarray], np.ndarray]


def compile_forward(network: keras.Model, batch: int = 64) -> Forward:
    """Make the function from pictures (N, size, size, 3) uint8 to logits (N, C) float32, which follows the weights."""
    run = tf.function(lambda inputs: network(inputs, training=False), reduce_retracing=True)

    def predict(images: np.ndarray) -> np.ndarray:
        parts = [run(tf.constant(images[at : at + batch], tf.float32)).numpy() for at in range(0, len(images), batch)]
        return np.concatenate(parts) if parts else np.zeros((0, network.output_shape[-1]), np.float32)

    return predict


def predict(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """Run pictures (N, size, size, 3) uint8 through a network once: (N, C) float32 logits."""
    return compile_forward(network)(images)


def evaluate_logits(logits: np.ndarray, pictures: GalaxyDataset, temperature: float = 1.0) -> dict[str, Any]:
    """Measure logits (N, C) of labelled pictures, all together and, in ``sets``, of each source."""
    probabilities = softmax(logits, temperature)
    origin = np.array(pictures.sources)
    metrics = classification_metrics(probabilities, pictures.labels, pictures.classes)
    metrics["sets"] = {
        name: classification_metrics(probabilities[origin == name], pictures.labels[origin == name], pictures.classes)
        for name in sorted(set(pictures.sources))
    }
    return metrics


def fit(
    recipe: Recipe,
    train: GalaxyDataset,
    validation: GalaxyDataset,
    out: Path,
    *,
    seed: int = 1,
    resume: bool = False,
    threads: int = 1,
    report: Callable[[dict[str, Any]], None] | None = None,
    weights: Any = None,
    split: dict[str, Any] | None = None,
    soft: np.ndarray | None = None,
    teachers: Sequence[str] = (),
) -> RunRecord:
    """Train a classifier.

    Args:
        recipe: see `recipe.Recipe`.
        train: pictures to learn from, some of them with a class; validation: with a class each.
        out: the run folder.
        seed: of the draws and the initial weights.
        resume: go on with the run that is there; at most one epoch is lost by a stop, and one that is finished is
            left as it is.
        report: called after every epoch with epoch, epochs, loss, macro_f1.
        weights: pretrained weights of the network, see `recipe.build`.
        split: how the parts were made, for the record.
        soft: (N, C) probabilities that a teacher gives the training pictures, or None.
        teachers: hashes of their networks, for the record.

    Returns:
        The run's record. What is kept of a network on a plateau schedule is its best on validation, otherwise its last.

    Raises:
        DataError: there is no picture with a class to learn from, or to validate on, or all are of one class.
        RunError: `out` holds another run, or one and `resume` is not given, or another process is at work there.
    """
    if not len(train.labelled) or not len(validation):
        raise DataError(
            f"of {len(train)} training and {len(validation)} validation pictures too few have a class: add some that do"
        )
    if len(found := np.unique(train.labels[train.labelled])) < 2:
        only = name_of(found[0], train.classes)
        raise DataError(f"all pictures to learn from are of {only}: nothing can be told apart")
    set_threads(threads)
    data = describe_dataset(train) | {"split": {**(split or {}), "train": len(train), "validation": len(validation)}}
    settings = {**recipe.to_dict(), "seed": seed, "threads": threads, "taught": soft is not None}
    settings["weights"] = _name(recipe, weights)
    if teachers:
        settings["teachers"] = list(teachers)
    with lock_run_folder(out):
        before = load_resumable_record(out, "classify", settings, data, resume)
        if before and before.is_finished and before.settings["epochs"] == recipe.epochs:
            return before
        # Whatever may be wrong with weights, network and classes is found before anything is written.
        keras.utils.set_random_seed(seed)
        network = build(recipe, len(train.classes), weights)
        if recipe.balance != "root":
            class_weights(train.labels[train.labelled], recipe.balance, len(train.classes), train.classes)
        run = RunFolder(out, "classify", settings, data, resume)
        return _train(run, network, recipe, train, validation, seed, weights, soft, report)


def _train(
    run: RunFolder,
    network: keras.Model,
    recipe: Recipe,
    train: GalaxyDataset,
    validation: GalaxyDataset,
    seed: int,
    weights: Any,
    soft: np.ndarray | None,
    report: Callable[[dict[str, Any]], None] | None,
) -> RunRecord:
    """Train a network in its run folder, from the last checkpoint there; see `fit`."""
    out, classes = run.folder, train.classes
    images = validation.images(recipe.size)
    np.savez(out / "evaluation.npz", images=images, labels=validation.labels, set=np.array(validation.sources))
    feed = BatchLoader(recipe, train, network, seed, soft)
    np.savez(out / "calibration.npz", images=feed.calibration(CALIBRATION_IMAGES))
    average = feed.make_average(lambda: build(recipe, len(classes), weights))
    pair = (with_attributes(feed.trainable), with_attributes(average)) if feed.attributes else (feed.trainable, average)
    learner = ClassifierTrainer(*pair, recipe, feed.attributes)
    schedule: Cycles | Plateau = (
        Cycles(recipe.rates, feed.steps, recipe.epochs)
        if recipe.schedule == "cycles"
        else Plateau(recipe.rates[0], recipe.factor, recipe.patience, recipe.stop_after)
    )
    checkpoint = run.checkpoint_folder / "state.npz"
    first = learner.load(checkpoint, schedule) if run.resumed else 0
    board = tf.summary.create_file_writer(str(out / "tensorboard"))
    shown, look = feed.frozen_features(images), compile_forward(average)

    for epoch in range(first, recipe.epochs):
        if schedule.is_over:
            break
        total, plain = 0.0, schedule.is_last_cycle(epoch)
        for step, batch in enumerate(feed.epoch(epoch, plain)):
            learner.optimizer.learning_rate = schedule.rate(epoch * feed.steps + step)
            total += learner.step(batch, 0.0 if plain else recipe.smoothing, epoch * feed.steps + step)
        logits = look(shown)
        scores = classification_metrics(softmax(logits), validation.labels, classes)
        values = {
            "epoch": epoch + 1,
            "loss": total / feed.steps,
            "val_loss": log_loss(logits, validation.labels),
            "macro_f1": scores["macro_f1"],
            "accuracy": scores["accuracy"],
        }
        if schedule.update(values["val_loss"]):
            learner.keep_best()
        learner.save(checkpoint, epoch + 1, schedule)
        run.log(**values, rate=float(learner.optimizer.learning_rate), coarse_accuracy=scores["coarse_accuracy"])
        with board.as_default(step=epoch + 1):
            for name in ("loss", "val_loss", "macro_f1", "accuracy"):
                tf.summary.scalar(name, values[name])
        if report:
            report({name: values[name] for name in ("epoch", "loss", "macro_f1")} | {"epochs": recipe.epochs})
    board.close()

    if recipe.schedule == "plateau":
        learner.restore_best()
    elif recipe.average:
        refresh_normalisation(average, feed.refresh_batches(min(REFRESH_BATCHES, 2 * feed.steps)))
    kept = feed.complete_network(average)
    logits = predict(kept, images)
    temperature = fit_temperature(logits, validation.labels)
    metrics = evaluate_logits(logits, validation, temperature)
    metrics["ece_before"] = evaluate_logits(logits, validation)["ece"]
    metrics["chosen_on"] = "validation"
    decode = {"temperature": temperature} | _abstaining(softmax(logits, temperature), validation.labels, out, metrics)
    np.savez(
        out / "predictions.npz",
        logits=logits,
        labels=validation.labels,
        set=np.array(validation.sources),
        ids=np.array(validation.ids),
    )
    kept.save(out / "model.keras")
    _plot(out, logits, temperature, metrics, classes, validation.labels)
    shutil.rmtree(out / "saved_model", ignore_errors=True)
    save_network(kept, out / "saved_model", recipe.size)
    return run.finish(
        {
            "input": {"width": recipe.size, "height": recipe.size},
            "preprocess": {"kind": "crop", "margin": recipe.margin},
            "decode": decode,
            "outputs": ["logits"],
            "classes": list(classes),
            "parameters": kept.count_params(),
            "macs": multiply_adds(kept),
        },
        metrics,
    )


def _abstaining(probabilities: np.ndarray, labels: np.ndarray, out: Path, metrics: dict[str, Any]) -> dict[str, float]:
    """Choose the probability below which a name is a guess, and draw what that costs; none where none is provable."""
    thresholds, coverage, accuracy = accuracy_coverage(probabilities, labels)
    try:
        chosen = abstain_threshold(probabilities, labels, TARGET_ACCURACY)
    except DataError as problem:
        metrics["abstain"] = {"accuracy_wanted": TARGET_ACCURACY, "none": str(problem)}
        return {}
    named = probabilities.max(axis=1) >= chosen
    right = probabilities.argmax(axis=1)[named] == labels[named]
    metrics["abstain"] = {
        "accuracy_wanted": TARGET_ACCURACY,
        "threshold": chosen,
        "coverage": float(named.mean()),
        "accuracy": float(right.mean()),
    }
    draw_coverage(coverage, accuracy, chosen, out / "coverage.png", thresholds)
    return {"abstain": round(chosen, 4)}


def _plot(
    out: Path,
    logits: np.ndarray,
    temperature: float,
    metrics: dict[str, Any],
    classes: tuple[str, ...],
    labels: np.ndarray,
) -> None:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    learning_curves(rows, out / "learning.png")
    confusion_matrix(np.array(metrics["confusion"]), classes, out / "confusion.png")
    reliability(softmax(logits), softmax(logits, temperature), labels, out / "reliability.png")


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the negative log probability of the true classes."""
    return float(-np.log(softmax(logits)[np.arange(len(labels)), labels] + 1e-9).mean())
