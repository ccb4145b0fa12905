"""Check video files: order and colour of frames, damaged frames, and 16 bits."""

import shutil
import subprocess

import cv2
import numpy as np
import pytest
from galaxy_edge.runtime.errors import RunFailure
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.sources.video import depth_remark
from helpers.command_line import galaxy_edge
from helpers.images import render


def fail_on_skip(error):
    raise AssertionError(f"no image should be skipped, but {error} was")


def write_video(path, images, code="MJPG"):
    size = images[0].shape[1], images[0].shape[0]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10.0, size)
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def blob_columns(frames):
    return [int(frame.pixels[30, :, 0].astype(int).argmax()) for frame in frames]


def damage_frames(path, frame_numbers):
    """Overwrite the given frames of an AVI with zeros, and nothing else."""
    content = path.read_bytes()
    start = content.index(b"movi")
    chunks = [offset for offset in range(start, len(content)) if content.startswith(b"00dc", offset)]
    damaged = bytearray(content)
    for offset in [chunks[number] for number in frame_numbers]:
        size = int.from_bytes(content[offset + 4 : offset + 8], "little")
        damaged[offset + 8 : offset + 8 + size] = bytes(size)
    path.write_bytes(damaged)


@pytest.fixture
def moving_blob_video(tmp_path):
    """Write a video of forty frames in which a blob moves from left to right."""
    return write_video(tmp_path / "night.avi", [render([(x, 30, 4)], 80, 60) for x in range(20, 60)])


def test_frames_are_complete_and_in_order_without_a_warning(moving_blob_video, caplog):
    source = open_source(str(moving_blob_video), fail_on_skip)
    assert source.continuous and source.length == 40
    for again in (list(source), list(source)):  # the capture that inspected the file is used once
        assert blob_columns(again) == pytest.approx(range(20, 60), abs=2) and source.bad == 0
    assert caplog.messages == []


