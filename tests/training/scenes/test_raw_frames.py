"""Frames with known targets are read in order and divided in time."""

import csv
import io
import zipfile

import numpy as np
import pytest
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.scenes.raw_frames import TABLE, RawFrame, parted, read_raw_frames


def write_night(folder, count=2, keywords=None):
    from astropy.io import fits

    with zipfile.ZipFile(folder / "night.zip", "w") as archive:
        for number in range(count):
            unit = fits.PrimaryHDU(np.full((20, 30), number, np.uint16))
            unit.header.update(keywords or {"BAYERPAT": "GRBG"})
            stream = io.BytesIO()
            unit.writeto(stream)
            archive.writestr(f"{number}.fit", stream.getvalue())
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "object", "target_x", "target_y"])
        writer.writerows([f"{number}.fit", "M94" if number else "sky", 10 + number, 5] for number in range(count))


def test_frames_are_read(tmp_path):
    write_night(tmp_path)
    frames = list(read_raw_frames(tmp_path))
    assert [frame.file for frame in frames] == ["0.fit", "1.fit"]
    assert frames[1].pattern == "GRBG" and frames[1].mosaic.max() == 1 and (frames[1].x, frames[1].y) == (11, 5)
    assert [frame.target for frame in frames] == ["sky", "M94"]


@pytest.mark.parametrize(
    ("keywords", "pattern"),
    [
        ({"EXPTIME": 1}, None),
        ({"BAYERPAT": "rggb", "XBAYROFF": 1}, "GRBG"),
        ({"BAYERPAT": "RGGB", "ROWORDER": "BOTTOM-UP"}, "GBRG"),
    ],
)
def test_patterns_come_from_headers(tmp_path, keywords, pattern):
    write_night(tmp_path, 1, keywords)
    assert next(read_raw_frames(tmp_path)).pattern == pattern


def test_a_missing_table_or_frame_is_named(tmp_path):
    with pytest.raises(DataError, match=TABLE):
        list(read_raw_frames(tmp_path))
    write_night(tmp_path)
    (tmp_path / "night.zip").unlink()
    with pytest.raises(DataError, match=r"0\.fit"):
        list(read_raw_frames(tmp_path))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,object\n0.fit,M94\n", "no column 'target_x', 'target_y'"),
        ("file,object,target_x,target_y\n0.fit,M94,east,5\n", "0.fit: target_x is 'east', not a number"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path, table, message):
    write_night(tmp_path)
    (tmp_path / TABLE).write_text(table)
    with pytest.raises(DataError, match=message):
        list(read_raw_frames(tmp_path))


def test_an_archive_that_is_damaged_is_named(tmp_path):
    write_night(tmp_path)
    (tmp_path / "night.zip").write_bytes(b"PK" + bytes(50))
    with pytest.raises(DataError, match=r"night.zip is not a zip"):
        list(read_raw_frames(tmp_path))


def test_no_frame_is_in_two_shares():
    frames = [
        RawFrame(f"{target}{number}", target, np.zeros((2, 2)), None, 0, 0)
        for target, count in (("M94", 20), ("NGC7023", 4), ("M51", 1))
        for number in range(count)
    ]
    train, validation, test = parted(frames)
    names = [[frame.file for frame in share] for share in (train, validation, test)]
    assert sum(map(len, names)) == 25 and len(set().union(*names)) == 25
    assert names[0] == ["M940", "M941", "M942", "M943", "NGC70230", "NGC70231", "M510"]
    assert names[1] == ["M944", "M945", "M946"]
