"""The frame log after a crash, and after a run opened its folder again."""

import pytest
from galaxy_edge.runtime.recording.frame_log import FrameLog
from galaxy_edge.runtime.recording.retention import RetainedFiles
from helpers.tracks import frame, named, output, record, until

LINE = b'{"frame": 0}\n'


@pytest.mark.parametrize("tail", [b'{"frame": 1, "det', bytes(5000), b"\n" + bytes(9), b"\xff\xfe{}\n{}", LINE[:-1]])
def test_end_of_a_log_that_a_crash_damaged_is_cut_off_by_the_next_run(tmp_path, caplog, tail):
    """Half a line, or zeros after a power loss, stayed there forever.

    No reader of JSON lines takes them.
    """
    output(tmp_path).close(0, 0)
    (tmp_path / "frames-0001.jsonl").write_bytes(3 * LINE)
    damaged = tmp_path / "frames-0001-02.jsonl"
    damaged.write_bytes(2 * LINE + tail)
    output(tmp_path).close(0, 0)
    assert damaged.read_bytes() == 2 * LINE and (tmp_path / "frames-0001.jsonl").read_bytes() == 3 * LINE
    assert caplog.messages == [f"{damaged} ended with {len(tail)} damaged bytes after a crash: they were cut off"]
    output(tmp_path).close(0, 0)
    assert len(caplog.messages) == 1


def test_run_that_opens_its_folder_again_goes_on_with_its_log(tmp_path):
    """A run keeps its log even after its event file was removed.

    It once began a new log under the same name, and the earlier lines were lost.
    """
    out = output(tmp_path)
    out.frame(frame(1), named(), record(1))
    log = tmp_path / "frames-0001.jsonl"
    until(lambda: log.read_bytes().count(b"\n") == 1)
    (tmp_path / "events.sqlite").unlink()
    until(lambda: out.writer.moved)
    out.frame(frame(2), named(), record(2))
    out.close(2, 0)
    assert log.read_bytes().count(b"\n") == 2


def test_log_that_goes_on_overwrites_none_of_its_files(tmp_path):
    """The same with a log of several files."""
    files = RetainedFiles(tmp_path, floor=0)
    for _ in range(2):
        log = FrameLog(tmp_path, "0001", files, segment=20)
        for _ in range(3):
            log.write(["x" * 15])
        log.close()
    assert sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("frames-*")) == 6
