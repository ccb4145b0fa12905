"""Saved tables show what their command found, and other files are rejected."""

import json

import pytest

pytest.importorskip("tensorflow")  # tables are saved where networks are trained

from galaxy_edge.benchmarks.accuracy.result_tables import TITLES, save_table, saved_tables
from galaxy_edge.training.classifier.recipe import SCRATCH
from galaxy_edge.training.run import RunError
from galaxy_edge.training.study.detector_table import comparison_table

NETWORK = {
    "size": 60, "stem_channels": 16, "stem_kernel": 3, "stem_stride": 2, "pooling": "average", "dense": 0, "dropout": 0.2,
    "stages": [{"width": 24, "depth": 1, "kernel": 3, "kind": "plain"}],
}  # fmt: skip


def point(number, score, macs):
    return {
        "number": number,
        "state": "complete" if score else "pruned",
        "macro_f1": score,
        "macs": macs,
        "parameters": 1000,
        "int8_bytes": 20_480,
        "curve": [[1, 0.3]],
        "network": NETWORK,
    }


def row(name, f1):
    scores = {key: f1 for key in ("accuracy", "precision", "recall", "f1", "auc", "coarse_accuracy", "ece")}
    return {
        "name": name,
        "seeds": [1],
        **scores,
        **{f"{key}_sd": None for key in scores},
        "epochs": 15,
        "parameters": 1000,
        "macs": 2_000_000,
    }


COMPARISON = {
    "about": {"budget": {"scenes": 6400, "core_hours": None, "patience": 2}},
    "rows": [{
        "name": "quick", "seeds": [1, 2], "scenes": [6400, 6400], "core_hours": [0.02, 0.02], "ended_by_limit": 1,
        "images": [200, 210], "parameters": 851_310, "macs": 92_900_000,
        "means": {"map50": 0.75, "threshold": 0.45, "precision": 0.9},
        "spreads": {"map50": 0.05, "threshold": 0.01, "precision": 0.01},
    }],
}  # fmt: skip

FOUND = {
    "views": ("table.json", [row("none", 0.5), row("sky", 0.625)], ["| sky | 0.625 |", "At most 15 epochs each, seed 1"]),
    "folds": ("comparison.json", {
        "recipes": ["scratch", "small"], "folds": 5, "repeats": 1, "epochs": 12, "pairs": 5, "reading": "Read it so.",
        "metrics": {"f1": {"a": {"mean": 0.5, "std": 0.01}, "b": {"mean": 0.6, "std": 0.02}, "difference": 0.1,
                           "pairs_used": 5, "p": 0.0625, "smallest_p": 0.0625}},
    }, ["| f1 | 0.500 ± 0.010 | 0.600 ± 0.020 | +0.100 | 0.0625 |", "Read it so.", "5 folds, 1 time, at most 12"]),
    "search": ("trials.json", {
        "agreed": {"about": {"epochs": 12}}, "front": [3, 1],
        "trials": [point(1, 0.7, 5_000_000), point(2, None, 9_000_000), point(3, 0.6, 2_500_000)],
    }, ["2 of 3 trials of 12 epochs (1 of them pruned)", "| 3 | 0.600 | 2.50 M |", "| 1 | 0.700 | 5.00 M |"]),
    "report-search": ("trials.json", {"trials": [
        {"trial": 0, "values": {"dense": 64, "dropout": 0.2}, "accuracy": 0.625, "macro_f1": 0.5, "macs": 30_000_000,
         "parameters": 400_000},
    ]}, ["| 0.625 | 0.500 | 30.0 | 400,000 | 64 | 0.2 |"]),
    "cross": ("cross.json", {
        "groups": {}, "coarse_accuracy": {"efigi": {"efigi": 0.9, "gz": 0.75}, "gz": {"efigi": 0.5, "gz": 0.875}},
        "recall": {"efigi": {"efigi": {"smooth": 0.9}, "gz": {"smooth": 0.75}},
                   "gz": {"efigi": {"smooth": 0.5}, "gz": {"disk": 1.0, "smooth": 0.85}}},
        "pictures": {"efigi": {"efigi": {"smooth": 10}, "gz": {"smooth": 20}},
                     "gz": {"efigi": {"smooth": 10}, "gz": {"disk": 4, "smooth": 20}}},
    }, ["| efigi | 0.900 [0.596, 0.982] | 0.750 [0.531, 0.888] |", "| efigi | gz | | 0.75 (20) |",
        "| gz | 0.500 [0.237, 0.763] | 0.850 [0.640, 0.948] |",  # over the group that both have
        "on gz (20 images)", "| the most frequent group | 1.000 | 1.000 |",
        "| gz | gz | | 0.85 (20) |"]),  # 4 images of a group are too few
    "detector-folds": ("folds.json", {
        "folds": 3, "seed": 4, "network": "quick", "epochs": 16, "scenes": 1600, "images": [301, 299, 300],
        "metrics": {"map50": {"mean": 0.75, "std": 0.05, "values": [0.7, 0.75, 0.8]},
                    "map50_deepsky_frames": {"mean": 0.5, "std": 0.1, "values": [0.4, None, 0.6]}},
    }, ["| mAP@0.5 | 0.750 | 0.050 | 0.700 | 0.750 | 0.800 |", "3 networks 'quick' (seed 4), at most 16 epochs of 1600 scenes",
        "| mAP@0.5, deep-sky photographs | 0.500 | 0.100 | 0.400 | | 0.600 |", "(301, 299, 300 images)"]),
    "detectors-scenes": ("comparison.json", COMPARISON, [
        "at most 6,400 scenes each, as float32. The limit ended 1 of the 2 runs", "holds other images out (200, 210)",
        "| quick | 0.750 ± 0.050 | | | | | | 0.450 ± 0.010 | 0.900 ± 0.010 | | 6,400 | 0.02 | 92.9 | 1, 2 |"]),
    "detectors-hours": ("comparison.json", COMPARISON | {"about": {"budget": {"scenes": None, "core_hours": 0.5}}}, [
        "at most 0.5 core-hours each, as float32"]),
}  # fmt: skip

