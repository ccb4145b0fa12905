"""Check a watched folder: finished files only, in order of time, each once.

A lost network share is waited for.
"""

import itertools
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.run_config import RunConfig
from galaxy_edge.runtime.session import Session
from galaxy_edge.runtime.sources import watched_folder
from galaxy_edge.runtime.sources.natural_order import natural_key
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.sources.watched_folder import ProcessedList, WatchedFolderSource
from helpers.command_line import galaxy_edge as command_line
from helpers.images import encode, render
from helpers.mosaics import fits_file

POLL = 0.02


def write(path, x=60, age=0.0):
    """Write an image as a capture program does.

    `age` is the number of seconds since then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(render([(x, 40, 10)], 160, 120)))
    os.utime(path, (time.time() - age,) * 2)


def next_names(source, count):
    """Return the names of the next `count` frames."""
    return [frame.source for frame in itertools.islice(iter(source), count)]


def small_fits_file():
    from astropy.io import fits

    return fits.HDUList([fits.PrimaryHDU(np.arange(96 * 128, dtype=np.uint16).reshape(96, 128))])


def test_files_come_in_order_of_time_from_sub_folders_too(tmp_path):
    """Telescopes write a sub-folder for each night.

    Names alone do not give the order.
    """
    write(tmp_path / "night2" / "a.png", age=10)
    write(tmp_path / "night1" / "b.png", age=30)
    write(tmp_path / "c.png", age=20)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    assert next_names(WatchedFolderSource(tmp_path, poll_seconds=POLL), 3) == ["night1/b.png", "c.png", "night2/a.png"]


def test_files_with_equal_times_are_in_natural_order(tmp_path):
    """A network share may give several files one time stamp.

    Frame 2 is before frame 10.
    """
    now = time.time()
    for name in ("m94_10.png", "m94_2.png"):
        write(tmp_path / name)
        os.utime(tmp_path / name, (now, now))
    assert next_names(WatchedFolderSource(tmp_path, poll_seconds=POLL), 2) == ["m94_2.png", "m94_10.png"]
    assert natural_key("a2b10") < natural_key("a10b2")


def test_file_that_is_being_written_is_read_once_it_is_complete(tmp_path):
    """Half a FITS file whose writer pauses has a stable size.

    Its header gives the final length.
    """
    pytest.importorskip("astropy.io.fits", reason="needs the fits extra")
    complete = tmp_path / "complete"
    small_fits_file().writeto(complete)
    content = complete.read_bytes()
    complete.unlink()
    path = tmp_path / "m94.fit"
    path.write_bytes(content[:5760])

    def finish():
        time.sleep(10 * POLL)
        path.write_bytes(content)

    threading.Thread(target=finish).start()
    source = WatchedFolderSource(tmp_path, poll_seconds=POLL)
    assert next_names(source, 1) == ["m94.fit"]
    assert source.bad == 0


def test_file_that_stays_damaged_is_skipped_once(tmp_path, caplog):
    """A transfer that broke off never completes.

    It must not delay the files after it.
    """
    (tmp_path / "broken.png").write_bytes(encode(render([(60, 40, 10)], 160, 120))[:200])
    os.utime(tmp_path / "broken.png", (1e9, 1e9))
    write(tmp_path / "good.png")
    source = WatchedFolderSource(tmp_path, poll_seconds=POLL)
    assert next_names(source, 1) == ["good.png"]
    assert source.bad == 1 and "broken.png" in caplog.text


def test_image_that_is_written_slowly_is_read_once_it_is_whole(tmp_path):
    """A PNG does not give its length, and a network share's clock may be wrong.

    The clock is an hour behind here.
    """
    content = encode(render([(60, 40, 10)], 160, 120))
    path = tmp_path / "slow.png"
    write(tmp_path / "first.png")

    def write_slowly():
        for end in (200, len(content) // 2, len(content)):
            time.sleep(8 * POLL)
            path.write_bytes(content[:end])
            os.utime(path, (time.time() - 3600,) * 2)

    source = WatchedFolderSource(tmp_path, poll_seconds=POLL)
    threading.Thread(target=write_slowly).start()
    assert next_names(source, 2) == ["first.png", "slow.png"]
    assert source.bad == 0


def test_file_that_cannot_be_read_for_a_moment_is_tried_again(tmp_path, monkeypatch):
    """Shares answer with input/output errors before they vanish.

    The frame must not be lost.
    """
    write(tmp_path / "a.png", age=100)
    read, failures = Path.read_bytes, iter([OSError(5, "Input/output error")] * 3)

    def unreliable(path):
        error = next(failures, None) if path.name == "a.png" else None
        if error:
            raise error
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", unreliable)
    source = WatchedFolderSource(tmp_path, poll_seconds=POLL)
    assert next_names(source, 1) == ["a.png"] and source.bad == 0


def test_dark_frame_is_not_reported_again_after_a_restart(tmp_path, caplog):
    """A skipped dark frame counts as processed."""
    folder, out = tmp_path / "frames", tmp_path / "out"
    folder.mkdir()
    (folder / "dark.fits").write_bytes(fits_file(np.zeros((64, 64), np.uint16), IMAGETYP="Dark"))
    write(folder / "light.png")
    for _ in range(2):
        assert next_names(WatchedFolderSource(folder, out, poll_seconds=POLL), 1) == ["light.png"]
    assert caplog.text.count("it is a dark frame") == 1


def test_folder_that_vanishes_is_waited_for(tmp_path, caplog):
    """A network share may be away for minutes, even at the start.

    One line reports the loss, one the return.
    """
    folder = tmp_path / "share"

    def come_back():
        time.sleep(10 * POLL)
        write(folder / "a.png")

    threading.Thread(target=come_back).start()
    source = WatchedFolderSource(folder, poll_seconds=POLL)
    assert next_names(source, 1) == ["a.png"]
    assert source.reopened == 1
    assert caplog.text.count("waiting for it to come back") == 1 and caplog.text.count("is back") == 1


def test_folder_that_may_not_be_entered_is_waited_for(tmp_path, caplog):
    """A folder below another user's home is unreadable until somebody opens it."""
    closed, user = tmp_path / "home", os.geteuid()
    write(closed / "share" / "a.png")
    closed.chmod(0)
    if user == 0:
        os.seteuid(65534)  # root may enter every folder

    def open_it():
        time.sleep(10 * POLL)
        os.seteuid(user)
        closed.chmod(0o755)

    opener = threading.Thread(target=open_it)
    opener.start()
    try:
        source = WatchedFolderSource(closed / "share", poll_seconds=POLL)
        assert next_names(source, 1) == ["a.png"]
    finally:
        opener.join()
    assert "cannot be read (Permission denied); waiting for it to come back" in caplog.text


