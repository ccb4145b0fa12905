"""The report's search with KerasTuner.

In one and in three processes, interrupted, and with invalid settings.
"""

import errno
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from galaxy_edge.training.run import RunError, lock_run_folder
from helpers.log_records import on_message

LOGGER = "galaxy_edge.training.search.keras_tuner_search"
NAMES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")

REPORT_SCRIPT = """
import pathlib, sys
import numpy as np
from galaxy_edge.training.search.keras_tuner_search import search_report

rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (60, 24, 24, 3)).astype(np.uint8), np.arange(60) % 9
search_report((images[:40], labels[:40]), (images[40:], labels[40:]), pathlib.Path(sys.argv[1]), 3, 1)
"""


@pytest.fixture(scope="module")
def few():
    """Return forty images of noise for training, twenty for validation, and labels."""
    pytest.importorskip("keras_tuner")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 24, 24, 3)).astype(np.uint8), np.arange(60) % 9
    return (images[:40], labels[:40]), (images[40:], labels[40:])


def test_report_search_alone_and_in_three_processes(tmp_path, few):
    """Interrupted and resumed, or divided among machines.

    The same seed must try the same networks.
    """
    from galaxy_edge.training.classifier.keras_utils import multiply_adds
    from galaxy_edge.training.search.keras_tuner_search import search_report
    from galaxy_edge.training.search.report_space import report_hypermodel

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "script.py").write_text(REPORT_SCRIPT)
    processes = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "three")],
            env={**os.environ, **dict(zip(NAMES, (name, "127.0.0.1", str(port)), strict=True))},
        )
        for name in ("chief", "left", "right")
    ]
    try:
        lines = []

        def interrupt(line):
            lines.append(line)
            if len(lines) == 2:
                raise KeyboardInterrupt

        with on_message(LOGGER, interrupt), pytest.raises(KeyboardInterrupt):
            search_report(*few, tmp_path / "alone", 2, 1)
        # KerasTuner writes this file in place, and would start again without it.
        (tmp_path / "alone/tuner/tuner0.json").write_text("")
        with on_message(LOGGER, lines.append):
            rows = search_report(*few, tmp_path / "alone", 2, 1, resume=True)
        assert [line.split(":")[0] for line in lines] == ["trial 0", "trial 1", "trial 1"]
        assert [process.wait(timeout=400) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert json.loads((tmp_path / "alone/trials.json").read_text())["trials"] == rows
    three = json.loads((tmp_path / "three/trials.json").read_text())["trials"]
    by_number = [{row["trial"]: json.dumps(row["values"], sort_keys=True) for row in found} for found in (rows, three)]
    assert by_number[0].items() < by_number[1].items() and len(three) == 3
    assert [row["accuracy"] for row in rows] == sorted((row["accuracy"] for row in rows), reverse=True)

    import keras_tuner

    for row in rows:
        choice = keras_tuner.HyperParameters()
        choice.values = dict(row["values"])
        model = report_hypermodel(choice, 24, 9)
        assert (row["macs"], row["parameters"]) == (multiply_adds(model), model.count_params())


def test_report_space_is_that_of_the_report():
    """Both ends of every choice must be reachable, and no other choice."""
    keras_tuner = pytest.importorskip("keras_tuner")
    from galaxy_edge.training.search.report_space import report_hypermodel

    choice = keras_tuner.HyperParameters()
    model = report_hypermodel(choice, 69, 9)
    space = {parameter.name: parameter for parameter in choice.space}
    ends = {
        name: (parameter.min_value, parameter.max_value)
        for name, parameter in space.items()
        if hasattr(parameter, "min_value")
    }
    assert ends == {"filters1": (32, 128), "filters2": (32, 64), "dense": (32, 128), "dropout": (0.0, 0.5)}
    assert {space[name].step for name in ("filters1", "filters2", "dense")} == {16}
    assert {name: parameter.values for name, parameter in space.items() if name not in ends} == {
        "kernel1": [3, 5],
        "kernel2": [3, 5],
        "learning_rate": [1e-2, 1e-3],
    }
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[2:8] == ["Conv2D", "BatchNormalization", "MaxPooling2D"] * 2
    assert model.layers[2].activation.__name__ == "relu"
    # The widest network by hand: 5x5x3x128 at 69 pixels, 5x5x128x64 at 34, then 17 x 17 x 64 into 128.
    choice.values.update(filters1=128, filters2=64, dense=128, kernel1=5, kernel2=5)
    from galaxy_edge.training.classifier.keras_utils import multiply_adds

    assert multiply_adds(report_hypermodel(choice, 69, 9)) == (
        69**2 * 25 * 3 * 128 + 34**2 * 25 * 128 * 64 + 17 * 17 * 64 * 128 + 128 * 9
    )


def test_report_search_rejects(tmp_path, few, monkeypatch):
    """Other data, other settings or a missing chief are errors; nothing is written."""
    from galaxy_edge.training.search import keras_tuner_roles
    from galaxy_edge.training.search import keras_tuner_search as report
    from galaxy_edge.training.search.keras_tuner_search import TunerError, search_report

    train, validation = few

    def broken(line):
        if line.startswith("trial 1"):
            raise OSError("disk full")

    # A trial that fails must stop the search and not count as a bad network.
    with on_message(LOGGER, broken), pytest.raises(OSError, match="disk full"):
        search_report(train, validation, tmp_path, 3, 1)
    with pytest.raises(TunerError, match="already holds a search"):
        search_report(train, validation, tmp_path, 1, 1)
    with pytest.raises(TunerError, match="started with epochs=1, not 2"):
        search_report(train, validation, tmp_path, 1, 2, resume=True)
    with pytest.raises(TunerError, match="other data"):
        search_report((train[0][::-1], train[1]), validation, tmp_path, 1, 1, resume=True)
    monkeypatch.setattr(report, "describe_space", lambda *_: {"filters1": "others"})
    with pytest.raises(TunerError, match="started with another space of networks"):
        search_report(train, validation, tmp_path, 1, 1, resume=True)
    monkeypatch.undo()
    with pytest.raises(TunerError, match="no training image of class 'smooth_any': add some"):
        search_report(train, validation, tmp_path / "new", 1, 1, classes=(*"abcdefghi", "smooth_any"))
    with pytest.raises(TunerError, match="labels run from 1 to 9"):
        search_report((train[0], train[1] + 1), validation, tmp_path / "new", 1, 1)
    with pytest.raises(TunerError, match=r"float32; .* uint8 is needed"):
        search_report((train[0].astype(np.float32), train[1]), validation, tmp_path / "new", 1, 1)
    state, trial = tmp_path / "tuner/oracle.json", tmp_path / "tuner/trial_0/trial.json"
    for file, content in ((state, "{"), (state, "[]"), (state, ""), (state, '{"ongoing_trials": 3}'), (trial, "[1]")):
        whole = file.read_text()
        file.write_text(content)
        with pytest.raises(TunerError, match="tuner is damaged"):
            search_report(train, validation, tmp_path, 1, 1, resume=True)
        file.write_text(whole)
    lost = trial.rename(tmp_path / "lost.json")
    with pytest.raises(TunerError, match=r"tuner is damaged \(trial_0/trial.json is missing or cannot be read\)"):
        search_report(train, validation, tmp_path, 1, 1, resume=True)
    trial.mkdir()
    with pytest.raises(TunerError, match="tuner is damaged"):
        search_report(train, validation, tmp_path, 1, 1, resume=True)
    trial.rmdir()
    lost.rename(trial)
    settings = tmp_path / "search.json"
    whole = settings.read_text()
    settings.write_text("{}")
    with pytest.raises(TunerError, match=r"search\.json is damaged: it has no classes, data, epochs, seed"):
        search_report(train, validation, tmp_path, 1, 1, resume=True)
    settings.unlink()
    with pytest.raises(TunerError, match=r"holds a search without its search\.json: restore it"):
        search_report(train, validation, tmp_path, 1, 1)
    settings.write_text(whole)
    state.unlink()
    with pytest.raises(TunerError, match=r"tuner is damaged \(oracle.json is missing\)"):
        search_report(train, validation, tmp_path, 1, 1, resume=True)
    with lock_run_folder(tmp_path), pytest.raises(RunError, match="another process writes to"):
        search_report(train, validation, tmp_path, 1, 1, resume=True)
    for name, value in zip(NAMES, ("left", "127.0.0.1", "99999"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(TunerError, match="is '99999'; it must be a port number"):
        search_report(train, validation, tmp_path, 1, 1)
    monkeypatch.undo()
    monkeypatch.setenv(NAMES[0], "left")
    with pytest.raises(TunerError, match="needs the variables KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT too"):
        search_report(train, validation, tmp_path, 1, 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: a chief that is not there
        monkeypatch.setenv(NAMES[1], "127.0.0.1")
        monkeypatch.setenv(NAMES[2], str(taken.getsockname()[1]))
        monkeypatch.setattr(keras_tuner_roles, "CHIEF_SECONDS", 0.5)
        with pytest.raises(TunerError, match=r"no chief answers at 127\.0\.0\.1"):
            search_report(train, validation, tmp_path, 1, 1)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_report_search_survives_a_kill_between_any_two_files(tmp_path, few, monkeypatch, limit):
    """A trial whose state was not written yet is resumed, and a complete one is kept.

    KerasTuner writes its files in place, and never resumes such a trial.
    """
    from galaxy_edge.training.search import keras_tuner_oracle
    from galaxy_edge.training.search.keras_tuner_search import search_report

    class Killed(BaseException):
        """The process is gone."""

    written, write, trained = [], keras_tuner_oracle.write_json, []

    def kill(path, content):
        if len(written) == limit:
            path.with_suffix(".partial").write_text("{")  # what a kill leaves is never the file itself
            raise Killed
        written.append(path.name)
        write(path, content)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(keras_tuner_oracle, "write_json", kill)
        search_report(*few, tmp_path, 2, 1)
    with on_message(LOGGER, trained.append):
        rows = search_report(*few, tmp_path, 2, 1, resume=True)
    assert sorted(row["trial"] for row in rows) == [0, 1]
    assert [line.split(":")[0] for line in trained] == ["trial 0", "trial 1"][limit >= 4 :], written


def test_a_full_disk_at_the_end_of_a_trial_loses_only_this_trial(tmp_path, few, monkeypatch):
    """KerasTuner counted the trial as failed, and it was never repeated."""
    from galaxy_edge.training.search import keras_tuner_oracle
    from galaxy_edge.training.search.keras_tuner_search import search_report

    write, trained = keras_tuner_oracle.write_json, []

    def full(path, content):
        if path.name == "trial.json" and content.get("metrics", {}).get("metrics"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(keras_tuner_oracle, "write_json", full)
        search_report(*few, tmp_path, 1, 1)
    with on_message(LOGGER, trained.append):
        assert [row["trial"] for row in search_report(*few, tmp_path, 1, 1, resume=True)] == [0]
    assert [line.split(":")[0] for line in trained] == ["trial 0"]


def test_a_failed_trial_is_repeated(tmp_path, few):
    from galaxy_edge.training.search.keras_tuner_search import search_report

    before = search_report(*few, tmp_path, 1, 1)
    path, state = tmp_path / "tuner/trial_0/trial.json", tmp_path / "tuner/oracle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "FAILED", "score": None}))
    assert search_report(*few, tmp_path, 1, 1, resume=True) == before
    assert json.loads(state.read_text())["end_order"] == ["0"]


def test_a_worker_without_the_folder_of_its_chief_is_refused(tmp_path, few, monkeypatch):
    """It trained on its own data, and the chief tabulated this as its own."""
    from galaxy_edge.training.search import keras_tuner_search as report

    monkeypatch.setattr(report, "wait_for_chief", lambda: None)
    for name, value in zip(NAMES, ("left", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(report.TunerError, match=r"has no search\.json of the chief: name the chief's --out"):
        report.search_report(*few, tmp_path / "other", 1, 1)
    assert not (tmp_path / "other").exists()


def test_a_port_in_use_and_a_lost_chief_are_explained(monkeypatch):
    grpc = pytest.importorskip("grpc")
    from galaxy_edge.training.search.keras_tuner_roles import TunerError, chief_fails

    for name, value in zip(NAMES, ("chief", "127.0.0.1", "18"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(TunerError, match=r"the chief cannot use 127\.0\.0\.1:18 .*: name another port"):  # noqa: SIM117
        with chief_fails("chief"):
            raise RuntimeError("Failed to bind to address")
    with pytest.raises(TunerError, match="no longer answers: start it"), chief_fails("worker"):
        raise grpc.RpcError
    with pytest.raises(RuntimeError, match="another"), chief_fails("chief"):
        raise RuntimeError("another")