COMMANDS = {
    "detector-folds": "train detector --folds",
    "detectors-scenes": "study compare-detectors --scenes",
    "detectors-hours": "study compare-detectors --core-hours",
}


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (0.02, "at most 0.02 core-hours each, as float32"),
        (0.01, "at most 0.01 core-hours each by the speed measured first (the longest took 0.02), as float32"),
    ],
)
def test_a_run_over_its_core_hours_is_said(limit, said):
    about = {"budget": {"scenes": None, "core_hours": limit}}
    assert said in comparison_table(COMPARISON | {"about": about})


@pytest.mark.parametrize("name", ["views", "balance"])
def test_rows_of_another_command_are_not_saved(name, tmp_path):
    """A comparison of networks is not one of augmentations."""
    (tmp_path / "table.json").write_text(json.dumps([row("simple", 0.5), row("bigger", 0.6)]))
    with pytest.raises(RunError, match=f"rows that 'galaxy-edge study {name}' does not make: simple, bigger"):
        save_table(name, tmp_path, tmp_path / "results")


def test_runs_of_both_comparisons_are_named(tmp_path):
    """Two tables that share runs are not two measurements."""
    other = COMPARISON["rows"][0] | {"name": "stock", "seeds": [1, 2]}
    more = COMPARISON["rows"][0] | {"scenes": [12_800, 12_800]}
    for name, limit, rows in (
        ("scenes", {"scenes": 6400, "core_hours": None}, [COMPARISON["rows"][0], other]),
        ("hours", {"scenes": None, "core_hours": 0.5}, [more, other]),
    ):
        found = {"about": {"budget": limit}, "rows": rows}
        (tmp_path / f"table-detectors-{name}.json").write_text(json.dumps(found))
    pages = saved_tables(tmp_path)
    assert pages[-1].endswith("The same runs as in the table before: stock.") and "same runs" not in pages[1]


@pytest.mark.parametrize("name", FOUND)
def test_saved_table_shows_what_was_found(name, tmp_path):
    """The numbers of the page are those of the command's own file."""
    file, content, lines = FOUND[name]
    (tmp_path / file).write_text(json.dumps(content))
    assert save_table(name, tmp_path, tmp_path / "results").name == f"table-{name}.json"
    page = "\n".join(saved_tables(tmp_path / "results"))
    assert TITLES[name] in page
    for line in lines:
        assert line in page
    assert not any(other in page for key, other in TITLES.items() if key != name)


def test_learning_curves_of_trials_are_not_saved(tmp_path):
    """Learning curves would make the saved table many times as large.

    The page does not show them.
    """
    (tmp_path / "trials.json").write_text(json.dumps(FOUND["search"][1]))
    assert "curve" not in save_table("search", tmp_path, tmp_path).read_text()


