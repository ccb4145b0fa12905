"""Detectors of several classes.

Person where an image is dark, galaxy where it is bright, dog where it is dark.
"""

import numpy as np
import tensorflow as tf
from galaxy_edge.export.tflite import postprocess
from galaxy_edge.export.tflite.convert import convert_saved_model
from galaxy_edge.models.decode import anchor_grid
from galaxy_edge.runtime.inference.detector import POSTPROCESSED

SIZE = 64
ANCHORS = {
    "min_level": 3, "max_level": 3, "anchor_size": 2.0, "scales_per_octave": 1, "aspect_ratios": [1.0],
}  # fmt: skip


class SeveralClasses(tf.Module):
    """64 cells of 8x8, one anchor a cell, deltas 0.

    The logit of class 1 grows with the level, the others fall.
    """

    def __init__(self, decoded):
        super().__init__()
        self.decoded = decoded

    @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="image")])
    def __call__(self, image):
        kernel = np.full((8, 8, 3, 1), 1 / (8 * 8 * 3 * 10), np.float32)
        level = tf.nn.conv2d(image, tf.constant(kernel), 8, "VALID")
        logits = tf.reshape(tf.concat([3.0 - level, level - 6.0, 2.0 - level], -1), (1, 64, 3))
        none = tf.constant(np.zeros((8, 8, 3, 4), np.float32))
        boxes = tf.reshape(tf.nn.conv2d(image, none, 8, "VALID"), (1, 64, 4))
        if not self.decoded:
            return {"boxes": boxes, "scores": logits}
        anchors = tf.constant(anchor_grid(SIZE, SIZE, **ANCHORS) / np.float32(SIZE))
        return dict(zip(POSTPROCESSED, self.decode(boxes, tf.sigmoid(logits), anchors), strict=True))

    @property
    def decode(self):
        text = postprocess._description([10.0, 10.0, 5.0, 5.0], 0.5, 20)
        text = text.replace('"num_classes" value { i: 1 }', '"num_classes" value { i: 3 }')

        @tf.function(experimental_implements=text)
        def decode(boxes, scores, anchors):
            dummy = boxes[:, :20, :] * 0.0 + tf.reduce_sum(scores) * 0.0 + tf.reduce_sum(anchors) * 0.0
            return dummy, dummy[:, :, 0], dummy[:, :, 1], dummy[:, 0, 0]

        return decode


def write_multi_class(folder, decoded):
    """Write ``network.tflite`` of three classes and ``decode.toml``.

    The network is with or without post-processing.
    """
    model = SeveralClasses(decoded)
    tf.saved_model.save(model, str(folder / "model"), signatures={"serving_default": model.__call__})
    (folder / "network.tflite").write_bytes(convert_saved_model(folder / "model", custom=True))
    lines = [f"{key} = {value}" for key, value in ANCHORS.items()]
    (folder / "decode.toml").write_text("\n".join([*lines, "box_weights = [10.0, 10.0, 5.0, 5.0]"]) + "\n")
    return folder / "network.tflite"
