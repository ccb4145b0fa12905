"""The commands of the study, from images to a page of results."""

import json

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.training.run import RunError

pytest.importorskip("tensorflow", reason="needs the train extra")

NAMES = ("edge_on_no_bulge", "smooth_round", "spiral_loose")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Forty rendered galaxies of each of three classes, each with other stars."""
    root = tmp_path_factory.mktemp("galaxies")
    for kind, name in enumerate(NAMES):
        (root / name).mkdir()
        for number in range(40):
            rng = np.random.default_rng([kind, number])
            image = rng.integers(4, 16, (64, 64, 3)).astype(np.uint8)
            turn = int(rng.integers(0, 180))
            cv2.ellipse(image, (32, 32), (16, (4, 14, 9)[kind]), turn, 0, 360, (160, 120 + 40 * kind, 150), -1)
            for x, y in rng.integers(2, 61, (14, 2)):
                image[y - 1 : y + 2, x - 1 : x + 2] = rng.integers(90, 255)
            cv2.imwrite(str(root / name / f"{number}.png"), image)
    return root


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


def call(*words):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def compared(data, out):
    text = call(
        "study", "compare", "simple", "scratch", "--data", data, "--out", out / "two", "--epochs", 2, "--threads", 1
    )
    return out / "two", text


def test_compare_trains_each_recipe_and_writes_a_table(compared):
    """Every run folder is complete, and the printed table is the written one."""
    folder, text = compared
    assert "| simple |" in text and "| scratch |" in text
    assert (folder / "table.md").read_text().strip() == text.strip()
    for name in ("simple", "scratch"):
        run = folder / name / "seed1"
        for file in ("run.json", "log.jsonl", "model.keras", "learning.png", "confusion.png", "reliability.png"):
            assert (run / file).stat().st_size > 0, file
        assert list((run / "tensorboard").glob("events*"))


def test_same_command_again_trains_nothing(compared, data):
    """Finished runs are kept: their files are not written again."""
    folder, text = compared
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/model.keras")}
    again = call(
        "study", "compare", "simple", "scratch", "--data", data, "--out", folder, "--epochs", 2, "--threads", 1
    )
    assert again == text
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/*/model.keras")} == before


def test_ensemble_is_found_evaluated_and_reported(compared, data, out):
    """The numbers pass from one command to the next by their files."""
    folder, _ = compared
    runs = [folder / name / "seed1" for name in ("simple", "scratch")]
    found = json.loads(call("study", "ensemble", *runs, "--out", out / "both"))
    assert sum(found["weights"]) == pytest.approx(1) and found["chosen_on"] == "validation"
    results = out / "results"
    result = json.loads(
        call(
            "study",
            "evaluate",
            "ensemble",
            *runs,
            "--ensemble",
            out / "both" / "ensemble.json",
            "--data",
            data,
            "--results",
            results,
        )
    )
    assert result["weights"] == found["weights"] and result["images"] > 0
    assert result["temperature"] == found["temperature"] != 1
    with pytest.raises(RunError, match="rows that 'galaxy-edge study views' does not make: "):
        call("study", "save-table", "views", folder, "--results", results)
    call("study", "evaluate", "scratch", runs[1], "--data", data, "--results", results)
    equal = json.loads(call("study", "evaluate", "equal", *runs, "--data", data, "--results", results))
    assert equal["weights"] == [0.5, 0.5] and equal["temperature"] != 1
    call("study", "report", "--results", results, "--out", out / "RESULTS.md")
    page = (out / "RESULTS.md").read_text()
    assert "report: CNN from scratch" in page and "report: ensemble" in page
    assert f"{result['float']['accuracy']:.3f}" in page


def test_run_of_another_split_is_not_evaluated(compared, data, out):
    """Its network may have been trained on images of the test part."""
    with pytest.raises(RunError, match="another split"):
        call(
            "study",
            "evaluate",
            "x",
            compared[0] / "simple" / "seed1",
            "--data",
            data,
            "--split-seed",
            2,
            "--results",
            out,
        )


def test_explain_writes_three_sheets(compared, data, out):
    """The paths that are printed are those of the files."""
    text = call("explain", compared[0] / "simple" / "seed1", data / NAMES[2], "--out", out / "sheets")
    for name in ("heat.png", "activations.png", "filters.png"):
        assert cv2.imread(str(out / "sheets" / name)) is not None and name in text


def test_search_picks_a_network_that_can_be_trained(data, out):
    """The trained network costs what the search computed."""
    pytest.importorskip("optuna", reason="needs the study extra")
    folder = out / "search"
    text = call(
        "study",
        "search",
        "--data",
        data,
        "--out",
        folder,
        "--trials",
        2,
        "--trial-epochs",
        1,
        "--threads",
        1,
        "--max-macs",
        3_000_000,
        "--max-kib",
        80,
    )
    assert "picked: trial" in text and (folder / "front.png").stat().st_size > 0
    picked = json.loads((folder / "picked.json").read_text())
    assert picked["macs"] <= 3_000_000 and picked["int8_bytes"] <= 80 * 1024
    assert "picked: trial" in call("study", "pick", folder, "--max-macs", 3_000_000)
    assert "table-search.json" in call("study", "save-table", "search", folder, "--results", out / "kept")
    run = out / "picked"
    call(
        "train",
        "classifier",
        "--network",
        folder / "picked.json",
        "--data",
        data,
        "--out",
        run,
        "--epochs",
        1,
        "--threads",
        1,
    )
    record = json.loads((run / "run.json").read_text())
    assert record["model"]["macs"] == picked["macs"] and record["model"]["parameters"] == picked["parameters"]


def test_folds_are_compared_and_interpreted(data, out):
    """The sentence about what p can show is part of the page."""
    found = json.loads(
        call(
            "study",
            "folds",
            "simple",
            "bigger",
            "--folds",
            2,
            "--epochs",
            1,
            "--data",
            data,
            "--out",
            out / "folds",
            "--threads",
            1,
        )
    )
    assert found["recipes"] == ["simple", "bigger"] and found["folds"] == 2
    assert "fold" in found["reading"]
    assert "table-folds.json" in call("study", "save-table", "folds", out / "folds", "--results", out / "kept")
    call("study", "report", "--results", out / "kept", "--out", out / "kept.md")
    assert found["reading"] in (out / "kept.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "nothing"], "there is no recipe 'nothing'; known: small, nano, base, telescopes, simple"),
        (["views", "--recipe", "nothing"], "there is no recipe"),
    ],
)
def test_unknown_recipe(words, message, data, out):
    """The message lists the known recipes."""
    from galaxy_edge.training.classifier.recipe import RecipeError

    with pytest.raises(RecipeError, match=message):
        call("study", *words, "--data", data, "--out", out / "none")


def test_galaxy10_file_with_class_five(out, tmp_path):
    """Class 5 is used only with --keep-boxy, and the evaluation must then use it too."""
    rng, path = np.random.default_rng(4), tmp_path / "Galaxy10.h5"
    images = rng.integers(0, 40, (700, 69, 69, 3), np.uint8)
    with h5py.File(path, "w") as file:
        file["images"], file["ans"] = images, np.arange(700) % 10
    call(
        "train",
        "classifier",
        "--recipe",
        "simple",
        "--data",
        path,
        "--keep-boxy",
        "--epochs",
        1,
        "--threads",
        1,
        "--out",
        out / "boxy",
    )
    record = json.loads((out / "boxy" / "run.json").read_text())
    assert record["model"]["classes"][5] == "edge_on_boxy_bulge" and len(record["model"]["classes"]) == 10
    result = json.loads(
        call("study", "evaluate", "boxy", out / "boxy", "--data", path, "--results", out / "boxy-results")
    )
    assert "edge_on_boxy_bulge" in result["float"]["recall"]


@pytest.mark.parametrize(
    "words",
    [
        ["train", "classifier"],
        ["study", "compare", "simple", "scratch"],
        ["study", "folds", "simple", "scratch"],
        ["study", "cross"],
    ],
)
def test_weights_without_a_pretrained_base_are_rejected(words, data, tmp_path):
    """Silently ignoring --weights would look like transfer learning."""
    folder = tmp_path / "out"
    done = CliRunner().invoke(cli, [*words, "--weights", "x.h5", "--data", str(data), "--out", str(folder)])
    assert done.exit_code == 2 and "--weights is for networks with a pretrained base" in done.output
    assert not folder.exists()


def test_training_prints_a_summary(data, compared):
    """The printed numbers are those of the record, without the confusion matrix."""
    folder = compared[0] / "simple" / "seed1"
    done = CliRunner().invoke(
        cli,
        [
            "train",
            "classifier",
            "--recipe",
            "simple",
            "--epochs",
            "2",
            "--threads",
            "1",
            "--data",
            str(data),
            "--out",
            str(folder),
            "--resume",
        ],
    )
    metrics = json.loads((folder / "run.json").read_text())["metrics"]
    rows = [line.split() for line in done.stderr.splitlines()]
    assert done.exit_code == 0 and ["macro", "F1", f"{metrics['macro_f1']:.3f}"] in rows
    assert ["recall", "of", "smooth_round", f"{metrics['recall']['smooth_round']:.3f}"] in rows
    assert "confusion" not in done.stderr and len(rows) < 20