@pytest.mark.parametrize("content", ["", "[]", "{}", "[3]", '{"trials": []}', '{"coarse_accuracy": 3}'])
@pytest.mark.parametrize("name", FOUND)
def test_file_that_is_not_a_table_is_rejected(name, content, tmp_path):
    """A damaged or foreign file must not reach the page."""
    (tmp_path / FOUND[name][0]).write_text(content)
    command = COMMANDS.get(name, f"study {name}")
    with pytest.raises(RunError, match=f"is not a table of 'galaxy-edge {command}'"):
        save_table(name, tmp_path, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_unknown_names_and_missing_files_are_rejected(tmp_path):
    """The message lists the known names."""
    with pytest.raises(RunError, match=r"no table 'other'; known tables: views"):
        save_table("other", tmp_path, tmp_path)
    with pytest.raises(RunError, match=r"cannot be read \(No such file or directory\): name the --out"):
        save_table("scratch", tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("trained", "sentence"),
    [
        ([15, 9], "The limit ended 1 of the 2 runs, which were not trained until convergence."),
        ([11, 9], "All runs ended before, because the validation loss no longer fell."),
    ],
)
def test_table_says_whether_its_runs_had_converged(trained, sentence, tmp_path):
    """Networks that converge later look worse under a small limit."""
    rows = [row("none", 0.5) | {"network": "scratch", "trained": trained}]
    (tmp_path / "table.json").write_text(json.dumps(rows))
    save_table("balance", tmp_path, tmp_path)
    page = "\n".join(saved_tables(tmp_path))
    assert sentence in page and "Network 'scratch'." in page


def test_table_of_an_unfinished_or_mixed_study_is_not_saved(tmp_path):
    """A page shows complete tables only, whose rows can be compared."""
    rows = [row(name, 0.5) for name in SCRATCH]
    cases = (
        (rows[:-1], r"has no row yet of dropout\+l1l2\+batch_norm: give the command of the study"),
        ([*rows[:-1], rows[-1] | {"seeds": [1, 2]}], "different seeds"),
        ([*rows[:-1], rows[-1] | {"epochs": 30}], "different epochs"),
    )
    for content, message in cases:
        (tmp_path / "table.json").write_text(json.dumps(content))
        with pytest.raises(RunError, match=message):
            save_table("scratch", tmp_path, tmp_path / "results")
    assert not (tmp_path / "results").exists()
    (tmp_path / "table.json").write_text(json.dumps(rows))
    assert save_table("scratch", tmp_path, tmp_path / "results").exists()


def test_a_comparison_of_detectors_has_its_kind_of_limit_and_equal_seeds(tmp_path):
    """The two tables answer different questions.

    A row with one seed more is another experiment.
    """
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps(COMPARISON))
    with pytest.raises(RunError, match="not a comparison with --core-hours: save it under the other name"):
        save_table("detectors-hours", tmp_path, tmp_path / "results")
    second = COMPARISON["rows"][0] | {"name": "stock", "seeds": [1]}
    path.write_text(json.dumps(COMPARISON | {"rows": [*COMPARISON["rows"], second]}))
    with pytest.raises(RunError, match=r"have different seeds \(quick: 1, 2; stock: 1\)"):
        save_table("detectors-scenes", tmp_path, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_table_is_saved_under_the_name_of_its_study_only(tmp_path):
    """A table of balance would stand under the title of augmentation."""
    (tmp_path / "table.json").write_text(json.dumps([row("none", 0.5), row("full", 0.6)]))
    (tmp_path / "study.json").write_text(
        json.dumps({"about": {"command": "balance"}, "recipes": {"none": {}, "full": {}}})
    )
    with pytest.raises(RunError, match="is the output of 'galaxy-edge study balance', not of 'study views'"):
        save_table("views", tmp_path, tmp_path / "results")
    assert save_table("balance", tmp_path, tmp_path / "results").exists()


def test_table_without_a_network_of_its_study_is_not_saved(tmp_path):
    """A study that was killed has a table of what was finished until then."""
    (tmp_path / "study.json").write_text(
        json.dumps({"about": {}, "recipes": {"none": {}, "full": {}, "quick": {}, "nano": {}}})
    )
    (tmp_path / "table.json").write_text(json.dumps([row("none", 0.5), row("full", 0.6)]))
    (tmp_path / "comparison.json").write_text(json.dumps(COMPARISON))
    for name in ("balance", "detectors-scenes"):
        with pytest.raises(RunError, match=r"has no row yet of .*nano: give the command of the study again"):
            save_table(name, tmp_path, tmp_path / "results")


@pytest.mark.parametrize(("rows", "message"), [
    ([row("none", 0.5)] * 2, "a row is there twice"),
    ([row("none", 0.5) | {"seeds": [1, 1]}], "a row has a seed twice"),
    ([row("none", 0.5) | {"seeds": []}], "a row has a seed twice, or none"),
])  # fmt: skip
def test_table_that_counts_a_run_twice_is_not_saved(tmp_path, rows, message):
    (tmp_path / "table.json").write_text(json.dumps(rows))
    with pytest.raises(RunError, match=message):
        save_table("balance", tmp_path, tmp_path / "results")


@pytest.mark.parametrize("content", ["[", "null", "[1]"])
def test_damaged_saved_table_is_named(tmp_path, content):
    (tmp_path / "table-balance.json").write_text(content)
    with pytest.raises(RunError, match=r"table-balance\.json is damaged"):
        saved_tables(tmp_path)