def test_later_run_resumes_after_the_processed_frames(tmp_path):
    """A restart in the middle of the night processes no frame twice and omits none."""
    folder, out = tmp_path / "frames", tmp_path / "out"
    for number in range(4):
        write(folder / f"{number}.png", x=40 + 10 * number, age=100 - number)
    processed = []

    def run(count):
        config = RunConfig(source=f"watch:{folder}", out=out, max_frames=count)
        Session(config).run(lambda frame, *_: processed.append(frame.source))

    run(2)
    run(2)
    assert processed == ["0.png", "1.png", "2.png", "3.png"]


def test_truncated_list_of_processed_frames_is_read(tmp_path):
    """A power cut while a line is written loses that line only."""
    folder, out = tmp_path / "frames", tmp_path / "out"
    write(folder / "0.png", age=2)
    write(folder / "1.png", age=1)
    source = WatchedFolderSource(folder, out, poll_seconds=POLL)
    frames = iter(source)
    for _ in range(2):
        source.frame_processed(next(frames).source)
    (list_file,) = out.glob("watched-*.jsonl")
    list_file.write_bytes(list_file.read_bytes()[:-20])
    assert set(ProcessedList(out, folder).read()) == {"0.png"}
    assert next_names(WatchedFolderSource(folder, out, poll_seconds=POLL), 1) == ["1.png"]


def test_output_folder_inside_the_watched_folder_is_not_read(tmp_path):
    """Crops and sheets written inside the watched folder are not frames."""
    out = tmp_path / "out"
    write(out / "crops" / "0001" / "00001.png", age=50)
    write(tmp_path / "a.png")
    assert next_names(WatchedFolderSource(tmp_path, out, poll_seconds=POLL), 1) == ["a.png"]


def test_file_and_output_folder_cannot_be_watched(tmp_path):
    """Watching the output folder would process what the run writes."""
    shutil.copy(__file__, tmp_path / "file")
    with pytest.raises(UsageError, match="not a folder"):
        open_source(f"watch:{tmp_path / 'file'}", lambda _: None)
    with pytest.raises(UsageError, match="at once"):
        open_source(f"watch:{tmp_path}", lambda _: None, out=tmp_path)


def test_damaged_file_from_the_future_is_skipped_with_a_message(tmp_path, caplog, monkeypatch):
    """This computer's clock may be behind until it is set.

    The file was once waited for without end and without a message.
    """
    monkeypatch.setattr(watched_folder, "PATIENCE_SECONDS", 5 * POLL)
    (tmp_path / "broken.png").write_bytes(encode(render([(60, 40, 10)], 160, 120))[:200])
    os.utime(tmp_path / "broken.png", (time.time() + 1e6,) * 2)
    source = WatchedFolderSource(tmp_path, poll_seconds=POLL)

    def write_when_skipped():
        while not source.bad:
            time.sleep(POLL)
        write(tmp_path / "good.png")

    threading.Thread(target=write_when_skipped, daemon=True).start()
    assert next_names(source, 1) == ["good.png"]
    assert "skipped broken.png" in caplog.text


def test_files_that_are_not_complete_when_the_run_ends_are_named(tmp_path, caplog):
    """A transfer that breaks off just before the end of a run is reported."""
    content = fits_file(np.zeros((64, 64), np.uint16))
    (tmp_path / "cut.fits").write_bytes(content[:-2880])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "half.png").write_bytes(encode(render([(60, 40, 10)], 160, 120))[:200])
    write(tmp_path / "good.png")
    frames = iter(WatchedFolderSource(tmp_path, poll_seconds=POLL))
    assert next(frames).source == "good.png"
    frames.close()
    waiting = [text.partition(": ")[2] for text in caplog.messages if "was not read" in text]
    assert waiting[:2] == [
        f"cut.fits was not read: it has {len(content) - 2880} of {len(content)} bytes",
        "empty.png was not read: it is empty",
    ]
    assert waiting[2].startswith("half.png was not read: ") and len(waiting) == 3


def test_a_stopped_run_names_files_that_are_not_complete(tmp_path):
    """Its thread waits for the folder when the run ends, and names nothing itself."""
    write(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "cut.fits").write_bytes(fits_file(np.zeros((64, 64), np.uint16))[:-2880])
    done = command_line("run", "--camera", f"watch:{tmp_path / 'in'}", "--out", tmp_path / "out", "--max-frames", 1)
    assert done.returncode == 0 and done.stderr.count("cut.fits was not read: ") == 1
    done = command_line("run", "--camera", "watch:")
    assert done.returncode == 2 and "watch: needs the name of a folder" in done.stderr
