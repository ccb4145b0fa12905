"""Every source that the command line names, and every way in which one can be wrong."""

import zipfile

import cv2
import numpy as np
import pytest
from conftest import encode, render
from galaxy_edge.runtime.errors import BadPicture, RunFailure, UsageError
from galaxy_edge.runtime.sources import open_source

SKY = render([(40, 30, 6)], 80, 60)


def never(problem):
    raise AssertionError(f"nothing should be skipped, but {problem} was")


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "night"
    (place / "later").mkdir(parents=True)
    (place / "b.png").write_bytes(encode(SKY))
    (place / "a.jpg").write_bytes(encode(SKY, ".jpg"))
    (place / "later" / "c.TIFF").write_bytes(encode(SKY, ".tiff"))
    (place / "notes.txt").write_text("clear sky")
    (place / ".hidden.png").write_bytes(encode(SKY))
    with zipfile.ZipFile(place / "more.zip", "w") as archive:
        archive.writestr("d.png", encode(SKY))
        archive.writestr("readme.md", "no picture")
    return place


def test_folder_gives_its_pictures_and_those_in_zips_by_name(folder):
    source = open_source(str(folder), never)
    frames = list(source)
    assert [frame.source for frame in frames] == ["a.jpg", "b.png", "later/c.TIFF", "more.zip/d.png"]
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert source.length == 4 and not source.continuous


def test_one_bad_picture_is_reported_counted_and_skipped(folder):
    (folder / "aa.png").write_bytes(b"broken")
    told = []
    source = open_source(str(folder), told.append)
    frames = list(source)
    assert [problem.name for problem in told] == ["aa.png"]
    assert source.bad == 1
    assert [frame.number for frame in frames] == [0, 1, 2, 3]  # numbers have no hole


def test_folder_of_bad_pictures_only_fails(tmp_path):
    (tmp_path / "x.png").write_bytes(b"broken")
    with pytest.raises(RunFailure, match="none of the 1 pictures"):
        list(open_source(str(tmp_path), lambda _: None))


def test_zip_names_its_members(folder):
    assert [frame.source for frame in open_source(str(folder / "more.zip"), never)] == ["d.png"]


def test_zip_with_a_wrong_checksum_is_skipped(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", encode(SKY))
        archive.writestr("b.png", encode(SKY))
    content = bytearray(path.read_bytes())
    content[content.find(b"a.png") + 60] ^= 0xFF
    path.write_bytes(content)
    told = []
    assert [frame.source for frame in open_source(str(path), told.append)] == ["b.png"]
    assert "cannot be unpacked" in str(told[0])


def test_one_picture(folder):
    (frame,) = open_source(str(folder / "b.png"), never)
    assert np.array_equal(frame.pixels, SKY)
    assert (frame.width, frame.height, frame.source) == (80, 60, "b.png")


def test_one_bad_picture_alone_is_an_error(tmp_path):
    (tmp_path / "x.jpg").write_bytes(encode(SKY, ".jpg")[:-100])
    with pytest.raises(BadPicture, match=r"x\.jpg: the JPEG is truncated"):
        open_source(str(tmp_path / "x.jpg"), never)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("nothing.png", None, "does not exist"),
        ("empty", "folder", "holds no picture"),
        ("empty.zip", b"PK\x05\x06" + bytes(18), "holds no picture"),
        ("x.zip", b"no zip", "not a zip file"),
        ("x.mp4", b"no video", "not a video that can be decoded"),
        ("x.docx", b"text", "neither a picture"),
    ],
)
def test_wrong_sources_say_what_is_wrong(tmp_path, name, content, reason):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=reason) as caught:
        open_source(str(path), never)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("camera", ["97", "/dev/video97", "/dev/null", "/dev/videoX"])
def test_camera_that_nobody_has(camera):
    with pytest.raises(UsageError, match=r"there is no camera /dev/video97|is no camera"):
        open_source(camera, never)


def test_video_file_gives_every_frame_in_order(tmp_path):
    path = tmp_path / "night.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (80, 60))
    for x in range(10, 70, 10):
        writer.write(cv2.cvtColor(render([(x, 30, 6)], 80, 60), cv2.COLOR_RGB2BGR))
    writer.release()
    source = open_source(str(path), never)
    frames = list(source)
    assert source.continuous and source.length == 6
    for again in (frames, list(source)):  # what was opened to look at the file is read once
        brightest = [int(frame.pixels[30, :, 0].astype(int).argmax()) for frame in again]
        assert brightest == pytest.approx(range(10, 70, 10), abs=2)


def test_a_video_is_red_where_it_is_red_down_to_its_last_row(tmp_path):
    # Frames are turned from BGR to RGB in bands; 150 rows are two bands and a part of one.
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 150))
    for _ in range(3):
        writer.write(np.full((150, 64, 3), (20, 90, 200), np.uint8))
    writer.release()
    for frame in open_source(str(path), never):
        assert np.abs(frame.pixels.astype(int) - (200, 90, 20)).max() <= 6


def test_demo_is_the_same_every_time_and_ends():
    first, second = list(open_source("demo", never)), open_source("demo", never)
    assert len(first) == second.length and second.continuous
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
    assert {frame.pixels.shape for frame in first} == {(480, 640, 3)}
    assert first[0].time.utcoffset().total_seconds() == 0
