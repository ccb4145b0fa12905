"""The space of detectors.

The cost of the built network is the computed one, and a search trains.
"""

import json

import numpy as np
import pytest
from galaxy_edge.training.detector.settings import SEARCHED, DetectorSettings, read_picked_network
from galaxy_edge.training.run import RunError
from galaxy_edge.training.search.detector_space import DETECTORS, SPACE, START, cost, design_of
from helpers.labelled_sets import make_sets
from helpers.small_detector import shorten_mobilenet

LEAST = {name: values[0] for name, values in SPACE.items()}


def test_every_choice_is_a_detector():
    rng = np.random.default_rng(0)
    for _ in range(200):
        choice = {name: values[int(rng.integers(len(values)))] for name, values in SPACE.items()}
        design = design_of(choice)
        DetectorSettings(**design.to_dict())
        assert set(design.to_dict()) == set(SEARCHED)
        assert len(DETECTORS.describe(design.to_dict())) == len(DETECTORS.columns)
        price = cost(design)
        assert 1e6 < price.macs < 2e9 and price.parameters > 1e4 and price.int8_bytes > price.parameters / 2


@pytest.mark.slow
@pytest.mark.parametrize("choice", [START, {**LEAST, "width_percent": 35, "scales_per_octave": 3, "min_level": 4}])
def test_computed_cost_agrees_with_graph_and_file_size(choice, tmp_path):
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    import tensorflow as tf
    from galaxy_edge.training.detector import networks as ssd

    design = design_of(choice)
    settings = DetectorSettings(**design.to_dict())
    macs, parameters = ssd.save_network(ssd.build_network(settings), settings.size, tmp_path / "saved")
    price = cost(design)
    assert price.macs == pytest.approx(macs, rel=0.01)
    assert price.parameters == pytest.approx(parameters, rel=0.01)

    rng = np.random.default_rng(0)
    shape = (1, settings.size, settings.size, 3)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.uniform(0, 255, shape).astype(np.float32)] for _ in range(2))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    assert price.int8_bytes == pytest.approx(len(converter.convert()), rel=0.1)


@pytest.mark.slow
def test_search_trains_detectors_and_its_pick_is_valid(tmp_path, monkeypatch):
    """Two trials of next to nothing.

    The front is written, and its pick is a detector of the space. The trained networks have one block per level, to be
    traced sooner; the cost of whole networks is compared in another test.
    """
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    pytest.importorskip("optuna", reason="needs the study extra")
    shorten_mobilenet(monkeypatch)
    from click.testing import CliRunner
    from galaxy_edge.cli.main import cli

    sets, out = make_sets(tmp_path), tmp_path / "search"
    limit = cost(design_of({**LEAST, "width_percent": 30, "fpn_filters": 32})).macs
    command = [
        "study",
        "search-detector",
        "--data",
        sets,
        "--out",
        out,
        "--trials",
        2,
        "--trial-epochs",
        1,
        "--images",
        16,
        "--max-macs",
        limit,
        "--threads",
        1,
    ]
    done = CliRunner().invoke(cli, list(map(str, command)), catch_exceptions=False)
    assert done.exit_code == 0
    assert "mAP@0.5" in done.stdout and "train detector --network" in done.stdout
    record = json.loads((out / "trials.json").read_text())
    assert [trial["state"] for trial in record["trials"]] == ["complete"] * 2
    assert all(trial["macs"] <= limit and 0 <= trial["map50"] <= 1 for trial in record["trials"])
    DetectorSettings(**read_picked_network(out / "picked.json"))


def test_picked_network_excludes_a_preset(tmp_path):
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    from click.testing import CliRunner
    from galaxy_edge.cli.main import cli

    (tmp_path / "picked.json").write_text('{"network": {"size": 96}}')
    command = [
        "train",
        "detector",
        "--data",
        tmp_path,
        "--out",
        tmp_path / "run",
        "--preset",
        "quick",
        "--network",
        tmp_path / "picked.json",
    ]
    done = CliRunner().invoke(cli, list(map(str, command)))
    assert done.exit_code == 2 and "--preset" in done.output


WRONG = [
    json.dumps({"network": network})
    for network in ({"size": "256"}, {"size": 256.0}, {"size": True}, {"width": [1]}, {"size": 256, "teacher": "x"})
]
"""Networks with values of another type, or that are options of the training."""


def test_file_that_is_not_a_picked_detector_is_refused(tmp_path):
    for content in ("no json", "{}", '{"network": {"stem_channels": 16}}', '{"network": {}}', *WRONG):
        (tmp_path / "picked.json").write_text(content)
        with pytest.raises(RunError, match=r"is not a picked\.json"):
            read_picked_network(tmp_path / "picked.json")
