"""Every source that the command line names, and every way in which one can be wrong."""

import json
import os
import threading
import zipfile

import cv2
import numpy as np
import pytest
from galaxy_edge.benchmarks.performance.synthetic_sources import NetworkCamera
from galaxy_edge.errors import ImageError, UsageError
from galaxy_edge.runtime.errors import RunFailure
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.system.prefetch import prefetch
from helpers.command_line import galaxy_edge
from helpers.images import encode, render
from helpers.moving_sky import stack_all

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


def test_what_a_run_wrote_into_the_folder_is_not_read_by_the_next(folder):
    """``run --camera .`` writes into ./galaxy-edge-out: later runs would read its crops and sheets as frames."""
    out = folder / "out"
    (out / "crops" / "0001").mkdir(parents=True)
    (out / "crops" / "0001" / "00001.png").write_bytes(encode(SKY))
    (out / "sheet-0001.jpg").write_bytes(encode(SKY, ".jpg"))
    (folder / "outer.png").write_bytes(encode(SKY))
    names = ["a.jpg", "b.png", "later/c.TIFF", "more.zip/d.png", "outer.png"]
    assert [frame.source for frame in open_source(str(folder), never, out=out)] == names
    assert len(list(open_source(str(folder / "later"), never, out=folder))) == 1  # a folder in it is none of its own
    with pytest.raises(UsageError, match="name another --out"):
        open_source(str(folder), never, out=folder / "later" / "..")


def test_one_bad_picture_is_reported_counted_and_skipped(folder):
    (folder / "aa.png").write_bytes(b"broken")
    told = []
    source = open_source(str(folder), told.append)
    frames = list(source)
    assert [problem.name for problem in told] == ["aa.png"]
    assert source.bad == 1
    assert [frame.number for frame in frames] == [0, 1, 2, 3]  # numbers have no hole


def test_a_name_turns_nothing_on_a_terminal(tmp_path):
    """A line break in a name was one in the log of a service, an escape sequence one on the screen."""
    (tmp_path / "a\n\x1b[2J.png").write_bytes(b"broken")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("c\x9b.png", encode(SKY))
    told = []
    frames = list(open_source(str(tmp_path), told.append))
    assert str(told[0]).startswith(r"a\x0a\x1b[2J.png: ") and [frame.source for frame in frames] == [r"b.zip/c\x9b.png"]


def test_folder_of_bad_pictures_only_fails(tmp_path):
    (tmp_path / "x.png").write_bytes(b"broken")
    with pytest.raises(RunFailure, match="none of the 1 images"):
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
    with pytest.raises(ImageError, match=r"x\.jpg: the JPEG is truncated"):
        open_source(str(tmp_path / "x.jpg"), never)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("nothing.png", None, "does not exist"),
        ("empty", "folder", "holds no image"),
        ("empty.zip", b"PK\x05\x06" + bytes(18), "holds no image"),
        ("x.zip", b"no zip", "not a zip file"),
        ("x.mp4", b"no video", "not a video that can be decoded"),
        ("x.docx", b"text", "neither an image"),
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
    with pytest.raises(UsageError, match=r"the camera /dev/video97 does not exist|is not a camera"):
        open_source(camera, never)


def test_demo_is_the_same_every_time_and_ends():
    first, second = list(open_source("demo", never)), open_source("demo", never)
    assert len(first) == second.length and second.continuous
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
    assert {frame.pixels.shape for frame in first} == {(480, 640, 3)}
    assert first[0].time.utcoffset().total_seconds() == 0


def test_pictures_of_one_field_are_stacked_in_the_order_of_their_names(tmp_path):
    random = np.random.default_rng(2)
    sky = cv2.GaussianBlur((random.random((120, 160)) > 0.99).astype(np.float32), (0, 0), 1.5) * 90_000
    (tmp_path / "field").mkdir()
    for number in range(8):
        deep = (1000 + sky + random.normal(0, 60, sky.shape)).clip(0).astype(np.uint16)
        (tmp_path / "field" / f"sub-{number}.png").write_bytes(encode(deep))
    last = stack_all(open_source(str(tmp_path / "field"), never, sequence=True), 8)
    assert last.source == "sub-7.png" and last.stacked == 8
    assert np.std(last.raw[sky < 1] - 1000) < 35
    assert not open_source(str(tmp_path / "field"), never).continuous  # else they have nothing to do with each other
    done = galaxy_edge("run", "--camera", tmp_path / "field", "--out", tmp_path / "out", "--json", "--stack", 4)
    assert [json.loads(line).get("stacked", 1) for line in done.stdout.splitlines()] == [1, 2, 3, 4, 4, 4, 4, 4]


