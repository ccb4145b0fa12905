"""The detector's networks, built from tf-models-official (``official.vision``).

SSD: MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) and a feature pyramid of separable convolutions (Lin et al.
2017, arXiv:1612.03144). Quick: the same with the backbone of `quick_backbone`. EfficientDet: EfficientNet (Tan and Le
2019, arXiv:1905.11946) without squeeze-and-excite, and `bifpn`. All: a separable head shared by the levels, one class,
one logit per anchor.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from ...errors import MissingExtra
from ...extras import extra_command
from ...runtime.system.native_output import suppress_native_stderr
from ..mobilenet.architecture import INPUT_OFFSET, INPUT_SCALE
from .bifpn import bifpn
from .quick_backbone import quick_backbone
from .settings import DetectorSettings


def _tensorflow() -> Any:
    try:
        import tensorflow as tf
        import tf_keras  # noqa: F401
        from official.vision.modeling import factory  # noqa: F401
    except ImportError as error:
        raise MissingExtra(f"training a detector needs {error.name}: {extra_command('detector')}") from error
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Backbones have more levels than pyramids use, and pyramids more than small heads use, on purpose.
    warnings.filterwarnings("ignore", message="Input dict contained keys")
    return tf


def build_network(settings: DetectorSettings, synchronized: bool = False) -> Any:
    """Build the network with random weights.

    Args:
        synchronized: normalise by the whole batch if it is divided among workers.

    Returns:
        the official RetinaNet model; call it through `raw_outputs`.
    """
    tf = _tensorflow()
    import tf_keras
    from official.vision.configs import common, decoders, retinanet
    from official.vision.modeling import factory
    from official.vision.modeling.backbones.efficientnet import EfficientNet
    from official.vision.modeling.backbones.mobilenet import MobileNet

    size, filters = settings.size, settings.fpn_filters
    config = retinanet.RetinaNet(
        num_classes=1,
        input_size=[size, size, 3],
        min_level=settings.min_level,
        max_level=settings.max_level,
        anchor=retinanet.Anchor(
            num_scales=settings.scales_per_octave,
            aspect_ratios=list(settings.aspect_ratios),
            anchor_size=settings.anchor_size,
        ),
        decoder=decoders.Decoder(
            type="fpn", fpn=decoders.FPN(num_filters=filters, use_separable_conv=True, use_keras_layer=True)
        ),
        head=retinanet.RetinaNetHead(
            num_convs=settings.head_convs, num_filters=filters, use_separable_conv=True, share_level_convs=True
        ),
        # In short runs statistics with the usual momentum of 0.99 lag behind the weights.
        norm_activation=common.NormActivation(activation="relu6", use_sync_bn=synchronized, norm_momentum=0.9),
    )
    norm = {"norm_momentum": 0.9, "use_sync_bn": synchronized}
    specs, pyramid = tf_keras.layers.InputSpec(shape=[None, size, size, 3]), None
    if settings.architecture == "ssd":
        # Multiples of 4 as in slim's published MobileNetV2 0.5, whose weights are loaded; the default is 8.
        backbone = MobileNet("MobileNetV2", settings.width, specs, divisible_by=4, **norm)
    elif settings.architecture == "quick":
        backbone = quick_backbone(specs, settings.width, settings.stage_blocks, settings.expansions, **norm)
    else:
        backbone = EfficientNet("b0", specs, se_ratio=0.0, activation="relu6", **norm)
        shapes = {level: tuple(backbone.output_specs[level][1:]) for level in map(str, range(settings.min_level, 6))}
        pyramid = bifpn(shapes, settings.max_level, filters, settings.repeats, synchronized)
    model = factory.build_retinanet(specs, config, backbone=backbone, decoder=pyramid)
    raw_outputs(model, tf.zeros([1, size, size, 3]), training=False)
    return model


def raw_outputs(model: Any, images: Any, training: bool) -> tuple[Any, Any]:
    """Run the network on images, and return box deltas and logits.

    Args:
        images: (B, size, size, 3) float32 levels 0..255, RGB.

    Returns:
        box deltas (B, N, 4) and logits (B, N), float32, in the order of `models.decode.anchor_grid`.
    """
    return head_outputs(model, model.backbone(images * INPUT_SCALE + INPUT_OFFSET, training=training), training)


def head_outputs(model: Any, features: Any, training: bool) -> tuple[Any, Any]:
    """Run pyramid and head on the backbone's features by level.

    The result is that of `raw_outputs`.
    """
    import tensorflow as tf

    first = next(iter(features.values()))
    batch = first.shape[0] if first.shape[0] is not None else tf.shape(first)[0]
    scores, boxes, _ = model.head(model.decoder(features, training=training), training=training)
    levels = sorted(boxes, key=int)
    return (
        tf.concat([tf.reshape(boxes[level], [batch, -1, 4]) for level in levels], axis=1),
        tf.concat([tf.reshape(scores[level], [batch, -1]) for level in levels], axis=1),
    )


def batch_norms(model: Any) -> list[Any]:
    """Return the batch normalisation layers of a network, each once."""
    import tf_keras

    return [layer for layer in model.submodules if isinstance(layer, tf_keras.layers.BatchNormalization)]


def save_network(model: Any, size: int, folder: Path) -> tuple[int, int]:
    """Write the network for export.

    The input is ``image`` (1, size, size, 3), raw RGB; the outputs are ``boxes`` and ``scores`` (logits).

    Returns:
        multiply-accumulates per image, and the number of parameters in use.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    class Predictor(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            # Not the model: Keras would trace the call of each of its layers for the file, for most of the time.
            self.network_variables = model.variables

        @tf.function(input_signature=[tf.TensorSpec([1, size, size, 3], tf.float32, name="image")])  # type: ignore[untyped-decorator]
        def predict(self, image: Any) -> dict[str, Any]:
            boxes, scores = raw_outputs(model, image, training=False)
            return {"boxes": boxes, "scores": scores}

    predictor = Predictor()
    function = predictor.predict.get_concrete_function()
    tf.saved_model.save(predictor, str(folder), signatures={"serving_default": function})
    with suppress_native_stderr():  # absl prints what the graph optimiser does, at every log level
        frozen = _reachable(convert_variables_to_constants_v2(function))
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen, name="")
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        flops = tf.compat.v1.profiler.profile(graph=graph, cmd="op", options=options).total_float_ops
    constants = (tf.make_ndarray(node.attr["value"].tensor) for node in frozen.node if node.op == "Const")
    return int(flops) // 2, sum(value.size for value in constants if value.dtype == "float32" and value.ndim)


def _reachable(function: Any) -> Any:
    """Return the part of a frozen function's graph that its outputs depend on.

    The backbone's last convolution feeds no level, and converters drop it, so it must not be counted.
    """
    import tensorflow as tf

    frozen = function.graph.as_graph_def()
    for node in frozen.node:
        kept = [name for name in node.input if not name.startswith("^")]  # those order side effects; there are none
        del node.input[:]
        node.input.extend(kept)
    outputs = [tensor.op.name for tensor in function.outputs]
    return tf.compat.v1.graph_util.extract_sub_graph(frozen, outputs)
