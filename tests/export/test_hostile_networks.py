"""Networks that do more than compute are refused before any of their code runs."""

import io
import pickle
import zipfile

import numpy as np
import onnx
import pytest
import tensorflow as tf
from galaxy_edge.export.errors import ExportError
from galaxy_edge.export.saved_model_check import check_saved_model
from galaxy_edge.export.settings import Settings
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.runtime.inference.bundles import load_bundle
from galaxy_edge.runtime.inference.sandbox import check_model_loads
from helpers.hostile_networks import giant_onnx, with_giant_variant, write_saved_model
from helpers.third_party import imported

KINDS = {
    "signature": "WriteFile",
    "nested": "WriteFile",
    "branch": "WriteFile",
    "initialiser": "WriteFile",
    "read": "ReadFile",
    "python": "EagerPyFunc",
    "save": "SaveV2",
    "merge": "MergeV2Checkpoints",
    "print": "PrintV2",
}


@pytest.mark.parametrize("kind", KINDS)
def test_operators_with_side_effects_are_refused_before_anything_loads_them(tmp_path, kind):
    """Operators with side effects are refused wherever they are in the network.

    They may be in the graph, in functions of functions, in branches, or in what runs when the network is loaded.
    """
    write_saved_model(tmp_path / "model", kind, tmp_path / "evil")
    with pytest.raises(ExportError, match=KINDS[kind]):
        check_saved_model(tmp_path / "model")
    assert not (tmp_path / "evil").exists()


def test_what_saves_the_weights_may_not_be_run_by_anything_else(tmp_path):
    """Every SavedModel has operators that write its weights.

    A signature that runs them writes a file.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    write_saved_model(tmp_path / "model", "plain", tmp_path / "evil")
    check_saved_model(tmp_path / "model")
    path = tmp_path / "model" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    graph = model.meta_graphs[0]
    graph.signature_def["other"].outputs["saved"].name = graph.saver_def.save_tensor_name
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match="SaveV2"):
        check_saved_model(tmp_path / "model")


@pytest.mark.parametrize("kind", ["initialiser", "nested"])
def test_an_import_runs_nothing_of_a_hostile_network(foreign, tmp_path, kind):
    """The whole way of `export --from`.

    Nothing is written, by the network or as a bundle.
    """
    write_saved_model(tmp_path / "model", kind, tmp_path / "evil")
    with pytest.raises(ExportError, match="WriteFile"):
        imported(tmp_path / "model", tmp_path / "out", Settings(()), labels=foreign / "labels.txt")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "out").exists()


class Exploit:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("ending", ["tflite", "onnx", "pkl", "keras"])
def test_pickles_and_keras_files_are_not_loaded(foreign, tmp_path, ending):
    """Neither a pickle nor a Lambda layer's code is run, whatever the file is called."""
    path = tmp_path / f"network.{ending}"
    path.write_bytes(pickle.dumps(Exploit(tmp_path / "evil")))
    if ending == "keras":
        layer = tf.keras.layers.Lambda(lambda image: image)
        tf.keras.Sequential([tf.keras.Input((64, 64, 3)), layer]).save(path)
    with pytest.raises(ExportError, match=r"not a TFLite file|not safe to load"):
        imported(path, tmp_path / "out", Settings(()), labels=foreign / "labels.txt")
    assert not (tmp_path / "evil").exists()


def test_a_giant_tensor_of_a_small_file_is_refused():
    """A hundred bytes of ONNX ask for 24 GB when they are run."""
    content = giant_onnx((64, 64), 24 * 2**30)
    assert len(content) < 1000
    with pytest.raises(BundleError, match="x is not safe to load"):
        check_model_loads(content, "onnx", "x")


def test_every_variant_of_a_bundle_is_loaded_in_the_sandbox(foreign, tmp_path):
    """`--engine onnxruntime` would run what nobody had tried."""
    bundle = with_giant_variant(foreign, tmp_path / "galaxy-detector")
    assert Bundle.load(bundle).default_variant == "int8"
    with pytest.raises(BundleError, match=r"fp32\.onnx is not safe to load"):
        load_bundle(tmp_path, "galaxy-detector")


def test_weights_in_another_file_are_found_wherever_they_are(foreign, tmp_path):
    """An attribute of an operator holds a tensor as well as an initialiser does."""
    model = onnx.load_model(io.BytesIO(giant_onnx((64, 64), 8)))
    tensor = onnx.helper.make_tensor("far", onnx.TensorProto.FLOAT, [1], [0.0])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["far"], value=tensor))
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match="in another file"):
        imported(tmp_path / "x.onnx", tmp_path / "out", Settings(()), labels=foreign / "labels.txt")


def test_an_archive_is_not_a_network(foreign, tmp_path):
    """A zip with a pickle in it, as PyTorch writes it."""
    with zipfile.ZipFile(tmp_path / "x.onnx", "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Exploit(tmp_path / "evil")))
        archive.writestr("data/0", np.zeros(4).tobytes())
    with pytest.raises(ExportError, match="not safe to load"):
        imported(tmp_path / "x.onnx", tmp_path / "out", Settings(()), labels=foreign / "labels.txt")
    assert not (tmp_path / "evil").exists()
