"""The front of a search, and what is picked from it."""

import json

import pytest

pytest.importorskip("optuna")

from galaxy_edge.training.classifier.small_network import cost
from galaxy_edge.training.search.pareto_front import pareto, pick, points, table
from galaxy_edge.training.search.search import search
from galaxy_edge.training.search.study_store import SearchError


def score(spec, report):
    """Score a network by its cost and by a knob that costs little, so that some are on the front and some behind."""
    report(1, 0.1)
    return 0.1 * len(str(cost(spec, 9).macs)) - 0.05 * abs(spec.size - 69) / 21 - 0.05 * (spec.pooling == "both")


def test_front_against_a_slow_twin(tmp_path):
    study = search(score, tmp_path / "study", 25)
    found = points(study)

    def beaten(one):
        return any(
            (other["macro_f1"], -other["macs"]) != (one["macro_f1"], -one["macs"])
            and other["macro_f1"] >= one["macro_f1"]
            and other["macs"] <= one["macs"]
            for other in found
        )

    expected = sorted((one for one in found if not beaten(one)), key=lambda one: one["macs"])
    assert pareto(study) == expected and 1 < len(expected) < 25
    record = json.loads((tmp_path / "study/trials.json").read_text())
    assert record["front"] == [one["number"] for one in expected]
    assert record["agreed"]["seed"] == 1
    assert table(found).count("\n") == 2 + 25 and f"| {found[3]['macs'] / 1e6:.2f} M |" in table(found)


def made_up(score, macs, kib):
    return {"macro_f1": score, "macs": macs, "int8_bytes": kib * 1024}


def test_pick():
    found = [made_up(0.7, 5, 70), made_up(0.8, 50, 60), made_up(0.8, 40, 90), made_up(None, 1, 1)]
    assert pick(found) is found[2]  # the cheaper of two as good
    assert pick(found, max_kib=60) is found[1]  # at its very limit
    assert pick(found, max_macs=39) is found[0]
    with pytest.raises(SearchError, match=r"none of 3 networks is within 4 MACs.*cheapest takes 5 MACs and 70 KiB"):
        pick(found, max_macs=4)
    with pytest.raises(SearchError, match="no trial has finished"):
        pick(found[3:])
