"""Order of images in folders and zips, files not read, files that end a run.

A file that ended an earlier run is not read again.
"""

import gzip
import json
import os
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from galaxy_edge.errors import ImageError, UsageError
from galaxy_edge.models.images import memory
from galaxy_edge.runtime.sources.image_order import exposure_start
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.sources.work_journal import JOURNAL, WorkJournal
from helpers.images import encode, render
from helpers.mosaics import fits_file

IMAGE = encode(render([(20, 20, 4)], 48, 40), ".jpg")


def names(source):
    return [frame.source for frame in source]


def test_numbers_in_names_count_as_numbers(tmp_path):
    for number in (10, 2, 1):
        (tmp_path / f"m{number}.jpg").write_bytes(IMAGE)
    assert names(open_source(str(tmp_path))) == ["m1.jpg", "m2.jpg", "m10.jpg"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in (10, 2):
            archive.writestr(f"m{number}.jpg", IMAGE)
    assert names(open_source(str(tmp_path / "a.zip"))) == ["m2.jpg", "m10.jpg"]


@pytest.mark.parametrize("dates, expected", [
    (("2026-01-01T02:00:00", "2026-01-01T01:00:00"), ["b.fits", "a.fits"]),
    (("2026-01-01T02:00:00", None), ["a.fits", "b.fits"]),
    (("2026-01-01", "2025-01-01"), ["a.fits", "b.fits"]),
])  # fmt: skip
def test_dates_order_fits_where_all_have_one(tmp_path, dates, expected):
    for name, date in zip(("a.fits", "b.fits"), dates, strict=True):
        cards = {"DATE-OBS": date} if date else {}
        (tmp_path / name).write_bytes(fits_file(np.arange(1600, dtype=np.uint16).reshape(40, 40), **cards))
    assert names(open_source(str(tmp_path))) == expected


def test_date_is_read_from_a_compressed_file():
    content = fits_file(np.ones((40, 40), np.uint16), **{"DATE-OBS": "2026-01-01T02:00:00.5"})
    assert exposure_start(content[:2880]) == exposure_start(gzip.compress(content)) is not None


def test_compressed_fits_are_read_in_folders_and_files_of_mac_os_are_not(tmp_path):
    content = fits_file(np.arange(1600, dtype=np.uint16).reshape(40, 40))
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("night/m1.jpg", IMAGE)
        archive.writestr("__MACOSX/night/._m1.jpg", b"\0\5\x16\7")
    source = open_source(str(tmp_path))
    assert names(source) == ["a.fits.gz", "b.zip/night/m1.jpg"]
    assert source.bad == 0


def test_kinds_that_are_not_read_are_counted_and_reported(tmp_path, caplog):
    for name in ("a.CR2", "b.cr2", "c.xisf", "notes.txt", "ok.jpg"):
        (tmp_path / name).write_bytes(IMAGE)
    open_source(str(tmp_path))
    assert "3 files are of kinds that are not read: .cr2 (2), .xisf (1)" in caplog.text
    (tmp_path / "ok.jpg").unlink()
    with pytest.raises(UsageError, match=r"holds no image .* but 3 files are of kinds that are not read"):
        open_source(str(tmp_path))


def test_a_packed_file_that_unpacks_to_more_than_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "budget", lambda: 2**22)
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(b"SIMPLE  =" + bytes(2**24)))
    from galaxy_edge.models.images import unpack

    monkeypatch.setattr(unpack, "budget", lambda: 2**22)
    with pytest.raises(ImageError, match="unpacked it is larger than 2 MiB"):
        open_source(str(tmp_path / "a.fits.gz"))


KILLED = """
import os, signal, sys
from pathlib import Path
from galaxy_edge.runtime.sources.work_journal import WorkJournal
with WorkJournal(Path(sys.argv[1])).working("m2.jpg", (sys.argv[2], *map(int, sys.argv[3:]))):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_that_ended_a_run_is_skipped_by_the_next_until_it_changes(tmp_path, caplog):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number in (1, 2, 3):
        (folder / f"m{number}.jpg").write_bytes(IMAGE)
    path = folder / "m2.jpg"
    status = path.stat()
    mark = [str(path), str(status.st_size), str(status.st_mtime_ns)]
    code = subprocess.run([sys.executable, "-c", KILLED, str(out), *mark]).returncode
    assert code == -signal.SIGKILL
    for _ in range(2):  # it stays so in later runs
        source = open_source(str(folder), out=out)
        assert names(source) == ["m1.jpg", "m3.jpg"] and source.bad == 1
        assert "an earlier run was ended while it was being decoded" in caplog.text
    os.utime(path, (1, 1))
    assert len(names(open_source(str(folder), out=out))) == 3


def test_restart_of_the_machine_is_not_blamed_on_the_file(tmp_path):
    record = {"boot": "another", "ended": [["b.jpg", 1, 2]], "in_work": [["a.jpg", 1, 2]]}
    (tmp_path / JOURNAL).write_text(json.dumps(record))
    journal = WorkJournal(tmp_path)
    with journal.working("a.jpg", ("a.jpg", 1, 2)):
        pass
    with pytest.raises(ImageError), journal.working("b.jpg", ("b.jpg", 1, 2)):
        pass
