"""The search: proposals, limits, pruning and failed trials."""

import numpy as np
import pytest

optuna = pytest.importorskip("optuna")

from galaxy_edge.training.classifier.small_network import SmallNetwork, cost
from galaxy_edge.training.search import study_store as store
from galaxy_edge.training.search.classifier_space import SPACE, START, from_choice
from galaxy_edge.training.search.pareto_front import points
from galaxy_edge.training.search.search import search
from galaxy_edge.training.search.study_store import Limits, SearchError, open_study
from galaxy_edge.training.search.worker import falls_behind, run_worker
from helpers.search import distance, formula, networks


def test_search_approaches_the_optimum(tmp_path):
    # Blind draws would do as well early as late; what the sampler proposes must be nearer to the optimum. The score
    # alone does not show this: cheap networks are proposed too, for the front.
    found = networks(search(formula, tmp_path / "study", 46, seed=3))[1:]  # the first was not drawn
    assert np.mean([distance(point) for point in found[-15:]]) < 0.75 * np.mean(
        [distance(point) for point in found[:10]]
    )


def test_limits_waste_no_trial(tmp_path):
    # About one drawn network in twenty is this small; each must be found before a trial of it begins.
    limits = Limits(max_macs=4_000_000, max_kib=60)
    study = search(formula, tmp_path / "study", 14, limits=limits)
    assert len(study.trials) == 14
    for point in points(study):
        price = cost(SmallNetwork.from_dict(point.network), 9)
        assert (price.macs, price.int8_bytes) == (point.macs, point.int8_bytes)
        assert point.macs <= 4_000_000 and point.int8_bytes <= 60 * 1024


def test_a_search_begins_with_the_known_design_where_that_is_within_the_limits(tmp_path):
    first = from_choice(START).to_dict()
    assert networks(search(formula, tmp_path / "free", 2))[0] == first
    assert first not in networks(search(formula, tmp_path / "tight", 2, limits=Limits(max_macs=2_000_000)))
    assert networks(search(formula, tmp_path / "free", 4)).count(first) == 1


def test_impossible_limits_are_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "DRAWS", 500)
    with pytest.raises(SearchError, match="allow larger ones"):
        run_worker(formula, tmp_path / "study", 3, limits=Limits(max_macs=1000))
    assert not (tmp_path / "study").exists(), "the folder is free for limits that are possible"
    with pytest.raises(SearchError, match="max_kib is -1"):
        Limits(max_kib=-1)


def test_diverged_training_gives_no_result(tmp_path):
    scores = iter([0.5, float("nan"), 0.6])
    study = search(lambda spec, report: next(scores), tmp_path / "study", 3)
    assert [point.state for point in points(study)] == ["complete", "pruned", "complete"]
    assert [point.score for point in points(study)] == [0.5, None, 0.6]


def test_cheap_trials_are_not_pruned(tmp_path):
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
    assert [point.state for point in found] == ["complete"] * 5 + ["pruned", "complete"]
    assert len(found[5].curve) == 4, "at the end of the warm-up, neither before nor after"


def test_falls_behind_agrees_with_a_plain_implementation():
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


def test_real_training(tmp_path):
    # The parts must fit together with a network that trains, not only with formulas.
    keras = pytest.importorskip("keras")
    from galaxy_edge.training.classifier.small_network import build

    rng = np.random.default_rng(0)
    losses = []

    def objective(spec, report):
        labels = np.arange(8) % 2
        images = (rng.random((8, spec.size, spec.size, 3)) * 60 + 150 * labels[:, None, None, None]).astype("float32")
        model = build(spec, 2)
        # Eagerly: tracing would take longer than the training.
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
        losses.extend(model.train_on_batch(images, labels) for _ in range(8))
        report(1, 0.5)
        return 0.5

    search(objective, tmp_path, 1, limits=Limits(max_macs=3_000_000), classes=2)
    assert losses[-1] < losses[0]
