"""MobileNetV2 without normalisation.

Its size, its pretrained weights, and files with other weights.
"""

import cv2
import numpy as np
import pytest
from galaxy_edge.training.mobilenet.folded import WeightsError
from galaxy_edge.training.mobilenet.pretrained_weights import folded_mobilenet
from helpers.weights import STYLES, folded

keras = pytest.importorskip("keras", reason="needs the train extra")

from galaxy_edge.training.classifier.keras_utils import multiply_adds
from galaxy_edge.training.mobilenet.classifier import mobilenet


@pytest.fixture(scope="module")
def network():
    return mobilenet(32, 9, None)


def test_is_mobilenet_v2(network):
    # 2,257,984 parameters of keras.applications' MobileNetV2 without its top; its normalisations hold 4 numbers a
    # channel where a bias is 1.
    theirs = keras.applications.MobileNetV2((32, 32, 3), include_top=False, weights=None)
    channels = sum(layer.gamma.shape[0] for layer in theirs.layers if hasattr(layer, "gamma"))
    assert network.count_params() == theirs.count_params() - 3 * channels + 1280 * 9 + 9
    assert multiply_adds(network) == multiply_adds(theirs) + 1280 * 9
    assert [layer.output.shape for layer in network.layers if "depthwise" in layer.name] == [
        layer.output.shape for layer in theirs.layers if layer.name.endswith("depthwise")
    ]


@pytest.mark.parametrize("style", STYLES)
def test_weights_go_where_their_names_say(network, style, tmp_path):
    tensors, weights = folded(network, style, np.random.default_rng(1))
    others = {"Logits/Conv2d_1c_1x1/bias": np.zeros(1001), "BoxPredictor_0/kernel": np.zeros((1, 1, 1, 1))}
    shuffled = dict(sorted({**tensors, **others}.items(), key=lambda item: hash(item[0])))
    np.savez(tmp_path / "weights.npz", **shuffled)
    loaded = mobilenet(32, 9, tmp_path / "weights.npz")
    layers = [layer for layer in loaded.layers if "conv2d" in layer.name]
    for layer, (_, kernel, bias) in zip(layers, weights, strict=True):
        np.testing.assert_array_equal(layer.kernel, kernel.astype(np.float32))
        np.testing.assert_array_equal(layer.bias, bias)


def test_other_weights_are_refused(network, tmp_path):
    tensors, _ = folded(network, "keras", np.random.default_rng(1))
    path = tmp_path / "weights.npz"

    def refused(changed, match):
        np.savez(path, **changed)
        with pytest.raises(WeightsError, match=match) as caught:
            mobilenet(32, 9, path)
        assert "\n" not in str(caught.value)

    bias = "MobileNetV2/expanded_conv_7/project/bias"
    refused({name: value for name, value in tensors.items() if name != bias}, "expanded_conv_7/project' has no bias")
    refused({name: value for name, value in tensors.items() if "conv_17" not in name}, "49 convolutions .* not 52")
    refused({**tensors, bias.replace("bias", "kernel"): np.zeros((8, 1, 1, 192))}, "conv_7/project' has shape")
    refused({"something": np.zeros(3)}, "holds no MobileNetV2")
    path.write_bytes(b"PK no archive")
    with pytest.raises(WeightsError, match="is not an npz file, or is truncated"):
        folded_mobilenet(path)
    with pytest.raises(WeightsError, match="no such"):
        folded_mobilenet(tmp_path / "none.npz")
    with pytest.raises(WeightsError, match="--weights FILE"):
        mobilenet(32, 9, "imagenet")


def test_pretrained_weights_know_imagenet(shared_data):
    # With the classifier of the stored file on top, the network names a photograph that everybody has: the admiral's
    # uniform in matplotlib's samples. Weights in wrong layers would not.
    cbook = pytest.importorskip("matplotlib.cbook")
    weights = shared_data / "weights"
    path = weights / "tf2_mobilenet_v2_1.0_224_ptq.dequant.npz"
    network = mobilenet(224, 1001, path)
    with np.load(path) as stored:
        kernel = stored["MobileNetV2/top/Conv2d_1x1_output/Conv2D"].astype(np.float32)
        bias = stored["MobileNetV2/top/Conv2d_1x1_output/BiasAdd"]
    network.get_layer("logits").set_weights([kernel[:, 0, 0].T, bias])
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        photograph = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    logits = network(cv2.resize(photograph, (224, 224))[None].astype(np.float32))
    labels = (weights / "imagenet_labels_1001.txt").read_text(encoding="utf-8").splitlines()
    assert labels[int(np.argmax(logits[0]))] == "military uniform"


@pytest.mark.slow
def test_detector_starts_with_the_weights_of_a_classifier(tmp_path):
    """The detector's backbone gives what the classifier's last but one layer gives.

    The outputs are compared channel by channel.
    """
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    import json

    from galaxy_edge.training.detector import networks as ssd
    from galaxy_edge.training.detector.settings import DetectorSettings
    from galaxy_edge.training.mobilenet.pretrained_weights import load_backbone

    keras.utils.set_random_seed(3)
    classifier = mobilenet(64, 9, None, 0.35)
    images = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    run = tmp_path / "run"
    run.mkdir()
    classifier.save(run / "model.keras")
    (run / "run.json").write_text(json.dumps({"task": "classify", "settings": {"network": "mobilenet"}}))
    detector = ssd.build_network(DetectorSettings(size=64, width=0.35, fpn_filters=16, head_convs=1, max_level=5))
    assert load_backbone(detector.backbone, run, images) == 51

    expansions = [layer for layer in classifier.layers if layer.name.startswith("re_lu")]
    deep = keras.Model(classifier.input, expansions[-2].input)(images.astype(np.float32))
    blocks = [block for block in detector.backbone.layers if type(block).__name__ == "InvertedBottleneckBlock"]
    x = images.astype(np.float32) * ssd.INPUT_SCALE + ssd.INPUT_OFFSET
    x = next(block for block in detector.backbone.layers if type(block).__name__ == "Conv2DBNBlock")(x)
    for block in blocks[:-1]:
        x = block(x, training=False)
    last = blocks[-1]
    x = last._activation_layer(last._norm0(last._conv0(x), training=False))
    x = last._norm1(last._conv1(x), training=False)
    np.testing.assert_allclose(x, deep, rtol=1e-2, atol=1e-3 * float(np.abs(deep).max()))

    with pytest.raises(WeightsError, match="--recipe mobilenet"):
        (run / "run.json").write_text(json.dumps({"task": "classify", "settings": {"network": "small"}}))
        load_backbone(detector.backbone, run, images)
