"""The detector with TFLite_Detection_PostProcess behind it: the four classic outputs, for other people's programs.

The operator decodes boxes and suppresses doubles inside the interpreter. It works in float; everything before it can be
int8. Its source: tensorflow/lite/kernels/detection_postprocess.cc.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...models.decode import anchor_grid
from ...runtime.inference.detector import POSTPROCESSED
from ...runtime.inference.evaluation import MIN_EVALUATED_SCORE
from ..errors import ExportError
from .convert import convert_saved_model
from .reader import POSTPROCESS


def convert_with_postprocess(saved_model: Path, model: dict[str, Any], nms_iou: float, limit: int) -> bytes:
    """Convert a detector to float TFLite with the operator at its end.

    Args:
        saved_model: with outputs ``boxes`` (deltas) and ``scores`` (logits of one class).
        model: with ``input`` and ``decode``, as in a run's record.
        nms_iou: overlap from which on a box is a double; limit: at most so many detections.

    Raises:
        ExportError: it cannot be converted.
    """
    import tensorflow as tf

    width, height = model["input"]["width"], model["input"]["height"]
    grid = {
        key: value
        for key, value in model["decode"].items()
        if key in ("min_level", "max_level", "anchor_size", "scales_per_octave", "aspect_ratios")
    }
    anchors = anchor_grid(width, height, **grid) / np.asarray([height, width, height, width], np.float32)
    limit = min(limit, len(anchors))
    weights = model["decode"]["box_weights"]
    loaded = tf.saved_model.load(str(saved_model))  # a signature does not keep the variables: who loaded it must
    network = loaded.signatures["serving_default"]
    ((name, spec),) = network.structured_input_signature[1].items()

    @tf.function(experimental_implements=_description(weights, nms_iou, limit))
    def decode(boxes: Any, scores: Any, places: Any) -> Any:
        # The converter puts the operator in the place of this; only the shapes matter.
        some = boxes[:, :limit, :] * 0.0 + tf.reduce_sum(scores) * 0.0 + tf.reduce_sum(places) * 0.0
        return some, some[:, :, 0], some[:, :, 1], some[:, 0, 0]

    @tf.function(input_signature=[tf.TensorSpec(spec.shape, spec.dtype, name="image")])
    def whole(image: Any) -> dict[str, Any]:
        found = network(**{name: image})
        scores = tf.sigmoid(tf.reshape(found["scores"], (1, len(anchors), 1)))
        return dict(zip(POSTPROCESSED, decode(found["boxes"], scores, tf.constant(anchors)), strict=True))

    holder = tf.Module()
    holder.loaded, holder.whole = loaded, whole
    with tempfile.TemporaryDirectory() as folder:
        try:
            tf.saved_model.save(holder, folder, signatures={"serving_default": whole})
        except (ValueError, TypeError) as problem:
            raise ExportError(f"{POSTPROCESS} cannot be put behind {saved_model}: {problem}") from problem
        return convert_saved_model(Path(folder), custom=True)


def _description(weights: list[float], nms_iou: float, limit: int) -> str:
    values = {
        "max_detections": f"i: {limit}",
        "max_classes_per_detection": "i: 1",
        "detections_per_class": f"i: {limit}",
        "use_regular_nms": "b: false",
        "nms_score_threshold": f"f: {MIN_EVALUATED_SCORE}",
        "nms_iou_threshold": f"f: {nms_iou}",
        "num_classes": "i: 1",
    }
    values |= {f"{of}_scale": f"f: {weight}" for of, weight in zip("yxhw", weights, strict=True)}
    attributes = "".join(f' attr {{ key: "{key}" value {{ {value} }} }}' for key, value in values.items())
    return f'name: "{POSTPROCESS}"{attributes}'
