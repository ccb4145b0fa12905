"""The search: several processes, deaths and resumes on one journal, limits, pruning, and the front that comes out."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

optuna = pytest.importorskip("optuna")

from galaxy_edge.training import search as module  # noqa: E402
from galaxy_edge.training import search_store as store  # noqa: E402
from galaxy_edge.training.front import points  # noqa: E402
from galaxy_edge.training.search import ATTEMPTS, falls_behind, run_worker, search  # noqa: E402
from galaxy_edge.training.search_store import Limits, SearchError, open_study  # noqa: E402
from galaxy_edge.training.small_network import CLASSIFIERS, SPACE, START, SmallNetwork, cost, from_choice  # noqa: E402


def formula(spec, report):
    """A score that grows with what a network costs, and with nearness to one place of the space."""
    report(1, 0.1)
    return 0.1 * math.log10(cost(spec, 9).macs) - 0.05 * distance(spec.to_dict())


SCRIPT = """
import math, os, pathlib, sys, time
from galaxy_edge.training.search import run_worker, search
from galaxy_edge.training.small_network import cost

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
    """Start a process of its own that works on ``tmp_path / "study"``; one named so hangs in its n-th trial."""
    (tmp_path / "marks").mkdir()
    (tmp_path / "script.py").write_text(SCRIPT)
    started = []

    def begin(name, trials, hang_at=-1, workers=1):
        environment = {**os.environ, "MARKS": str(tmp_path / "marks"), "NAME": name, "HANG_AT": str(hang_at)}
        started.append(subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(tmp_path / "study"),
                                         str(trials), str(workers)], env=environment))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def wait_for_mark(folder, name, count):
    while len(list((folder / "marks").glob(f"{name}-*"))) < count:
        time.sleep(0.05)


def running(study):
    return study.get_trials(states=(optuna.trial.TrialState.RUNNING,))


def networks(study):
    return [point["network"] for point in points(study)]


def test_two_processes_one_killed(tmp_path, start):
    # A lost machine must cost its time and nothing else: the other finishes, its networks included, and no more.
    victim = start("victim", 9, hang_at=2)
    wait_for_mark(tmp_path, "victim", 2)
    helper = start("helper", 9)
    wait_for_mark(tmp_path, "helper", 2)
    (lost,) = [trial for trial in running(open_study(tmp_path / "study"))
               if str(victim.pid) in trial.user_attrs["owner"]]
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


def test_killed_study_goes_on_as_if_it_had_not_been(tmp_path, start):
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


def test_workers_of_one_call(tmp_path, start):
    # Both processes must get work: with the name they share, the first waits in its trial until the second has one.
    assert start("both", 6, hang_at=1, workers=2).wait(timeout=300) == 0
    study = open_study(tmp_path / "study")
    assert len(points(study)) == 6
    assert len({trial.user_attrs["owner"] for trial in study.trials}) == 2
    assert json.loads((tmp_path / "study/trials.json").read_text())["trials"] == json.loads(json.dumps(points(study)))


def distance(network):
    """How far a network is from the place that `formula` prefers at every cost."""
    return (abs(network["stages"][2]["width"] - 96) / 48 + abs(network["size"] - 69) / 21
            + (network["pooling"] == "both"))


def test_search_learns(tmp_path):
    # Blind draws would do as well early as late; what the sampler proposes must be nearer to the good place. The score
    # alone would not tell: cheap networks are proposed too, for the front.
    found = networks(search(formula, tmp_path / "study", 46, seed=3))[1:]  # the first was not drawn
    assert np.mean([distance(one) for one in found[-15:]]) < 0.75 * np.mean([distance(one) for one in found[:10]])


def test_limits_waste_no_trial(tmp_path):
    # About one drawn network in twenty is this small; each must be found before a trial of it begins.
    limits = Limits(max_macs=4_000_000, max_kib=60)
    study = search(formula, tmp_path / "study", 14, limits=limits)
    assert len(study.trials) == 14
    for point in points(study):
        price = cost(SmallNetwork.from_dict(point["network"]), 9)
        assert (price.macs, price.int8_bytes) == (point["macs"], point["int8_bytes"])
        assert point["macs"] <= 4_000_000 and point["int8_bytes"] <= 60 * 1024


