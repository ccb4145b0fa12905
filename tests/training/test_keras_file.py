"""Keras models of unknown origin.

Code in them, and functions that they name, are never run.
"""

import json
import pickle
import zipfile

import keras
import pytest
from galaxy_edge.training.figures.explain import load_model
from galaxy_edge.training.figures.saliency import ExplainError
from galaxy_edge.training.keras_file import KerasFileError, check_keras_file, load_keras_file


def network(path):
    layers = [keras.layers.Conv2D(2, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.Sequential([keras.Input((8, 8, 3)), *layers]).save(path)
    return path


def changed(path, change):
    """Write the file again, with another description."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def layer(config):
    return next(entry for entry in config["config"]["layers"] if entry["class_name"] == "Dense")


def test_a_network_is_loaded(tmp_path):
    path = network(tmp_path / "model.keras")
    assert load_keras_file(path).output_shape == (None, 2)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"module": "keras.layers", "class_name": "Lambda", "config": {}}, "keras.layers.Lambda"),
        ({"module": "os", "class_name": "system", "config": "touch x"}, "os.system"),
        ({"module": "builtins", "class_name": "function", "config": "eval"}, "builtins.function"),
        ({"module": "keras.utils", "class_name": "get_file", "config": {}}, "keras.utils.get_file"),
        ({"module": "keras.activations", "class_name": "function", "config": "relu"}, "keras.activations.function"),
        ({"class_name": "__lambda__", "config": {"value": "x"}}, "__lambda__"),
        ({"class_name": "Dense", "registered_name": "theirs>Dense", "config": {}}, "Dense"),
        ({"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/x"}}, "TFSMLayer"),
    ],
)
def test_objects_other_than_layers_are_refused(tmp_path, entry, named):
    """Objects are refused as a layer, and deep inside the settings of a layer."""
    path = network(tmp_path / "model.keras")
    changed(path, lambda config: layer(config)["config"].update(kernel_initializer=entry))
    with pytest.raises(KerasFileError, match=named):
        check_keras_file(path)
    changed(network(path), lambda config: config["config"]["layers"].append(entry))
    with pytest.raises(KerasFileError, match=named):
        load_keras_file(path)


def test_code_of_a_lambda_layer_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((8,)), keras.layers.Lambda(lambda values: values * 2)]).save(path)
    with pytest.raises(KerasFileError, match="Lambda"):
        check_keras_file(path)


def test_pickles_and_other_members_are_refused(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(KerasFileError, match="cannot be read as a Keras model"):
        check_keras_file(path)
    with zipfile.ZipFile(network(path), "a") as archive:
        archive.writestr("assets/vocabulary.pkl", pickle.dumps({"a": 1}))
    with pytest.raises(KerasFileError, match=r"assets/vocabulary\.pkl"):
        check_keras_file(path)


def test_weights_are_read_in_another_process_first(tmp_path, monkeypatch):
    """A library in C reads them.

    The network of a run folder may be a stranger's as well.
    """
    path = changed(network(tmp_path / "model.keras"), lambda config: layer(config)["config"].update(units=3))
    loaded_here = []
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: loaded_here.append(path))
    with pytest.raises(ExplainError, match="is not safe to load"):
        load_model(tmp_path)
    assert loaded_here == []
