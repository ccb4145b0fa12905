"""The Pareto front of a search, and the network that is picked from it."""

import json

import pytest

pytest.importorskip("optuna")

from galaxy_edge.training.classifier.small_network import cost
from galaxy_edge.training.search.pareto_front import TrialResult, pareto, pick, points, table
from galaxy_edge.training.search.search import search
from galaxy_edge.training.search.study_store import SearchError


def score(spec, report):
    """Score a network by its cost and a nearly free knob, so that not all are best.

    Some are on the front and some behind it.
    """
    report(1, 0.1)
    return 0.1 * len(str(cost(spec, 9).macs)) - 0.05 * abs(spec.size - 69) / 21 - 0.05 * (spec.pooling == "both")


def test_front_equals_that_of_a_slow_search_for_dominated_trials(tmp_path):
    study = search(score, tmp_path / "study", 25)
    found = points(study)

    def is_dominated(result):
        return any(
            (other.score, -other.macs) != (result.score, -result.macs)
            and other.score >= result.score
            and other.macs <= result.macs
            for other in found
        )

    expected = sorted((result for result in found if not is_dominated(result)), key=lambda result: result.macs)
    assert pareto(study) == expected and 1 < len(expected) < 25
    record = json.loads((tmp_path / "study/trials.json").read_text())
    assert record["front"] == [result.number for result in expected]
    assert record["agreed"]["seed"] == 1
    assert table(found).count("\n") == 2 + 25 and f"| {found[3].macs / 1e6:.2f} M |" in table(found)


def trial_result(score, macs, kib):
    return TrialResult(0, "complete", score, macs, 0, kib * 1024, {})


def test_results_in_json_have_the_keys_of_earlier_versions():
    """``trials.json`` names the score after the metric.

    Results of earlier versions without a curve are read too.
    """
    result = TrialResult(3, "pruned", None, 5, 6, 7, {"size": 69}, ((1, 0.25), (2, 0.5)))
    values = {
        "number": 3, "state": "pruned", "macro_f1": None, "macs": 5, "parameters": 6, "int8_bytes": 7,
        "network": {"size": 69}, "curve": [[1, 0.25], [2, 0.5]],
    }  # fmt: skip
    assert result.to_dict("macro_f1") == values and TrialResult.from_dict(values, "macro_f1") == result
    del values["curve"]
    assert TrialResult.from_dict(values, "macro_f1").curve == ()


def test_pick_takes_the_best_score_within_the_limits():
    found = [trial_result(0.7, 5, 70), trial_result(0.8, 50, 60), trial_result(0.8, 40, 90), trial_result(None, 1, 1)]
    assert pick(found) is found[2]  # the cheaper of two as good
    assert pick(found, max_kib=60) is found[1]  # at its very limit
    assert pick(found, max_macs=39) is found[0]
    with pytest.raises(SearchError, match=r"none of 3 networks is within 4 MACs.*cheapest takes 5 MACs and 70 KiB"):
        pick(found, max_macs=4)
    with pytest.raises(SearchError, match="no trial has finished"):
        pick(found[3:])