def test_a_search_begins_with_the_known_design_where_that_is_within_the_limits(tmp_path):
    first = from_choice(START).to_dict()
    assert networks(search(formula, tmp_path / "free", 2))[0] == first
    assert first not in networks(search(formula, tmp_path / "tight", 2, limits=Limits(max_macs=2_000_000)))
    assert networks(search(formula, tmp_path / "free", 4)).count(first) == 1


def test_impossible_limits_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "DRAWS", 500)
    with pytest.raises(SearchError, match="allow more"):
        run_worker(formula, tmp_path / "study", 3, limits=Limits(max_macs=1000))
    with pytest.raises(SearchError, match="max_kib is -1"):
        Limits(max_kib=-1)


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


def test_diverged_training_is_no_result(tmp_path):
    scores = iter([0.5, float("nan"), 0.6])
    study = search(lambda spec, report: next(scores), tmp_path / "study", 3)
    assert [point["state"] for point in points(study)] == ["complete", "pruned", "complete"]
    assert [point["macro_f1"] for point in points(study)] == [0.5, None, 0.6]


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
    # The lock of another machine cannot be seen on every shared folder: there, its silence must tell.
    with store.Presence(tmp_path) as me, store.Presence(tmp_path) as other:
        assert me.sees(me.name) and me.sees(other.name) and not me.sees("gone-1-00000000")
        file = tmp_path / "workers" / "elsewhere-7-12345678"
        for age, alive in ((0, True), (store.SILENT_SECONDS - 30, True), (store.SILENT_SECONDS + 30, False)):
            file.touch()
            os.utime(file, (time.time() - age,) * 2)
            assert me.sees(file.name) == alive
    assert not me.sees(other.name)


def test_pruning_spares_the_cheap(tmp_path):
    # Being worse than larger networks is what small ones are for: only peers of no more cost may stop a trial.
    cheap, costly = ({name: values[0] for name, values in SPACE.items()} | dict(size=size) for size in (48, 96))
    order = [(costly, 0.6)] * 4 + [(cheap, 0.3), (costly, 0.3), (costly, 0.7)]
    scores = iter([score for _, score in order])

    def objective(spec, report):
        score = next(scores)
        for epoch in range(1, 9):
            report(epoch, score * epoch / 8)
        return score

    run_worker(objective, tmp_path, 0, peers=3, warmup=4)
    study = open_study(tmp_path)
    for choice, _ in order:
        study.enqueue_trial(choice)
    run_worker(objective, tmp_path, len(order), peers=3, warmup=4)
    found = points(open_study(tmp_path))
    assert [point["state"] for point in found] == ["complete"] * 5 + ["pruned", "complete"]
    assert len(found[5]["curve"]) == 4, "at the end of the warm-up, neither before nor after"


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


def test_many_workers_at_once_count_right(tmp_path):
    # All ask for the last trials together; one trial too many is an hour of training nobody asked for.
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(run_worker, formula, tmp_path, 8) for _ in range(6)]
    assert sum(one.result() for one in done) == 8
    study = open_study(tmp_path)
    assert len(study.trials) == 8
    assert len({json.dumps(network) for network in networks(study)}) == 8


def test_falls_behind_against_a_slow_twin():
    rng = np.random.default_rng(5)
    verdicts = set()
    for _ in range(300):
        epoch, peers = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        curves = [{at: float(rng.random()) for at in range(1, int(rng.integers(1, 8)))} for _ in range(5)]
        best = float(rng.random())
        reached = []
        for curve in curves:
            if epoch in curve:  # these curves have no gaps
                reached.append(max(curve[at] for at in range(1, epoch + 1)))
        reached.sort()
        middle = len(reached) // 2
        median = (reached[middle] if len(reached) % 2 else sum(reached[middle - 1 : middle + 1]) / 2) if reached else 0
        expected = len(reached) >= peers and best < median
        assert falls_behind(best, curves, epoch, peers) == expected
        verdicts.add(expected)
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 2}, "begun with seed=1, not 2"),
        ({"limits": Limits(max_kib=99)}, "begun with max_kib=None, not 99"),
        ({"about": {"data": "other"}}, "begun on other data: go on"),
    ],
)
def test_study_keeps_to_what_it_began_with(tmp_path, change, words):
    run_worker(formula, tmp_path, 1)
    with pytest.raises(SearchError, match=words):
        run_worker(formula, tmp_path, 2, **change)


