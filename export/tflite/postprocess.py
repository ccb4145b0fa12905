"""Convert a detector with TFLite_Detection_PostProcess.

Third-party programs expect the four outputs of this operator.

The operator decodes boxes and does non-maximum suppression inside the interpreter. It computes in float; everything
before it can be int8. Its source: tensorflow/lite/kernels/detection_postprocess.cc.
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
        nms_iou: IoU above which a box is suppressed; limit: maximum number of detections.

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
    loaded = tf.saved_model.load(str(saved_model))  # keeps the variables alive, which a signature does not
    network = loaded.signatures["serving_default"]
    ((name, spec),) = network.structured_input_signature[1].items()

    @tf.function(experimental_implements=_description(weights, nms_iou, limit))  # type: ignore[untyped-decorator]
    def decode(boxes: Any, scores: Any, anchor_boxes: Any) -> Any:
        # The converter replaces this function by the operator; only the shapes matter.
        dummy = boxes[:, :limit, :] * 0.0 + tf.reduce_sum(scores) * 0.0 + tf.reduce_sum(anchor_boxes) * 0.0
        return dummy, dummy[:, :, 0], dummy[:, :, 1], dummy[:, 0, 0]

    @tf.function(input_signature=[tf.TensorSpec(spec.shape, spec.dtype, name="image")])  # type: ignore[untyped-decorator]
    def predict(image: Any) -> dict[str, Any]:
        raw = network(**{name: image})
        scores = tf.sigmoid(tf.reshape(raw["scores"], (1, len(anchors), 1)))
        return dict(zip(POSTPROCESSED, decode(raw["boxes"], scores, tf.constant(anchors)), strict=True))

    holder = tf.Module()
    holder.loaded, holder.predict = loaded, predict
    with tempfile.TemporaryDirectory() as folder:
        try:
            tf.saved_model.save(holder, folder, signatures={"serving_default": predict})
        except (ValueError, TypeError) as error:
            raise ExportError(f"{POSTPROCESS} cannot be added to {saved_model}: {error}") from error
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
    values |= {f"{axis}_scale": f"f: {weight}" for axis, weight in zip("yxhw", weights, strict=True)}
    attributes = "".join(f' attr {{ key: "{key}" value {{ {value} }} }}' for key, value in values.items())
    return f'name: "{POSTPROCESS}"{attributes}'
