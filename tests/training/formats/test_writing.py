"""Atomic writing of data sets.

Full disks, interruptions, kills and existing targets.
"""

import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.formats.registry import read_labels, write_labels
from galaxy_edge.training.formats.writing import WriteError, format_json, staged_output, write_text
from helpers.command_line import galaxy_edge_in_process
from helpers.labels import FORMATS, awkward_set, plain_values, single_image_set


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_output_appears_only_when_complete(tmp_path):
    with staged_output(tmp_path / "a" / "out") as staged:
        write_text(staged / "x" / "y.txt", "text")
        assert not (tmp_path / "a" / "out").exists()
    assert (tmp_path / "a" / "out" / "x" / "y.txt").read_text() == "text"
    assert left(tmp_path / "a") == ["out"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_an_error_or_ctrl_c_leaves_nothing(tmp_path, error):
    with pytest.raises(type(error)), staged_output(tmp_path / "out") as staged:
        write_text(staged / "y.txt", "text")
        raise error
    assert left(tmp_path) == []


def test_existing_output_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    with staged_output(tmp_path / "out") as staged:  # an empty folder may be there
        write_text(staged / "y.txt", "text")
    for _ in range(2):
        with pytest.raises(WriteError, match="exists already"), staged_output(tmp_path / "out") as staged:
            raise AssertionError("never reached")
    assert (tmp_path / "out" / "y.txt").read_text() == "text"
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(WriteError, match="exists already"), staged_output(tmp_path / "link"):
        pass


def test_files_next_to_the_target_are_not_overwritten(tmp_path):
    (tmp_path / "x_images").mkdir()
    (tmp_path / "x_images" / "mine.txt").write_text("mine")
    with pytest.raises(WriteError, match="x_images exists already"):
        write_labels(single_image_set(tmp_path / "p", [[1, 2, 3, 4]]), tmp_path / "x.json", "coco")
    assert left(tmp_path) == ["p", "x_images"]
    assert (tmp_path / "x_images" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_missing_image_leaves_nothing(tmp_path, kind):
    if kind == "tfrecord":
        pytest.importorskip("tensorflow", reason="needs the train extra")
    source = awkward_set(tmp_path / "p")
    (tmp_path / "p" / "plain.png").unlink()
    with pytest.raises(DataError, match=r"plain\.png"):
        write_labels(source, tmp_path / "out", kind)
    assert left(tmp_path) == ["p"]


@contextmanager
def full_disk(after=4000):
    """Limit the size of files in place of a full disk: the same calls fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_disk_that_is_full_leaves_nothing(tmp_path, kind):
    if kind == "tfrecord":
        pytest.importorskip("tensorflow", reason="needs the train extra")
    source = awkward_set(tmp_path / "p")
    message = "out cannot be written: File too large; nothing was kept"
    with full_disk(), pytest.raises(WriteError, match=message):
        write_labels(source, tmp_path / "out", kind)
    assert left(tmp_path) == ["p"]


def test_full_disk_is_reported_in_one_line(tmp_path):
    write_labels(awkward_set(tmp_path / "p"), tmp_path / "in", "voc")
    with full_disk():
        done = galaxy_edge_in_process("data", "convert", "in", "out", "--to", "yolo", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip() == f"galaxy-edge: {tmp_path}/out cannot be written: File too large; nothing was kept"
    assert left(tmp_path) == ["in", "p"]


def test_a_killed_process_leaves_no_half_result_and_the_next_one_cleans_up(tmp_path):
    source = awkward_set(tmp_path / "p")
    write_labels(source, tmp_path / "in", "voc")
    script = """
import sys, time
from pathlib import Path
from galaxy_edge.training.formats import writing
from galaxy_edge.training.formats.registry import read_labels, write_labels
def slowly(done, total):
    print(done, flush=True)
    time.sleep(0.05)
write_labels(read_labels(Path("in")), Path("out"), "yolo", progress=slowly)
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE)
    while (line := process.stdout.readline().strip()) != b"4":
        assert line, "the writing process ended early"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (tmp_path / "out").exists()
    assert left(tmp_path) == [".out.part", "in", "p"]
    write_labels(read_labels(tmp_path / "in"), tmp_path / "out", "yolo")
    assert plain_values(read_labels(tmp_path / "out")) == plain_values(source)
    assert left(tmp_path) == ["in", "out", "p"]


def test_a_folder_that_may_not_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written: "), staged_output(tmp_path / "file" / "out"):
        pass


def test_an_interrupt_ends_with_130_and_nothing_left(tmp_path):
    write_labels(awkward_set(tmp_path / "p"), tmp_path / "in", "voc")
    script = """
import time
from galaxy_edge.training.formats import voc
from galaxy_edge.cli.main import main
put = voc.place_images
def slowly(*given):
    put(*given)
    print("now", flush=True)
    time.sleep(30)
voc.place_images = slowly
import sys
sys.argv = ["galaxy-edge", "data", "convert", "in", "out", "--to", "voc"]
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline().strip() == b"now"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and b"interrupted" in said
    assert left(tmp_path) == ["in", "p"]


def test_json_has_one_item_a_line():
    import json

    content = {"a": 1, "b": [{"x": [1, 2]}, {"y": "ü"}], "c": []}
    text = format_json(content)
    assert json.loads(text) == content and '\n{"y": "ü"}\n' in text


def test_the_result_of_an_older_run_is_kept_when_a_new_one_fails(tmp_path):
    out = tmp_path / "sheet.png"
    out.write_bytes(b"old")
    with pytest.raises(ValueError), staged_output(out, replace=True) as staged:
        Path(staged).write_bytes(b"half")
        raise ValueError
    assert out.read_bytes() == b"old"
    with staged_output(out, replace=True) as staged:
        Path(staged).write_bytes(b"new")
    assert out.read_bytes() == b"new" and left(tmp_path) == ["sheet.png"]


def test_convert_does_not_replace_its_input(tmp_path):
    write_labels(awkward_set(tmp_path / "p"), tmp_path / "in", "voc")
    done = galaxy_edge_in_process("data", "convert", "in", "in", "--to", "yolo", cwd=tmp_path)
    assert done.returncode == 1 and "in exists already" in done.stderr