@pytest.mark.parametrize("name", ["p.png", "p.fits", "p.zip"])
def test_a_named_pipe_is_not_waited_for(folder, name):
    os.mkfifo(folder / name)
    told = []
    frames = list(open_source(str(folder), told.append))
    assert len(frames) == 4 and [str(problem) for problem in told] == [f"{name}: it is not a regular file"]
    with pytest.raises(UsageError, match="is not a regular file"):
        open_source(str(folder / name), never)


def newer(content):
    """Say in a zip's directory that it needs version 9.9 to unpack."""
    at = content.index(b"PK\1\2")
    return content[: at + 6] + b"\x63" + content[at + 7 :]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (newer, "zip file version 9.9"),
        (lambda content: content[:60], "not a zip file"),
        (lambda content: content.replace(b"PK\1\2", b"PK\1\3"), "Bad magic number"),
    ],
)
def test_a_damaged_zip_among_pictures_is_skipped_like_a_picture(folder, damage, reason):
    path = folder / "more.zip"
    path.write_bytes(damage(path.read_bytes()))
    told = []
    source = open_source(str(folder), told.append)
    assert len(list(source)) == 3 and source.bad == 1 and source.length == 4
    assert told[0].name == "more.zip" and reason in str(told[0])


def test_a_zip_of_a_later_make_alone_is_wrong_use(folder):
    path = folder / "more.zip"
    path.write_bytes(newer(path.read_bytes()))
    with pytest.raises(ImageError, match=r"more\.zip: .*version 9\.9") as caught:
        open_source(str(path), never)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("camera", ["", " "])
def test_an_empty_name_is_not_the_working_folder(folder, monkeypatch, camera):
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match="the source is empty"):
        open_source(camera, never)


def test_the_scheme_of_a_stream_may_be_in_capitals():
    camera = NetworkCamera()
    frames = iter(open_source(camera.url.replace("http", "HTTP"), never))
    assert next(frames).source == camera.url
    frames.close()
    camera.disconnect()


@pytest.mark.parametrize("bad", [(), ("003.png", "004.png", "011.png")])
def test_pictures_decoded_at_once_come_in_their_order(tmp_path, bad):
    for number in range(12):
        name, sky = f"{number:03d}.png", render([(40, 30, 6)], 80 + number, 60)
        (tmp_path / name).write_bytes(b"broken" if name in bad else encode(sky))
    told = []
    source = open_source(str(tmp_path), told.append, at_once=3)
    frames = list(source)
    assert [problem.name for problem in told] == list(bad) and source.bad == len(bad)
    good = [number for number in range(12) if f"{number:03d}.png" not in bad]
    assert [(frame.number, frame.source, frame.width) for frame in frames] == [
        (place, f"{number:03d}.png", 80 + number) for place, number in enumerate(good)
    ]


def test_no_more_pictures_are_decoded_ahead_than_asked_for():
    begun, ended = [], threading.Event()

    def work(number):
        begun.append(number)
        ended.wait(5)
        return number

    results = prefetch(work, range(9), 3)
    first = next(results)
    ended.set()
    assert first() == 0 and sorted(begun) == [0, 1, 2]
    assert next(results)() == 1 and next(results)() == 2 and max(begun) <= 4  # one more for each that was taken
    assert [result() for result in results] == list(range(3, 9))


@pytest.mark.parametrize("at_once", [1, 2])
def test_what_goes_wrong_ahead_is_raised_where_its_result_is_asked_for(at_once):
    def work(number):
        return 12 // number

    results = list(prefetch(work, [3, 0, 4], at_once))
    assert results[0]() == 4 and results[2]() == 3
    with pytest.raises(ZeroDivisionError):
        results[1]()
