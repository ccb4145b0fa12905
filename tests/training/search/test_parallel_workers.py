"""Workers of a search: concurrent, killed, suspended and failing.

No trial is lost or counted twice.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

optuna = pytest.importorskip("optuna")

from galaxy_edge.training.classifier.small_network import cost
from galaxy_edge.training.search import study_store as store
from galaxy_edge.training.search import worker as module
from galaxy_edge.training.search.classifier_space import CLASSIFIERS, from_choice
from galaxy_edge.training.search.pareto_front import TrialResult, points
from galaxy_edge.training.search.search import search
from galaxy_edge.training.search.study_store import SearchError, open_study
from galaxy_edge.training.search.worker import ATTEMPTS, run_worker
from helpers.search import formula, networks, running

SCRIPT = """
import math, os, pathlib, sys, time
from galaxy_edge.training.classifier.small_network import cost
from galaxy_edge.training.search.search import search
from galaxy_edge.training.search.worker import run_worker

def objective(spec, report):
    report(1, 0.1)
    mark = pathlib.Path(os.environ["MARKS"])
    (mark / f"{os.environ['NAME']}-{len(list(mark.iterdir()))}").touch()
    while len(list(mark.glob(os.environ["NAME"] + "-*"))) == int(os.environ["HANG_AT"]):
        time.sleep(0.05)
    time.sleep(0.05)
    return 0.1 * math.log10(cost(spec, 9).macs)

if __name__ == "__main__":
    folder, trials, workers = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if workers > 1:
        search(objective, folder, trials, workers=workers)
    else:
        run_worker(objective, folder, trials)