def test_study_of_another_space(tmp_path, monkeypatch):
    run_worker(formula, tmp_path, 1)
    monkeypatch.setitem(SPACE, "dense", range(0, 65, 32))
    with pytest.raises(SearchError, match="another space"):
        run_worker(formula, tmp_path, 2)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text.replace("\n", "\n\x00\x00\n", 1), "damaged at line 2"),
        (lambda text: '{"a": 1}\n' + text, "damaged at line 1"),
        (lambda text: "[3]\n", "damaged at line 1"),
        (lambda text: '{"op_code": 77, "worker_id": "x"}\n', "not the journal of a search"),
        (lambda text: '{"op_code": 4, "worker_id": "x"}\n', "not the journal of a search"),
    ],
    ids=["zeros", "no operation", "list", "unknown operation", "incomplete operation"],
)
def test_damaged_journal(tmp_path, damage, words):
    run_worker(formula, tmp_path, 1)
    journal = tmp_path / "study.journal"
    journal.write_text(damage(journal.read_text()))
    with pytest.raises(SearchError, match=words):
        run_worker(formula, tmp_path, 2)


def test_half_a_line_at_the_end_is_one_that_was_never_written(tmp_path):
    # A power cut or a full disk in the middle of a write.
    (tmp_path / "cut").mkdir()
    run_worker(formula, tmp_path / "whole", 4)
    run_worker(formula, tmp_path / "cut", 3)
    journal = tmp_path / "cut" / "study.journal"
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"worker_id":"0d')
    run_worker(formula, tmp_path / "cut", 4)
    whole, cut = (points(open_study(tmp_path / name)) for name in ("whole", "cut"))
    assert [one["network"] for one in whole] == [one["network"] for one in cut] and len(cut) == 4


def test_a_disk_that_fills_while_workers_write_leaves_the_study_resumable(tmp_path):
    run_worker(formula, tmp_path, 2)
    journal, before = tmp_path / "study.journal", resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (journal.stat().st_size + 700, before[1]))
        with pytest.raises(OSError, match="large"):
            run_worker(formula, tmp_path, 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    # Nothing is left for another worker, which may be at work meanwhile, to append to.
    assert journal.read_bytes().endswith(b"\n")
    run_worker(formula, tmp_path, 4)
    assert len(points(open_study(tmp_path))) == 4


def _fails(spec, report):
    raise RuntimeError("a lamp went out")


def test_a_worker_of_several_ends_without_a_traceback(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("GALAXY_EDGE_DEBUG", raising=False)
    with pytest.raises(SearchError, match="2 of 2 workers stopped with 0 of 1 trials done"):
        search(_fails, tmp_path, 1, workers=2)
    told = capfd.readouterr().err
    assert "unexpected RuntimeError: a lamp went out" in told and "Traceback" not in told


def test_damaged_journal_can_be_mended_as_the_message_says(tmp_path):
    run_worker(formula, tmp_path, 3)
    journal = tmp_path / "study.journal"
    journal.write_text(journal.read_text() + "\x00\x00\n")
    with pytest.raises(SearchError) as caught:
        run_worker(formula, tmp_path, 4)
    line = int(str(caught.value).split("line ")[1].split(":")[0])
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[: line - 1]))
    run_worker(formula, tmp_path, 4)
    assert len(points(open_study(tmp_path))) == 4


def test_no_study_there(tmp_path):
    with pytest.raises(SearchError, match="holds no search"):
        open_study(tmp_path)
    assert not list(tmp_path.iterdir())


def test_real_training(tmp_path):
    # The parts must fit together with a network that trains, not only with formulas.
    keras = pytest.importorskip("keras")
    from galaxy_edge.training.small_network import build

    rng = np.random.default_rng(0)
    losses = []

    def objective(spec, report):
        labels = np.arange(8) % 2
        pictures = (rng.random((8, spec.size, spec.size, 3)) * 60 + 150 * labels[:, None, None, None]).astype("float32")
        model = build(spec, 2)
        # Eagerly: tracing would take longer than the training.
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
        losses.extend(model.train_on_batch(pictures, labels) for _ in range(8))
        report(1, 0.5)
        return 0.5

    search(objective, tmp_path, 1, limits=Limits(max_macs=3_000_000), classes=2)
    assert losses[-1] < losses[0]