def test_colours_are_right_down_to_the_last_row(tmp_path):
    # Frames are turned from BGR to RGB in bands; 150 rows are two bands and a part of one.
    path = write_video(tmp_path / "red.avi", [np.full((150, 64, 3), (200, 90, 20), np.uint8)] * 3)
    for frame in open_source(str(path), fail_on_skip):
        assert np.abs(frame.pixels.astype(int) - (200, 90, 20)).max() <= 6


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_truncated_video_logs_the_number_of_frames_read(tmp_path, suffix, caplog):
    path = write_video(tmp_path / f"night{suffix}", [render([(x, 30, 4)], 80, 60) for x in range(20, 60)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(str(path), fail_on_skip)
    frames = list(source)
    assert 10 < len(frames) < 30 and source.bad == 40 - len(frames)
    assert caplog.messages == [
        f"night{suffix}: {len(frames)} of 40 frames could be read; the file is damaged or truncated"
    ]


def test_video_continues_after_a_damaged_part(moving_blob_video, caplog):
    damage_frames(moving_blob_video, (15, 16, 17))
    source = open_source(str(moving_blob_video), fail_on_skip)
    frames = list(source)
    assert len(frames) == 37 and source.bad == 3 and len(caplog.messages) == 1
    assert blob_columns(frames)[-5:] == pytest.approx(range(55, 60), abs=2)
    assert (frames[-1].time - frames[0].time).total_seconds() == pytest.approx(3.9, abs=0.01)  # the gap is in the times


def test_video_without_a_decodable_frame_fails(moving_blob_video):
    damage_frames(moving_blob_video, range(40))
    with pytest.raises(RunFailure, match="holds no frame that can be decoded"):
        list(open_source(str(moving_blob_video), fail_on_skip))


def test_run_reports_a_truncated_video_and_counts_skipped_frames(moving_blob_video, tmp_path):
    moving_blob_video.write_bytes(moving_blob_video.read_bytes()[: moving_blob_video.stat().st_size // 2])
    completed = galaxy_edge("run", "--camera", moving_blob_video, "--out", tmp_path / "out")
    assert (
        completed.returncode == 0 and "of 40 frames could be read; the file is damaged or truncated" in completed.stderr
    )
    assert "could not be read and were skipped" in completed.stdout


def ramp(number):
    rows, columns = np.mgrid[:60, :80]
    return (40 * columns + 300 * rows + 7 * number).astype(np.uint16)


@pytest.fixture
def video_of_16_bits(tmp_path):
    path = tmp_path / "deep.mkv"
    options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10.0, (80, 60), options)
    for number in range(5):
        writer.write(ramp(number))
    writer.release()
    return path


def test_grey_of_16_bits_is_read_exactly(video_of_16_bits):
    frames = list(open_source(str(video_of_16_bits), fail_on_skip))
    assert len(frames) == 5 and all(np.array_equal(frame.raw, ramp(n)) for n, frame in enumerate(frames))
    assert frames[0].stretch["kind"] == "asinh-noise" and frames[0].pixels.shape == (60, 80, 3)


def encode_ffv1(source, target, *options):
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *source, "-c:v", "ffv1", *options, target], check=True)
    return target


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg to make videos of 10 and 12 bits")
@pytest.mark.parametrize("bits", [10, 12])
def test_lost_bit_depth_is_logged_with_a_command_that_keeps_it(tmp_path, bits, caplog):
    images = [ramp(number) % 2**bits for number in range(3)]
    (tmp_path / "raw").write_bytes(b"".join(image.tobytes() for image in images))
    pixel_format = f"gray{bits}le"
    raw = ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", "80x60", "-i", tmp_path / "raw"]
    path = encode_ffv1(raw, tmp_path / "deep.mkv", "-pix_fmt", pixel_format)
    frames = list(open_source(str(path), fail_on_skip))
    assert len(frames) == 3 and frames[0].raw is None and frames[0].stretch is None
    (message,) = caplog.messages
    assert message.startswith(f"deep.mkv: of its {bits} bits of grey OpenCV keeps 8; ")
    copy = encode_ffv1(["-i", path], tmp_path / "copy.mkv", *message.split("-i FILE ")[1].split(" -c:v")[0].split())
    converted = list(open_source(str(copy), fail_on_skip))
    assert all(np.array_equal(frame.raw >> (16 - bits), image) for frame, image in zip(converted, images, strict=True))


def test_grey_of_8_bits_gives_no_warning(tmp_path, caplog):
    options = [cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    path = tmp_path / "grey.mkv"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10.0, (80, 60), options)
    writer.write(ramp(0).astype(np.uint8))
    writer.release()
    assert len(list(open_source(str(path), fail_on_skip))) == 1 and caplog.messages == []


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg to move a video's start")
def test_video_that_starts_late_is_not_damaged(tmp_path, caplog):
    """Its duration, of which the number of frames is computed, is counted from zero."""
    path = tmp_path / "late.mkv"
    made = ["-f", "lavfi", "-i", "testsrc=s=80x60:r=10:d=4", "-c:v", "mjpeg", "-output_ts_offset", "95000", path]
    subprocess.run(["ffmpeg", "-loglevel", "error", *made], check=True)
    source = open_source(str(path))
    assert len(list(source)) == 40 and source.bad == 0 and source.length == 40 and caplog.messages == []


def test_frames_that_a_camera_dropped_are_not_damage(tmp_path, caplog):
    """A capture program writes an empty chunk for each.

    The file states more frames than have content.
    """
    path = tmp_path / "drops.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (80, 60))
    for number in range(40):
        writer.write(np.full((60, 80, 3), 5 * number, np.uint8))
    writer.release()
    content = path.read_bytes()
    start, end = content.index(b"movi"), content.index(b"idx1")
    chunks = [at for at in range(start, end) if content.startswith(b"00dc", at)]
    parts = [content[at:after] for at, after in zip(chunks, [*chunks[1:], end], strict=True)]
    for number in (5, 6, 20):
        parts[number] = b"00dc" + bytes(4)
    path.write_bytes(content[: chunks[0]] + b"".join(parts))
    source = open_source(str(path))
    assert len(list(source)) == 37 and source.bad == 0 and caplog.messages == []


@pytest.mark.parametrize(("code", "remark"), [
    (b"Y3\x0b\n", "of its 10 bits of each colour OpenCV keeps 8"),
    (b"0RGB", "of its 16 bits of each colour OpenCV keeps 8"),
    (b"RGB\x0f", "its frames are stored as 5 bits of each colour; if the camera is monochrome"),
    (b"I420", ""), (b"BGR\x18", ""), (b"Y1\0\x10", ""),
])  # fmt: skip
def test_depth_that_is_lost_is_reported(code, remark):
    """Reading 10-bit video as 8 bits is reported.

    OpenCV gives 16-bit grey in an AVI as colours of 5 bits.
    """
    assert depth_remark(code).startswith(remark) and bool(depth_remark(code)) == bool(remark)
