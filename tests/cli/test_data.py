"""`galaxy-edge data` as a user calls it.

Its output, its exit codes, and a one-line message for each error.
"""

import errno
import json

import cv2
import numpy as np
import pytest
from galaxy_edge.cli import main as cli
from galaxy_edge.training.formats.annotation import ImageAnnotation, build_dataset, raise_error
from galaxy_edge.training.formats.registry import read_labels, write_labels
from helpers.command_line import galaxy_edge_in_process
from helpers.images import encode
from helpers.labels import awkward_set, plain_values, star_field


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """A VOC folder of forty fields, a box in three of four, some difficult."""
    folder, found = tmp_path_factory.mktemp("sky"), []
    (folder / "p").mkdir()
    for number in range(40):
        name = f"{number:02d}.png"
        (folder / "p" / name).write_bytes(encode(star_field(number)))
        boxes = np.array([[10, 12, 30.5, 40]] * (number % 4 != 3)).reshape(-1, 4)
        found.append(
            ImageAnnotation(
                name,
                64,
                64,
                boxes,
                ("galaxy",) * len(boxes),
                [number % 8 == 0] * len(boxes),
                archive=folder / "p",
                member=name,
            )
        )
    write_labels(build_dataset("test", found, raise_error, ["galaxy"]), folder / "sky", "voc")
    return folder / "sky"


def data(*arguments, code=0, **how):
    done = galaxy_edge_in_process("data", *arguments, **how)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def test_convert_says_what_it_wrote_and_what_others_will_miss(sky, tmp_path):
    done = data("convert", sky, "out", "--to", "yolo", cwd=tmp_path)
    assert done.stdout.split("\n")[:2] == [
        "images: 40 (10 empty); boxes: 30 (5 difficult); classes: galaxy 30",
        "written to out (yolo)",
    ]
    assert "note: difficult boxes, which other programs read as ordinary ones, as YOLO has no flag: 5" in done.stderr
    assert plain_values(read_labels(tmp_path / "out")) == plain_values(read_labels(sky))


def test_convert_as_json(sky, tmp_path):
    summary = json.loads(data("convert", sky, "out.json", "--to", "coco", "--json", cwd=tmp_path).stdout)
    assert summary == {
        "format": "coco",
        "out": "out.json",
        "pictures": 40,
        "empty": 10,
        "boxes": 30,
        "difficult": 5,
        "classes": {"galaxy": 30},
    }


def test_check_exits_with_0_or_1(sky, tmp_path):
    done = data("check", sky)
    assert done.stdout.endswith("no issues found\n")
    write_labels(awkward_set(tmp_path / "p"), tmp_path / "bad", "voc")
    done = data("check", tmp_path / "bad", code=1)
    assert "box outside (" in done.stdout and "box without area (" in done.stdout and "issues: " in done.stdout
    summary = json.loads(data("check", tmp_path / "bad", "--json", code=1).stdout)
    assert summary["pictures"] == 8 and {"kind", "file", "detail"} == set(summary["findings"][0])


def test_many_findings_are_cut_on_the_screen_and_whole_in_json(tmp_path):
    write_labels(awkward_set(tmp_path / "p"), tmp_path / "bad", "voc", images="none")
    for number in range(30):
        (tmp_path / "bad" / f"{number}.xml").write_text("<annotation>")
    done = data("check", tmp_path / "bad", code=1)
    assert "unreadable label (30)" in done.stdout and "and 20 more; --json lists all" in done.stdout
    summary = json.loads(data("check", tmp_path / "bad", "--json", code=1).stdout)
    assert sum(issue["kind"] == "unreadable label" for issue in summary["findings"]) == 30


@pytest.mark.parametrize(
    ("how", "images"), [(("--holdout", "60/20/20", "--seed", "5"), "link"), (("--folds", "4", "--to", "coco"), "copy")]
)
def test_split_writes_data_sets_and_says_what_is_in_them(sky, tmp_path, how, images):
    """What a split is made of is tested in training/formats/test_split.

    Here its options and its output are.
    """
    summary = json.loads(data("split", sky, "out", *how, "--images", images, "--json", cwd=tmp_path).stdout)
    assert summary["seed"] == (5 if "--seed" in how else 1)
    parts = {name: counts["pictures"] for name, counts in summary["parts"].items()}
    assert parts == {name: len(read_labels(tmp_path / "out" / name).images) for name in parts}
    assert sum(parts.values()) == (40 if "--holdout" in how else 4 * 40)
    written = list((tmp_path / "out").rglob("*.png"))
    assert len(written) == sum(parts.values()) and {path.is_symlink() for path in written} == {images == "link"}
    assert "is a split, whose parts must not be mixed" in data("check", tmp_path / "out", code=2).stderr


def test_preview_draws_a_sheet(sky, tmp_path):
    done = data("preview", sky, "--out", "sheet.png", "--count", "9", cwd=tmp_path)
    assert done.stdout == "9 of 40 images: sheet.png\n"
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] > 900


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["convert", "nowhere", "out", "--to", "voc"], 2, "nowhere does not exist"),
        (["convert", "SKY", "out"], 2, "Missing option '--to'"),
        (["convert", "SKY", "SKY", "--to", "voc"], 1, "exists already and is not overwritten"),
        (["convert", ".", "a/out", "--to", "voc"], 1, "a/out is inside ."),
        (["convert", "SKY", "out", "--to", "voc", "--from", "coco"], 2, "holds 0 COCO files"),
        (["preview", ".", "--out", "sheet.png"], 2, "holds no labels in a known format"),
        (["convert", "SKY", "out", "--to", "csv", "--images", "link"], 2, "cannot hold links: use --images copy"),
        (["check", "nowhere"], 2, "nowhere does not exist"),
        (["split", "SKY", "out"], 2, "give either --holdout, e.g. --holdout 72/10/18, or --folds, e.g. --folds 5"),
        (["split", "SKY", "out", "--holdout", "72/10/18", "--folds", "3"], 2, "give either --holdout"),
        (["split", "SKY", "out", "--holdout", "72/10"], 2, "must be three numbers with / between"),
        (["split", "SKY", "out", "--holdout", "72/10/20"], 2, "add up to 100"),
        (["split", "SKY", "out", "--holdout", "nan/10/20"], 2, "add up to 100"),
        (["split", "SKY", "out", "--holdout", "0/50/50"], 2, "the first over 0"),
        (["preview", "SKY"], 2, "Missing option '--out'"),
        (["preview", "nowhere", "--out", "sheet.png"], 2, "nowhere does not exist"),
    ],
)
def test_usage_errors_are_one_clear_line(sky, tmp_path, arguments, code, message):
    done = data(*[sky if argument == "SKY" else argument for argument in arguments], code=code, cwd=tmp_path)
    assert message in done.stderr and list(tmp_path.iterdir()) == []


def test_the_commands_are_in_the_help():
    done = galaxy_edge_in_process("data", "--help")
    assert all(f"  {name} " in done.stdout for name in ("check", "convert", "preview", "split"))


def test_disk_error_is_one_line_and_not_reported_as_a_bug(monkeypatch, capsys):
    def refuse(**_):
        raise OSError(errno.EROFS, "Read-only file system", "runs/mine/log.jsonl")

    monkeypatch.setattr(cli.cli, "main", refuse)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert (
        capsys.readouterr().err == "galaxy-edge: runs/mine/log.jsonl cannot be written or read: Read-only file system\n"
    )