"""


@pytest.fixture
def start(tmp_path):
    """Start a process of its own that works on ``tmp_path / "study"``.

    One named so hangs in its n-th trial.
    """
    (tmp_path / "marks").mkdir()
    (tmp_path / "script.py").write_text(SCRIPT)
    started = []

    def begin(name, trials, hang_at=-1, workers=1):
        environment = {**os.environ, "MARKS": str(tmp_path / "marks"), "NAME": name, "HANG_AT": str(hang_at)}
        started.append(
            subprocess.Popen(
                [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "study"), str(trials), str(workers)],
                env=environment,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def wait_for_mark(folder, name, count):
    while len(list((folder / "marks").glob(f"{name}-*"))) < count:
        time.sleep(0.05)


def test_trial_of_a_killed_process_is_repeated_by_the_other(tmp_path, start):
    # A lost machine must cost its time and nothing else: the other finishes, its networks included, and no more.
    victim = start("victim", 9, hang_at=2)
    wait_for_mark(tmp_path, "victim", 2)
    helper = start("helper", 9)
    wait_for_mark(tmp_path, "helper", 2)
    # The helper's next trial has no owner yet if it is seen at its beginning.
    begun = [(trial, trial.user_attrs.get("owner", "")) for trial in running(open_study(tmp_path / "study"))]
    (lost,) = [trial for trial, owner in begun if f"-{victim.pid}-" in owner]
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert helper.wait(timeout=300) == 0
    study = open_study(tmp_path / "study")
    assert len(points(study)) == 9 and not running(study)
    assert study.trials[lost.number].state == optuna.trial.TrialState.FAIL
    assert networks(study).count(from_choice(lost.params).to_dict()) == 1
    # Two that drew from the same numbers would have tried each network twice.
    assert len({json.dumps(network) for network in networks(study)}) == 9
    # A sound worker leaves no sign of life behind it, so that a folder does not fill up.
    assert [path.name.split("-")[-2] for path in (tmp_path / "study/workers").iterdir()] == [str(victim.pid)]


def test_killed_study_resumes_with_the_same_trials(tmp_path, start):
    # The seed in a report must lead to the same networks on a machine that crashed and on one that did not.
    victim = start("victim", 14, hang_at=4)
    wait_for_mark(tmp_path, "victim", 4)
    victim.send_signal(signal.SIGKILL)
    victim.wait()

    def objective(spec, report):
        report(1, 0.1)
        return 0.1 * math.log10(cost(spec, 9).macs)

    assert run_worker(objective, tmp_path / "study", 14) == 14 - 3
    run_worker(objective, tmp_path / "whole", 14)
    assert networks(open_study(tmp_path / "study")) == networks(open_study(tmp_path / "whole"))


def read_trials(folder):
    """Return the results in ``trials.json``."""
    trials = json.loads((folder / "trials.json").read_text())["trials"]
    return [TrialResult.from_dict(values, "macro_f1") for values in trials]


def test_workers_of_a_single_call_share_the_trials(tmp_path, start):
    # Both processes must get work: with the name they share, the first waits in its trial until the second has one.
    assert start("both", 6, hang_at=1, workers=2).wait(timeout=300) == 0
    study = open_study(tmp_path / "study")
    assert len(points(study)) == 6
    assert len({trial.user_attrs["owner"] for trial in study.trials}) == 2
    assert read_trials(tmp_path / "study") == points(study)


def test_many_workers_at_once_count_right(tmp_path):
    # All ask for the last trials together; one trial too many is an hour of training nobody asked for.
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(run_worker, formula, tmp_path, 8) for _ in range(6)]
    assert sum(future.result() for future in done) == 8
    study = open_study(tmp_path)
    assert len(study.trials) == 8
    assert len({json.dumps(network) for network in networks(study)}) == 8


@pytest.mark.parametrize("when", ["report", "end"])
def test_trial_taken_over_while_asleep(tmp_path, when):
    # A laptop that slept wakes up in a trial that another machine has run since: its late result must not count twice.
    folder, calls = tmp_path / "study", []

    def objective(spec, report):
        calls.append(spec)
        if len(calls) == 2:
            study = open_study(folder)
            module._give_back(study, CLASSIFIERS, running(study)[0].number)
            if when == "report":
                report(1, 0.3)
        return 0.5

    assert run_worker(objective, folder, 4) == 4
    assert len(calls) == 5 and calls[2] == calls[1]
    assert len(points(open_study(folder))) == 4


def test_silent_worker_elsewhere_is_dead(tmp_path):
    # The lock of another machine cannot be seen on every shared folder: there, its silence decides.
    with store.Heartbeat(tmp_path) as me, store.Heartbeat(tmp_path) as other:
        assert me.is_alive(me.name) and me.is_alive(other.name) and not me.is_alive("gone-1-00000000")
        file = tmp_path / "workers" / "elsewhere-7-12345678"
        for age, alive in ((0, True), (store.SILENT_SECONDS - 30, True), (store.SILENT_SECONDS + 30, False)):
            file.touch()
            os.utime(file, (time.time() - age,) * 2)
            assert me.is_alive(file.name) == alive
    assert not me.is_alive(other.name)


def test_death_while_giving_a_trial_back(tmp_path, monkeypatch):
    # Whoever dies after lining up the copy and before failing the trial must not have it lined up twice.
    tell = optuna.Study.tell

    def die(*_, **__):
        raise SystemExit

    def broken(spec, report):
        monkeypatch.setattr(optuna.Study, "tell", die)
        raise OSError

    with pytest.raises(SystemExit):
        run_worker(broken, tmp_path, 4)
    monkeypatch.setattr(optuna.Study, "tell", tell)
    run_worker(formula, tmp_path, 4)
    study = open_study(tmp_path)
    assert [trial.state.name for trial in study.trials] == ["FAIL"] + ["COMPLETE"] * 4
    assert study.trials[1].params == study.trials[0].params != study.trials[2].params


def test_objective_that_raises_is_tried_again(tmp_path):
    # A full disk ends the worker; the network must not be lost with it. One that kills every time must end.
    seen = []

    def broken(spec, report):
        seen.append(spec)
        raise OSError("disk full")

    for _ in range(ATTEMPTS):
        with pytest.raises(OSError, match="disk full"):
            run_worker(broken, tmp_path / "study", 3)
    assert len(set(seen)) == 1
    with pytest.raises(OSError, match="disk full"):
        run_worker(broken, tmp_path / "study", 3)
    assert seen[-1] != seen[0]
    assert run_worker(formula, tmp_path / "study", 3) == 3
    assert seen[-1].to_dict() in networks(open_study(tmp_path / "study"))
    assert len(points(open_study(tmp_path / "study"))) == 3


def _fails(spec, report):
    raise RuntimeError("a lamp went out")


def test_a_worker_of_several_ends_without_a_traceback(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("GALAXY_EDGE_DEBUG", raising=False)
    with pytest.raises(SearchError, match="2 of 2 workers stopped with 0 of 1 trials done"):
        search(_fails, tmp_path, 1, workers=2)
    errors = capfd.readouterr().err
    assert "unexpected RuntimeError: a lamp went out" in errors and "Traceback" not in errors
