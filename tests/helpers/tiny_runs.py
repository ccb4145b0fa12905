"""Write two finished runs with small networks whose weights are set by hand.

``make_tiny_runs.py FOLDER``.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.training.run import RunFolder

SIZE = 64
DATA = {
    "hash": "0" * 64,
    "sets": {"rendered": 40},
    "sources": ["rendered"],
    "split": {"seed": 1, "validation_share": 0.5, "validation": 20},
}


class BlobDetector(tf.Module):
    """A detector with a level of 8x8 cells and an anchor per cell.

    The logit is (mean level - 60) / 10, the deltas are 0.
    """

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(np.full((8, 8, 3, 1), 1 / (8 * 8 * 3 * 10), np.float32))  # as a trained one has

    @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="image")])
    def __call__(self, image):
        logits = tf.nn.conv2d(image, self.kernel, 8, "VALID") - 6.0
        none = tf.constant(np.zeros((8, 8, 3, 4), np.float32))
        deltas = tf.nn.conv2d(image, none, 8, "VALID")
        return {"boxes": tf.reshape(deltas, (1, 64, 4)), "scores": tf.reshape(logits, (1, 64))}


class LevelClassifier(tf.Module):
    """Nine logits from the mean levels of red, green and blue.

    Class k is brightest at a level of 28 k.
    """

    @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 3), tf.float32, name="image")])
    def __call__(self, image):
        mean = tf.reduce_mean(image, axis=(1, 2)) / 255.0
        centre = np.arange(9, dtype=np.float32) / 9
        weights = np.repeat((20 * centre / 3)[None], 3, axis=0)
        return {"logits": tf.matmul(mean, tf.constant(weights)) - tf.constant(10 * centre**2)}


class FragileClassifier(LevelClassifier):
    """A level classifier in float whose hidden unit takes the whole range of int8.

    The unit is 10,000 times as large as the others.
    """

    size = 1e4

    @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 3), tf.float32, name="image")])
    def __call__(self, image):
        mean = tf.reduce_mean(image, axis=(1, 2)) / 255.0
        first = np.hstack([np.eye(3), np.full((3, 1), self.size)]).astype(np.float32)
        hidden = tf.nn.relu(tf.matmul(mean, tf.constant(first)))
        centre = np.arange(9, dtype=np.float32) / 9
        weights = np.vstack([np.repeat((20 * centre / 3)[None], 3, axis=0), np.zeros((1, 9))]).astype(np.float32)
        return {"logits": tf.matmul(hidden, tf.constant(weights)) - tf.constant(10 * centre**2)}


class WideClassifier(FragileClassifier):
    """The same with a unit only 60 times as large: too much for 8 bits, not for 16."""

    size = 60.0


class SpikedClassifier(FragileClassifier):
    """A level classifier where red pixels make a hidden unit 60 times as large.

    Where pixels are grey it gives the same as the others.
    """

    @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 3), tf.float32, name="image")])
    def __call__(self, image):
        first = np.hstack([np.eye(3), [[60.0], [-60.0], [0.0]]]).astype(np.float32)
        hidden = tf.nn.relu(tf.nn.conv2d(image / 255.0, tf.constant(first[None, None]), 1, "VALID"))
        centre = np.arange(9, dtype=np.float32) / 9
        weights = np.vstack([np.repeat((20 * centre / 3)[None], 3, axis=0), np.zeros((1, 9))]).astype(np.float32)
        return {
            "logits": tf.matmul(tf.reduce_mean(hidden, axis=(1, 2)), tf.constant(weights)) - tf.constant(10 * centre**2)
        }


def scenes(rng, count):
    """Render one bright cell a frame, with the anchor's box of 16 pixels as truth."""
    images, boxes = [], []
    for _ in range(count):
        row, column = rng.integers(1, 7, 2)
        image = rng.integers(0, 20, (SIZE, SIZE, 3)).astype(np.uint8)
        image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = rng.integers(120, 255)
        images.append(image)
        boxes.append([8 * column - 4, 8 * row - 4, 8 * column + 12, 8 * row + 12])
    return np.stack(images), np.asarray(boxes, np.float32)


def main(folder):
    rng = np.random.default_rng(1)
    run = RunFolder(folder / "detector", "detect", {"seed": 1}, DATA, resume=False)
    network = BlobDetector()
    tf.saved_model.save(network, str(run.folder / "saved_model"), signatures=network.__call__)
    np.savez_compressed(run.folder / "calibration.npz", images=scenes(rng, 20)[0])
    images, boxes = scenes(rng, 20)
    np.savez_compressed(
        run.folder / "evaluation.npz",
        images=images,
        boxes=boxes,
        box_frame=np.arange(20),
        complete=np.ones(20, bool),
        ignore=np.zeros((0, 4), np.float32),
        ignore_frame=np.zeros(0, int),
        negative=np.zeros(20, bool),
        set=np.array(["left", "right"] * 10),
    )
    decode = {
        "min_level": 3,
        "max_level": 3,
        "anchor_size": 2.0,
        "scales_per_octave": 1,
        "aspect_ratios": [1.0],
        "box_weights": [10.0, 10.0, 5.0, 5.0],
    }
    run.finish(
        {
            "input": {"width": SIZE, "height": SIZE},
            "preprocess": {"kind": "letterbox", "fill": 0},
            "decode": decode,
            "outputs": ["boxes", "scores"],
            "classes": ["galaxy"],
            "parameters": 193,
            "macs": 12288,
        },
        {},
    )

    write_classifier(folder / "classifier", LevelClassifier(), rng)
    write_classifier(folder / "fragile", FragileClassifier(), rng)
    write_classifier(folder / "wide", WideClassifier(), rng)
    write_classifier(folder / "spiked", SpikedClassifier(), rng, spike=True)


def write_classifier(folder, network, rng, spike=False):
    run = RunFolder(folder, "classify", {"seed": 1}, DATA, resume=False)
    tf.saved_model.save(network, str(run.folder / "saved_model"), signatures=network.__call__)
    levels = rng.integers(0, 9, 90)
    images = np.stack([np.full((16, 16, 3), 28 * level + 3, np.uint8) for level in levels])
    calibration = images.copy()
    if spike:  # one pixel of 23,040: as rare as a cosmic ray
        calibration[0, 4, 7] = 255, 0, 0
    np.savez_compressed(run.folder / "calibration.npz", images=calibration)
    np.savez_compressed(run.folder / "evaluation.npz", images=images, labels=levels)
    run.finish(
        {
            "input": {"width": 16, "height": 16},
            "preprocess": {"kind": "crop", "margin": 0.25},
            "decode": {"temperature": 1.0},
            "outputs": ["logits"],
            "classes": list(CLASSES),
            "parameters": 36,
            "macs": 27,
        },
        {},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
