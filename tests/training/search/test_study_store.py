"""The folder of a search.

Its settings, and its journal when damaged, truncated or on a full disk.
"""

import resource

import pytest

pytest.importorskip("optuna")
from galaxy_edge.training.search.classifier_space import SPACE
from galaxy_edge.training.search.pareto_front import points
from galaxy_edge.training.search.study_store import Limits, SearchError, open_study
from galaxy_edge.training.search.worker import run_worker
from helpers.search import formula


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 2}, "started with seed=1, not 2"),
        ({"limits": Limits(max_kib=99)}, "started with max_kib=None, not 99"),
        ({"about": {"data": "other"}}, "started on other data: continue"),
        ({"about": {"data": "one", "loaded": "other"}}, "started on other data: continue"),
    ],
)
def test_study_is_resumed_with_its_own_settings_only(tmp_path, change, words):
    started = {"about": {"data": "one", "loaded": "all"}}
    run_worker(formula, tmp_path, 1, **started)
    with pytest.raises(SearchError, match=words):
        run_worker(formula, tmp_path, 2, **started | change)


def test_a_search_of_before_a_value_was_recorded_is_continued(tmp_path):
    run_worker(formula, tmp_path, 1, about={"data": "one"})
    assert run_worker(formula, tmp_path, 2, about={"data": "one", "loaded": "all"}) == 1


def test_study_of_another_space(tmp_path, monkeypatch):
    run_worker(formula, tmp_path, 1)
    monkeypatch.setitem(SPACE, "dense", range(0, 65, 32))
    with pytest.raises(SearchError, match="another space"):
        run_worker(formula, tmp_path, 2)


def test_missing_study_is_reported(tmp_path):
    with pytest.raises(SearchError, match="contains no search"):
        open_study(tmp_path)
    assert not list(tmp_path.iterdir())


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


def test_damaged_journal_can_be_repaired_as_the_message_says(tmp_path):
    run_worker(formula, tmp_path, 3)
    journal = tmp_path / "study.journal"
    journal.write_text(journal.read_text() + "\x00\x00\n")
    with pytest.raises(SearchError) as caught:
        run_worker(formula, tmp_path, 4)
    line = int(str(caught.value).split("line ")[1].split(":")[0])
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[: line - 1]))
    run_worker(formula, tmp_path, 4)
    assert len(points(open_study(tmp_path))) == 4


def test_incomplete_last_line_is_ignored(tmp_path):
    # A power cut or a full disk in the middle of a write.
    (tmp_path / "cut").mkdir()
    run_worker(formula, tmp_path / "whole", 4)
    run_worker(formula, tmp_path / "cut", 3)
    journal = tmp_path / "cut" / "study.journal"
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"worker_id":"0d')
    run_worker(formula, tmp_path / "cut", 4)
    whole, cut = (points(open_study(tmp_path / name)) for name in ("whole", "cut"))
    assert [trial.network for trial in whole] == [trial.network for trial in cut] and len(cut) == 4


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
