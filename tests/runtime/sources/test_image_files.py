"""Check every source of the command line, and the error for each way to be wrong."""

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


def fail_on_skip(error):
    raise AssertionError(f"nothing should be skipped, but {error} was")


@pytest.fixture
def folder(tmp_path):
    night = tmp_path / "night"
    (night / "later").mkdir(parents=True)
    (night / "b.png").write_bytes(encode(SKY))
    (night / "a.jpg").write_bytes(encode(SKY, ".jpg"))
    (night / "later" / "c.TIFF").write_bytes(encode(SKY, ".tiff"))
    (night / "notes.txt").write_text("clear sky")
    (night / ".hidden.png").write_bytes(encode(SKY))
    with zipfile.ZipFile(night / "more.zip", "w") as archive:
        archive.writestr("d.png", encode(SKY))
        archive.writestr("readme.md", "not an image")
    return night


def test_folder_gives_its_images_and_those_in_zips_by_name(folder):
    source = open_source(str(folder), fail_on_skip)
    frames = list(source)
    assert [frame.source for frame in frames] == ["a.jpg", "b.png", "later/c.TIFF", "more.zip/d.png"]
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert source.length == 4 and not source.continuous


def test_output_of_an_earlier_run_is_not_read_as_frames(folder):
    """``run --camera .`` writes into ./galaxy-edge-out.

    Later runs would read its crops and sheets as frames.
    """
    out = folder / "out"
    (out / "crops" / "0001").mkdir(parents=True)
    (out / "crops" / "0001" / "00001.png").write_bytes(encode(SKY))
    (out / "sheet-0001.jpg").write_bytes(encode(SKY, ".jpg"))
    (folder / "outer.png").write_bytes(encode(SKY))
    names = ["a.jpg", "b.png", "later/c.TIFF", "more.zip/d.png", "outer.png"]
    assert [frame.source for frame in open_source(str(folder), fail_on_skip, out=out)] == names
    inside = open_source(str(folder / "later"), fail_on_skip, out=folder)
    assert len(list(inside)) == 1  # a folder inside the output folder may be read
    with pytest.raises(UsageError, match="name another --out"):
        open_source(str(folder), fail_on_skip, out=folder / "later" / "..")


def test_damaged_image_is_reported_counted_and_skipped(folder):
    (folder / "aa.png").write_bytes(b"broken")
    errors = []
    source = open_source(str(folder), errors.append)
    frames = list(source)
    assert [error.name for error in errors] == ["aa.png"]
    assert source.bad == 1
    assert [frame.number for frame in frames] == [0, 1, 2, 3]  # frame numbers have no gap


def test_control_characters_in_file_names_are_escaped(tmp_path):
    """Line breaks would split log lines; escape sequences would control the terminal."""
    (tmp_path / "a\n\x1b[2J.png").write_bytes(b"broken")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("c\x9b.png", encode(SKY))
    errors = []
    frames = list(open_source(str(tmp_path), errors.append))
    assert str(errors[0]).startswith(r"a\x0a\x1b[2J.png: ") and [frame.source for frame in frames] == [
        r"b.zip/c\x9b.png"
    ]


def test_folder_of_damaged_images_only_fails(tmp_path):
    (tmp_path / "x.png").write_bytes(b"broken")
    with pytest.raises(RunFailure, match="none of the 1 images"):
        list(open_source(str(tmp_path), lambda _: None))


def test_zip_is_a_source_of_its_members(folder):
    assert [frame.source for frame in open_source(str(folder / "more.zip"), fail_on_skip)] == ["d.png"]


def test_zip_member_with_a_wrong_checksum_is_skipped(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", encode(SKY))
        archive.writestr("b.png", encode(SKY))
    content = bytearray(path.read_bytes())
    content[content.find(b"a.png") + 60] ^= 0xFF
    path.write_bytes(content)
    errors = []
    assert [frame.source for frame in open_source(str(path), errors.append)] == ["b.png"]
    assert "cannot be unpacked" in str(errors[0])


def test_single_image_is_one_frame(folder):
    (frame,) = open_source(str(folder / "b.png"), fail_on_skip)
    assert np.array_equal(frame.pixels, SKY)
    assert (frame.width, frame.height, frame.source) == (80, 60, "b.png")


def test_single_damaged_image_is_an_error(tmp_path):
    (tmp_path / "x.jpg").write_bytes(encode(SKY, ".jpg")[:-100])
    with pytest.raises(ImageError, match=r"x\.jpg: the JPEG is truncated"):
        open_source(str(tmp_path / "x.jpg"), fail_on_skip)


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
def test_error_of_an_unusable_source_gives_name_and_reason(tmp_path, name, content, reason):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=reason) as caught:
        open_source(str(path), fail_on_skip)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("camera", ["97", "/dev/video97", "/dev/null", "/dev/videoX"])
def test_missing_camera_is_refused(camera):
    with pytest.raises(
        UsageError, match=r"/dev/video97 cannot be opened as a camera: it does not exist|is not a camera"
    ):
        open_source(camera, fail_on_skip)


