"""Video files: every frame in order and colour; damaged frames are skipped, counted and logged; 16 bits are kept."""

import shutil
import subprocess

import cv2
import numpy as np
import pytest
from galaxy_edge.runtime.errors import RunFailure
from galaxy_edge.runtime.sources.open_source import open_source
from helpers.command_line import galaxy_edge
from helpers.images import render


def never(error):
    raise AssertionError(f"no image should be skipped, but {error} was")


def write(path, pictures, code="MJPG"):
    size = pictures[0].shape[1], pictures[0].shape[0]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10.0, size)
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def places(frames):
    return [int(frame.pixels[30, :, 0].astype(int).argmax()) for frame in frames]


def blot(path, pictures):
    """Write zeros over some pictures of an AVI, and over nothing else."""
    content = path.read_bytes()
    start = content.index(b"movi")
    chunks = [at for at in range(start, len(content)) if content.startswith(b"00dc", at)]
    damaged = bytearray(content)
    for at in [chunks[number] for number in pictures]:
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        damaged[at + 8 : at + 8 + size] = bytes(size)
    path.write_bytes(damaged)


@pytest.fixture
def passing(tmp_path):
    """Forty frames of a blob that passes from left to right."""
    return write(tmp_path / "night.avi", [render([(x, 30, 4)], 80, 60) for x in range(20, 60)])


def test_every_frame_comes_in_order_without_a_warning(passing, caplog):
    source = open_source(str(passing), never)
    assert source.continuous and source.length == 40
    for again in (list(source), list(source)):  # what was opened to look at the file is read once
        assert places(again) == pytest.approx(range(20, 60), abs=2) and source.bad == 0
    assert caplog.messages == []


def test_a_video_is_red_where_it_is_red_down_to_its_last_row(tmp_path):
    # Frames are turned from BGR to RGB in bands; 150 rows are two bands and a part of one.
    path = write(tmp_path / "red.avi", [np.full((150, 64, 3), (200, 90, 20), np.uint8)] * 3)
    for frame in open_source(str(path), never):
        assert np.abs(frame.pixels.astype(int) - (200, 90, 20)).max() <= 6


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_truncated_video_logs_how_many_frames_were_read(tmp_path, suffix, caplog):
    path = write(tmp_path / f"night{suffix}", [render([(x, 30, 4)], 80, 60) for x in range(20, 60)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(str(path), never)
    frames = list(source)
    assert 10 < len(frames) < 30 and source.bad == 40 - len(frames)
    assert caplog.messages == [
        f"night{suffix}: {len(frames)} of 40 frames could be read; the file is damaged or truncated"
    ]


def test_a_video_goes_on_after_a_damaged_part(passing, caplog):
    blot(passing, (15, 16, 17))
    source = open_source(str(passing), never)
    frames = list(source)
    assert len(frames) == 37 and source.bad == 3 and len(caplog.messages) == 1
    assert places(frames)[-5:] == pytest.approx(range(55, 60), abs=2)
    assert (frames[-1].time - frames[0].time).total_seconds() == pytest.approx(3.9, abs=0.01)  # the gap is in the times


def test_a_video_without_a_frame_that_can_be_decoded_fails(passing):
    blot(passing, range(40))
    with pytest.raises(RunFailure, match="holds no frame that can be decoded"):
        list(open_source(str(passing), never))


def test_the_run_reports_a_truncated_video_and_counts_its_frames(passing, tmp_path):
    passing.write_bytes(passing.read_bytes()[: passing.stat().st_size // 2])
    done = galaxy_edge("run", "--camera", passing, "--out", tmp_path / "out")
    assert done.returncode == 0 and "of 40 frames could be read; the file is damaged or truncated" in done.stderr
    assert "could not be read and were skipped" in done.stdout


def ramp(number):
    rows, columns = np.mgrid[:60, :80]
    return (40 * columns + 300 * rows + 7 * number).astype(np.uint16)


@pytest.fixture
def deep_video(tmp_path):
    path = tmp_path / "deep.mkv"
    how = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10.0, (80, 60), how)
    for number in range(5):
        writer.write(ramp(number))
    writer.release()
    return path


def test_grey_of_16_bits_stays_so_to_the_bit(deep_video):
    frames = list(open_source(str(deep_video), never))
    assert len(frames) == 5 and all(np.array_equal(frame.raw, ramp(n)) for n, frame in enumerate(frames))
    assert frames[0].stretch["kind"] == "asinh-noise" and frames[0].pixels.shape == (60, 80, 3)


def encode(source, target, *how):
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *source, "-c:v", "ffv1", *how, target], check=True)
    return target


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg to make videos of 10 and 12 bits")
@pytest.mark.parametrize("bits", [10, 12])
def test_a_cut_depth_is_logged_with_a_command_that_keeps_it(tmp_path, bits, caplog):
    pictures = [ramp(number) % 2**bits for number in range(3)]
    (tmp_path / "raw").write_bytes(b"".join(picture.tobytes() for picture in pictures))
    form = f"gray{bits}le"
    raw = ["-f", "rawvideo", "-pix_fmt", form, "-s", "80x60", "-i", tmp_path / "raw"]
    path = encode(raw, tmp_path / "deep.mkv", "-pix_fmt", form)
    frames = list(open_source(str(path), never))
    assert len(frames) == 3 and frames[0].raw is None and frames[0].stretch is None
    (message,) = caplog.messages
    assert message.startswith(f"deep.mkv: of its {bits} bits of grey OpenCV keeps 8; ")
    copy = encode(["-i", path], tmp_path / "copy.mkv", *message.split("-i FILE ")[1].split(" -c:v")[0].split())
    kept = list(open_source(str(copy), never))
    assert all(np.array_equal(frame.raw >> (16 - bits), picture) for frame, picture in zip(kept, pictures, strict=True))


def test_grey_of_8_bits_gives_no_warning(tmp_path, caplog):
    how = [cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    path = tmp_path / "grey.mkv"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10.0, (80, 60), how)
    writer.write(ramp(0).astype(np.uint8))
    writer.release()
    assert len(list(open_source(str(path), never))) == 1 and caplog.messages == []
