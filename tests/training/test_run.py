"""A run folder on a full disk: complete files stay, incomplete ones are removed."""

import errno
import json
import os
import resource

import numpy as np
import pytest
from galaxy_edge.cli import main as cli
from galaxy_edge.errors import disk_is_full
from galaxy_edge.training.run import (
    RunError,
    RunFolder,
    lock_run_folder,
    read_log,
    read_record,
    trained_epochs,
    write_arrays,
    write_json,
)
from galaxy_edge.training.run_checks import difference

DATA = {"hash": "0" * 64}


@pytest.fixture
def small_disk():
    """Let no file grow beyond a number of bytes.

    As on a full disk, the start of a write goes through.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_failed_log_write_leaves_no_incomplete_line(tmp_path, small_disk):
    run = RunFolder(tmp_path, "classify", {"epochs": 3}, DATA, resume=False)
    run.log(epoch=1)
    size = (tmp_path / "log.jsonl").stat().st_size
    small_disk(size + 10)
    with pytest.raises(OSError, match="large"):
        run.log(epoch=2)
    assert (tmp_path / "log.jsonl").stat().st_size == size
    small_disk(size + 1000)
    run.log(epoch=2)
    assert [line["epoch"] for line in run.read_log()] == [1, 2]


def test_a_log_that_cannot_be_opened_says_why(tmp_path, monkeypatch):
    """That it could not be cut back either was the error shown."""
    run = RunFolder(tmp_path, "classify", {"epochs": 3}, DATA, resume=False)
    (tmp_path / "log.jsonl").unlink(missing_ok=True)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = os.open(os.devnull, os.O_RDONLY)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 1, limits[1]))
        with pytest.raises(OSError, match=r"log\.jsonl") as failed:
            run.log(epoch=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(opened)
    assert failed.value.errno == errno.EMFILE


def test_failed_write_keeps_the_previous_file(tmp_path, small_disk):
    write_json(tmp_path / "x.json", {"old": 1})
    small_disk(100)
    with pytest.raises(OSError, match="large"):
        write_json(tmp_path / "x.json", {"new": "x" * 10_000})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/somewhere"),
        RuntimeError(f"variables/part-0; {os.strerror(errno.ENOSPC)}"),  # how TensorFlow says it
    ],
)
def test_full_disk_is_reported_as_such(error, monkeypatch, capsys):
    def end(**_):
        raise error

    monkeypatch.setattr(cli.cli, "main", end)
    monkeypatch.delenv("GALAXY_EDGE_DEBUG", raising=False)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    errors = capsys.readouterr().err
    assert ended.value.code == 1
    assert "the disk is full: free some space" in errors and "--resume" in errors and "unexpected" not in errors
    assert not disk_is_full(OSError(errno.EIO, os.strerror(errno.EIO)))


def test_a_log_cut_off_by_a_kill_is_read_up_to_there(tmp_path):
    run = RunFolder(tmp_path, "classify", {"epochs": 3}, DATA, resume=False)
    run.log(epoch=1)
    run.log(epoch=2)
    whole = (tmp_path / "log.jsonl").read_bytes()
    for lost in (1, 20, 40):
        (tmp_path / "log.jsonl").write_bytes(whole[:-lost])
        resumed = RunFolder(tmp_path, "classify", {"epochs": 3}, DATA, resume=True)
        resumed.truncate_log(1)
        resumed.log(epoch=2)
        assert [line["epoch"] for line in resumed.read_log()] == [1, 2] and trained_epochs(tmp_path) == 2
    (tmp_path / "log.jsonl").write_bytes(whole + b"\0\0\0")  # blocks that a power failure left unwritten
    assert trained_epochs(tmp_path) == 2


def test_a_log_that_is_damaged_elsewhere_is_an_error_with_its_line(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"epoch": 1}\n{"epo\n{"epoch": 3}\n')
    with pytest.raises(RunError, match="damaged at line 2"):
        read_log(tmp_path)


@pytest.mark.parametrize("line", ['{"epoch": "x"}', '{"epoch": null}', '{"epoch": 1.5}', "[1]", "null"])
def test_a_log_whose_epochs_are_no_numbers_is_damaged(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(f'{line}\n{{"epoch": 2}}\n')
    with pytest.raises(RunError, match="damaged at line 1"):
        trained_epochs(tmp_path)


def test_a_run_with_other_boxes_is_not_resumed(tmp_path):
    """The network would learn other boxes from the same images."""
    RunFolder(tmp_path, "detect", {}, DATA | {"labels": "a"}, resume=False)
    with pytest.raises(RunError, match="other boxes on the same images"):
        RunFolder(tmp_path, "detect", {}, DATA | {"labels": "b"}, resume=True)
    assert RunFolder(tmp_path, "detect", {}, DATA | {"labels": "a"}, resume=True).resumed


def test_a_run_of_before_boxes_were_recorded_is_resumed(tmp_path):
    RunFolder(tmp_path, "detect", {}, DATA, resume=False)
    assert RunFolder(tmp_path, "detect", {}, DATA | {"labels": "b"}, resume=True).resumed


@pytest.mark.parametrize(("record", "message"), [
    ({"task": "detect"}, "is not a run of a classifier"),
    ({"task": "classify", "settings": None}, "damaged: 'settings' must be a table"),
    ({"task": "classify", "metrics": []}, "damaged: 'metrics' must be a table"),
    ({"task": "classify", "settings": {"epochs": "2"}}, r"damaged: 'settings\.epochs' must be a whole number"),
    ({"task": "classify", "model": {"parameters": True}}, r"damaged: 'model\.parameters' must be a whole number"),
    ({"task": "classify", "model": {"classes": "abc"}}, r"damaged: 'model\.classes' must be a list of names"),
    ({"task": "classify", "metrics": {"ece": "x"}}, r"damaged: 'metrics\.ece' must be a number or null"),
    ({"task": "detect", "metrics": {"map50_x": []}}, r"damaged: 'metrics\.map50_x' must be a number or null"),
    ([], "is not the record of a run"),
])  # fmt: skip
def test_a_record_of_another_kind_is_refused(tmp_path, record, message):
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=message):
        read_record(tmp_path, "classify")


def test_a_missing_value_of_a_record_names_the_file_and_the_key(tmp_path):
    """Every command said only "unexpected KeyError"."""
    write_json(tmp_path / "run.json", {"task": "classify", "model": {"input": {"height": 3}}})
    record = read_record(tmp_path)
    assert record.model.get("classes") is None and record.model == {"input": {"height": 3}}
    for key, table in (
        ("model.input.width", record.model["input"]),
        ("settings.seed", record.settings),
        ("core_hours", record.extra),
    ):
        with pytest.raises(RunError, match=rf"run\.json has no '{key}': finish the training"):
            table[key.split(".")[-1]]


@pytest.mark.parametrize("record", [
    {"settings": {"epochs": 3}, "data": {}},
    {"settings": {}, "data": DATA},
])  # fmt: skip
def test_a_run_whose_data_or_length_is_not_known_is_not_resumed(tmp_path, record):
    write_json(tmp_path / "run.json", {"task": "classify", **record})
    with pytest.raises(RunError, match=r"damaged: '.*' must be there"):
        RunFolder(tmp_path, "classify", {"epochs": 3}, DATA, resume=True)


@pytest.mark.parametrize(("before", "now", "message"), [
    ({"hash": "a", "labels": "a"}, {"hash": "a", "labels": "b"}, "other labels of the validation or test images"),
    ({"hash": "a"}, {"hash": "b"}, "another split of the data"),
    ({"hash": "a"}, {"hash": "a", "labels": "b"}, None),
])  # fmt: skip
def test_labels_of_held_out_images_are_compared_where_they_were_recorded(tmp_path, before, now, message):
    """The scores of two runs were compared though the truth was another one."""
    RunFolder(tmp_path, "classify", {}, DATA | {"split": before}, resume=False)
    if message is None:
        assert RunFolder(tmp_path, "classify", {}, DATA | {"split": now}, resume=True).resumed
    else:
        with pytest.raises(RunError, match=message):
            RunFolder(tmp_path, "classify", {}, DATA | {"split": now}, resume=True)


def test_a_longer_training_that_fails_keeps_the_result(tmp_path, small_disk):
    """A full disk before the next epoch was logged took hours of training away."""
    run = RunFolder(tmp_path, "classify", {"epochs": 1}, DATA, resume=False)
    run.log(epoch=1)
    run.finish({"parameters": 1}, {"accuracy": 0.5})
    before = (tmp_path / "run.json").read_bytes()
    longer = RunFolder(tmp_path, "classify", {"epochs": 2}, DATA, resume=True)
    assert (tmp_path / "run.json").read_bytes() == before and longer.record.settings == {"epochs": 2}
    for more in (10, 100):  # the line does not fit, or the record does not
        small_disk((tmp_path / "log.jsonl").stat().st_size + more)
        with pytest.raises(OSError, match="large"):
            longer.log(epoch=2)
        assert (tmp_path / "run.json").read_bytes() == before and trained_epochs(tmp_path) == 1
    small_disk(10_000)
    longer.log(epoch=2)
    record = read_record(tmp_path)
    assert not record.is_finished and record.settings == {"epochs": 2} and trained_epochs(tmp_path) == 2


def test_a_link_to_nowhere_is_no_run_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "else")
    with pytest.raises(RunError, match="is not a folder: name another --out"), lock_run_folder(tmp_path / "link"):
        pass


def test_arrays_that_cannot_be_written_leave_those_before(tmp_path, small_disk):
    """A longer training on a full disk must not damage a finished run's files."""
    path = tmp_path / "evaluation.npz"
    write_arrays(path, images=np.arange(3))
    small_disk(path.stat().st_size + 10)
    with pytest.raises(OSError, match="large"):
        write_arrays(path, images=np.random.default_rng(1).random(9000))
    with np.load(path) as kept:
        assert kept["images"].tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("before", "wanted", "found"), [
    ({}, {"moved": ["ab"]}, "on another split of the data"),
    ({"moved": ["ab"]}, {"moved": ["ab"]}, None),
    ({}, {}, None),
])  # fmt: skip
def test_a_run_of_another_split_by_galaxies_is_not_resumed(before, wanted, found):
    """Frames that it was trained on would be those that it is measured on."""
    criteria = {"seed": 1, "validation_share": 0.1}
    assert difference(({}, {"split": criteria | before}), {}, {"split": criteria | wanted}) == found