def test_demo_is_reproducible_and_ends():
    first, second = list(open_source("demo", fail_on_skip)), open_source("demo", fail_on_skip)
    assert len(first) == second.length and second.continuous
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
    assert {frame.pixels.shape for frame in first} == {(480, 640, 3)}
    assert first[0].time.utcoffset().total_seconds() == 0


def test_images_of_one_field_are_stacked_in_order_of_name(tmp_path):
    random = np.random.default_rng(2)
    sky = cv2.GaussianBlur((random.random((120, 160)) > 0.99).astype(np.float32), (0, 0), 1.5) * 90_000
    (tmp_path / "field").mkdir()
    for number in range(8):
        raw = (1000 + sky + random.normal(0, 60, sky.shape)).clip(0).astype(np.uint16)
        (tmp_path / "field" / f"sub-{number}.png").write_bytes(encode(raw))
    last = stack_all(open_source(str(tmp_path / "field"), fail_on_skip, sequence=True), 8)
    assert last.source == "sub-7.png" and last.stacked == 8
    assert np.std(last.raw[sky < 1] - 1000) < 35
    # Without sequence=True, images are unrelated.
    assert not open_source(str(tmp_path / "field"), fail_on_skip).continuous
    completed = galaxy_edge("run", "--camera", tmp_path / "field", "--out", tmp_path / "out", "--json", "--stack", 4)
    assert [json.loads(line).get("stacked", 1) for line in completed.stdout.splitlines()] == [1, 2, 3, 4, 4, 4, 4, 4]


@pytest.mark.parametrize("name", ["p.png", "p.fits", "p.zip"])
def test_named_pipe_is_skipped_without_waiting(folder, name):
    os.mkfifo(folder / name)
    errors = []
    frames = list(open_source(str(folder), errors.append))
    assert len(frames) == 4 and [str(error) for error in errors] == [f"{name}: it is not a regular file"]
    with pytest.raises(UsageError, match="is not a regular file"):
        open_source(str(folder / name), fail_on_skip)


def require_newer_unzip(content):
    """Edit a zip's directory so that it requires version 9.9 to unpack."""
    directory = content.index(b"PK\1\2")
    return content[: directory + 6] + b"\x63" + content[directory + 7 :]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (require_newer_unzip, "zip file version 9.9"),
        (lambda content: content[:60], "not a zip file"),
        (lambda content: content.replace(b"PK\1\2", b"PK\1\3"), "Bad magic number"),
    ],
)
def test_damaged_zip_among_images_is_skipped_like_an_image(folder, damage, reason):
    path = folder / "more.zip"
    path.write_bytes(damage(path.read_bytes()))
    errors = []
    source = open_source(str(folder), errors.append)
    assert len(list(source)) == 3 and source.bad == 1 and source.length == 4
    assert errors[0].name == "more.zip" and reason in str(errors[0])


def test_single_zip_of_a_newer_version_is_a_usage_error(folder):
    path = folder / "more.zip"
    path.write_bytes(require_newer_unzip(path.read_bytes()))
    with pytest.raises(ImageError, match=r"more\.zip: .*version 9\.9") as caught:
        open_source(str(path), fail_on_skip)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("camera", ["", " "])
def test_empty_source_is_not_the_working_folder(folder, monkeypatch, camera):
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match="the source is empty"):
        open_source(camera, fail_on_skip)


def test_scheme_of_a_stream_may_be_in_capitals():
    camera = NetworkCamera()
    frames = iter(open_source(camera.url.replace("http", "HTTP"), fail_on_skip))
    assert next(frames).source == camera.url
    frames.close()
    camera.disconnect()


@pytest.mark.parametrize("bad", [(), ("003.png", "004.png", "011.png")])
def test_images_decoded_in_parallel_keep_their_order(tmp_path, bad):
    for number in range(12):
        name, sky = f"{number:03d}.png", render([(40, 30, 6)], 80 + number, 60)
        (tmp_path / name).write_bytes(b"broken" if name in bad else encode(sky))
    errors = []
    source = open_source(str(tmp_path), errors.append, at_once=3)
    frames = list(source)
    assert [error.name for error in errors] == list(bad) and source.bad == len(bad)
    good = [number for number in range(12) if f"{number:03d}.png" not in bad]
    assert [(frame.number, frame.source, frame.width) for frame in frames] == [
        (position, f"{number:03d}.png", 80 + number) for position, number in enumerate(good)
    ]


def test_prefetch_starts_no_more_work_than_its_limit():
    started, may_finish = [], threading.Event()

    def work(number):
        started.append(number)
        may_finish.wait(5)
        return number

    results = prefetch(work, range(9), 3)
    first = next(results)
    may_finish.set()
    assert first() == 0 and sorted(started) == [0, 1, 2]
    assert next(results)() == 1 and next(results)() == 2 and max(started) <= 4  # one more for each that was taken
    assert [result() for result in results] == list(range(3, 9))


@pytest.mark.parametrize("at_once", [1, 2])
def test_error_of_prefetched_work_is_raised_with_its_result(at_once):
    def work(number):
        return 12 // number

    results = list(prefetch(work, [3, 0, 4], at_once))
    assert results[0]() == 4 and results[2]() == 3
    with pytest.raises(ZeroDivisionError):
        results[1]()
