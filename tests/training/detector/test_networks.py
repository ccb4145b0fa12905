"""Networks of the detector.

Anchors as the official ones, pretrained weights, an output per anchor.
"""

import numpy as np
import pytest
from galaxy_edge.models.decode import anchor_grid
from galaxy_edge.training.detector.settings import PRESETS, DetectorSettings


def test_anchor_grid_is_the_official_one():
    """The devices compute anchors without TensorFlow.

    They must be those of the trained head.
    """
    anchor = pytest.importorskip("official.vision.ops.anchor", reason="needs tf-models-official (the detector extra)")
    official = anchor.Anchor(
        min_level=3, max_level=7, num_scales=2, aspect_ratios=[1.0, 2.0, 0.5], anchor_size=2.0, image_size=(256, 256)
    ).multilevel_boxes
    corners = np.concatenate([np.reshape(official[level], (-1, 4)) for level in sorted(official, key=int)])
    ours = anchor_grid(256, 256, 3, 7, 2.0, 2, (1.0, 2.0, 0.5))
    np.testing.assert_allclose(ours[:, :2], (corners[:, :2] + corners[:, 2:]) / 2, atol=1e-3)
    np.testing.assert_allclose(ours[:, 2:], corners[:, 2:] - corners[:, :2], atol=1e-3)


@pytest.mark.slow
def test_folded_weights_give_the_folded_network(network, tmp_path):
    """Folded batch normalisations are restored from statistics.

    The outputs must stay the same.
    """
    from galaxy_edge.training.mobilenet.folded import WeightsError
    from galaxy_edge.training.mobilenet.pretrained_weights import load_backbone

    rng = np.random.default_rng(0)
    tensors = {}

    def put(name, kind, kernel):
        shape = tuple(kernel.shape)
        fan = np.prod(shape[:2]) * (1 if kind == "depthwise" else shape[2])
        values = rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)
        count = shape[2] if kind == "depthwise" else shape[3]
        bias = rng.normal(0, 0.1, count).astype(np.float32)
        kernel_name = "depthwise_Fold" if kind == "depthwise" else "Conv2D_Fold"
        tensors[f"{name}/{kernel_name}"] = values.transpose(3, 0, 1, 2)
        tensors[f"{name}/add_fold" if kind == "project" else f"{name}/BatchNorm_Fold/bias"] = bias
        return values, bias

    blocks = [block for block in network.backbone.layers if type(block).__name__ == "InvertedBottleneckBlock"]
    stem = next(block for block in network.backbone.layers if type(block).__name__ == "Conv2DBNBlock")
    kernel, bias = put("MobilenetV2/Conv", "conv", stem._conv0.weights[0])
    for number, block in enumerate(blocks):
        name = "MobilenetV2/expanded_conv" + (f"_{number}" if number else "")
        if number:
            put(f"{name}/expand", "expand", block._conv0.weights[0])
        put(f"{name}/depthwise", "depthwise", block._conv1.weights[0])
        put(f"{name}/project", "project", block._conv2.weights[0])
    np.savez(tmp_path / "weights.npz", **tensors)
    images = rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    assert load_backbone(network.backbone, tmp_path / "weights.npz", images) == 51

    import tensorflow as tf

    x = tf.constant(images / 127.5 - 1, tf.float32)
    expected = tf.nn.relu6(tf.nn.conv2d(x, kernel, 2, "SAME") + bias)
    np.testing.assert_allclose(stem(x, training=False), expected, atol=1e-3)
    still, moving = network.backbone(x, training=False), network.backbone(x, training=True)
    for level in ("3", "4", "5"):
        assert np.corrcoef(np.ravel(still[level]), np.ravel(moving[level]))[0, 1] > 0.99

    del tensors["MobilenetV2/expanded_conv_7/project/add_fold"]
    np.savez(tmp_path / "torn.npz", **tensors)
    with pytest.raises(WeightsError, match="expanded_conv_7"):
        load_backbone(network.backbone, tmp_path / "torn.npz", images)
    with pytest.raises(WeightsError, match="no such"):
        load_backbone(network.backbone, tmp_path / "none.npz", images)


@pytest.mark.slow
def test_efficientdet_has_an_output_per_anchor_where_sides_are_rounded_up():
    """96 pixels are 3 cells at level 5 and 2 at level 6, one of them half outside."""
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    from galaxy_edge.training.detector import networks as ssd

    settings = DetectorSettings(
        architecture="efficientdet", size=96, fpn_filters=16, head_convs=1, repeats=2, max_level=6, scales_per_octave=1
    )
    model = ssd.build_network(settings)
    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 3)).astype(np.float32)
    deltas, logits = ssd.raw_outputs(model, images, training=False)
    anchors = len(anchor_grid(96, 96, **settings.grid))
    assert anchors == 3 * (12 * 12 + 6 * 6 + 3 * 3 + 2 * 2)
    assert deltas.shape == (2, anchors, 4) and logits.shape == (2, anchors)
    assert not any("se" in part.name.split("_") for part in model.submodules if hasattr(part, "name"))


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [(1, 3, 4), (1, 2, 0), (0, 0, 0)])
def test_quick_network_has_an_output_per_anchor_and_rejects_other_weights(tmp_path, blocks):
    """Its backbone is not MobileNetV2, whose weights must not be loaded partially."""
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    from galaxy_edge.training.detector import networks as ssd
    from galaxy_edge.training.mobilenet.folded import WeightsError
    from galaxy_edge.training.mobilenet.pretrained_weights import load_backbone

    changes = {"size": 64, "width": 0.25, "fpn_filters": 16, "stage_blocks": blocks}
    settings = DetectorSettings(**PRESETS["quick"] | changes)
    model = ssd.build_network(settings)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    features = model.backbone(images.astype(np.float32), training=False)
    assert [features[level].shape[1] for level in "2345"] == [16, 8, 4, 2], "a level halves the one before"
    deltas, logits = ssd.raw_outputs(model, images.astype(np.float32), training=False)
    anchors = len(anchor_grid(64, 64, **settings.grid))
    assert deltas.shape == (2, anchors, 4) and logits.shape == (2, anchors)
    np.savez(
        tmp_path / "v2.npz",
        **{
            "MobilenetV2/Conv/Conv2D_Fold": np.zeros((8, 3, 3, 3), np.float32),
            "MobilenetV2/Conv/BatchNorm_Fold/bias": np.zeros(8, np.float32),
        },
    )
    with pytest.raises(WeightsError, match=r"shape \(3, 3, 3, 8\)"):
        load_backbone(model.backbone, tmp_path / "v2.npz", images)
