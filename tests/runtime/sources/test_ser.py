"""Check SER videos, written here from the format's specification.

All depths, colours, byte orders; damage.
"""

import datetime
import struct

import cv2
import numpy as np
import pytest
from galaxy_edge.errors import ImageError, UsageError
from galaxy_edge.runtime.sources.open_source import open_source
from helpers.images import render
from helpers.mosaics import mosaic_of, scene
from helpers.moving_sky import stack_all

SKY = render([(40, 30, 6)], 80, 60)[..., 0]
BEGAN = datetime.datetime(2026, 11, 20, 21, 4, 5, 250_000, tzinfo=datetime.UTC)


def fail_on_skip(error):
    raise AssertionError(f"no image should be skipped, but {error} was")


def write_ser(path, frames, colour=0, bits=8, flag=0, stated_frames=None, times=()):
    height, width = frames[0].shape[:2]
    count = len(frames) if stated_frames is None else stated_frames
    header = struct.pack("<14s7i120x2q", b"LUCAM-RECORDER", 0, colour, flag, width, height, bits, count, 0, 0)
    epoch = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)
    ticks = [(time - epoch) // datetime.timedelta(microseconds=1) * 10 for time in times]
    path.write_bytes(header + b"".join(frame.tobytes() for frame in frames) + struct.pack(f"<{len(ticks)}q", *ticks))
    return path


def raw_frame(number, bits=16):
    return (SKY.astype(np.uint16) * 40 + 900 + number) >> (16 - bits)


def read_all(path):
    source = open_source(str(path), fail_on_skip)
    frames = list(source)
    assert source.continuous and not source.live and source.length == len(frames) and source.bad == 0
    assert [frame.number for frame in frames] == list(range(len(frames)))
    return frames


def test_grey_of_8_bits_is_read_exactly(tmp_path):
    frames = read_all(write_ser(tmp_path / "a.ser", [np.roll(SKY, 3 * n, 1) for n in range(5)]))
    for number, frame in enumerate(frames):  # all frames are still held: no buffer was reused
        assert frame.raw is None and frame.stretch is None
        assert np.array_equal(frame.pixels, np.repeat(np.roll(SKY, 3 * number, 1)[..., None], 3, 2))


@pytest.mark.parametrize("order", ["<u2", ">u2"])
@pytest.mark.parametrize("flag", [0, 1])
@pytest.mark.parametrize("bits", [12, 16])
def test_16_bits_are_read_exactly_even_if_the_byte_order_flag_is_wrong(tmp_path, order, flag, bits):
    path = write_ser(tmp_path / "a.SER", [raw_frame(n, bits).astype(order) for n in range(3)], bits=bits, flag=flag)
    for number, frame in enumerate(read_all(path)):
        assert frame.raw.dtype == np.uint16 and np.array_equal(frame.raw, raw_frame(number, bits))
        assert frame.stretch["kind"] == "asinh-noise" and frame.pixels.shape == (60, 80, 3)


@pytest.mark.parametrize(("colour", "order"), [(100, [0, 1, 2]), (101, [2, 1, 0])])
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_keep_their_order(tmp_path, colour, order, bits):
    sky = np.stack([SKY, SKY // 2, SKY // 4], axis=2).astype("u1" if bits == 8 else "<u2") * (1 if bits == 8 else 40)
    (frame,) = read_all(write_ser(tmp_path / "a.ser", [np.ascontiguousarray(sky[..., order])], colour, bits))
    assert np.array_equal(frame.pixels if bits == 8 else frame.raw, sky)


@pytest.mark.parametrize(("colour", "pattern"), [(8, "RGGB"), (9, "GRBG"), (10, "GBRG"), (11, "BGGR")])
def test_mosaic_of_8_bits_is_demosaiced_in_its_colours(tmp_path, colour, pattern):
    levels = np.array([200, 120, 40], np.uint8)
    mosaic = np.zeros((60, 80), levels.dtype)
    for position, name in enumerate(pattern):
        mosaic[position // 2 :: 2, position % 2 :: 2] = levels["RGB".index(name)]
    (frame,) = read_all(write_ser(tmp_path / "a.ser", [mosaic], colour))
    assert np.array_equal(frame.pixels[10, 10], levels) and frame.binning == 1


@pytest.mark.parametrize(("colour", "pattern"), [(8, "RGGB"), (9, "GRBG"), (10, "GBRG"), (11, "BGGR")])
def test_mosaic_of_16_bits_becomes_superpixels(tmp_path, colour, pattern):
    """The mosaic is kept for stacking and measurements."""
    mosaic = mosaic_of(scene(61, 81), pattern)
    (frame,) = read_all(write_ser(tmp_path / "a.ser", [mosaic], colour, 16))
    assert np.array_equal(frame.raw, mosaic) and (frame.cfa, frame.binning) == (pattern, 2)
    assert frame.pixels.shape == (30, 40, 3) and frame.source_size == (81, 61) and len(frame.planes) == 3
    red, green, blue = (int(level) for level in frame.pixels[15, 20])
    assert red > green > blue


def test_frame_times_are_those_of_the_trailer(tmp_path):
    times = [BEGAN + datetime.timedelta(milliseconds=40 * number) for number in range(3)]
    assert [frame.time for frame in read_all(write_ser(tmp_path / "a.ser", [SKY] * 3, times=times))] == times
    before = datetime.datetime.now(datetime.UTC)
    # With an incomplete trailer, times start now, at 25 frames per second.
    untimed = read_all(write_ser(tmp_path / "b.ser", [SKY] * 3, times=times[:1]))
    assert before <= untimed[0].time and (untimed[2].time - untimed[0].time).total_seconds() == pytest.approx(0.08)


def test_truncated_file_logs_the_number_of_frames_read(tmp_path, caplog):
    path = write_ser(tmp_path / "a.ser", [SKY] * 7)
    path.write_bytes(path.read_bytes()[:-6000])  # one frame and a part of another
    source = open_source(str(path), fail_on_skip)
    assert len(list(source)) == 5 and source.length == 7 and source.bad == 2
    assert caplog.messages == ["a.ser: 5 of 7 frames could be read; the file is damaged or truncated"]


@pytest.mark.parametrize("stated", [0, 1, 3])
def test_file_whose_header_counts_too_few_frames_is_read_to_its_end(tmp_path, stated):
    """A recorder that was killed leaves an earlier count in the header, or zero."""
    assert len(read_all(write_ser(tmp_path / "a.ser", [SKY] * 4, stated_frames=stated))) == 4


def test_absurd_frame_count_in_the_header_costs_no_memory(tmp_path):
    source = open_source(str(write_ser(tmp_path / "a.ser", [SKY] * 2, stated_frames=2**31 - 1)), fail_on_skip)
    assert len(list(source)) == 2 and source.bad == 2**31 - 3


@pytest.mark.parametrize(("options", "error", "reason"), [
    ({"colour": 16}, UsageError, "colours 16"),
    ({"bits": 32}, UsageError, "32 bits"),
    ({"frames": [SKY[:4]]}, ImageError, "80x4 pixels is too small"),
    ({"frames": [SKY], "cut": 200}, UsageError, "no complete frame"),
    ({"frames": [SKY], "cut": 100}, UsageError, "not a SER video"),
])  # fmt: skip
def test_error_of_an_unusable_file_gives_the_reason(tmp_path, options, error, reason):
    cut = options.pop("cut", None)
    path = write_ser(tmp_path / "a.ser", **{"frames": [SKY], **options})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(error, match=reason):
        open_source(str(path), fail_on_skip)


def test_stacking_sixteen_raw_frames_reduces_noise_to_a_quarter(tmp_path):
    """From the file to the stack.

    The mean keeps the units of the raw values, and has a quarter of their noise.
    """
    random = np.random.default_rng(2)
    stars = cv2.GaussianBlur((random.random((60, 80)) > 0.99).astype(np.float32), (0, 0), 1.5) * 90_000
    frames = [(1000 + stars + random.normal(0, 60, SKY.shape)).clip(0).astype("<u2") for _ in range(16)]
    last = stack_all(open_source(str(write_ser(tmp_path / "a.ser", frames, bits=16)), fail_on_skip), 16)
    assert last.stacked == 16 and last.raw.dtype == np.float32 and last.stretch
    assert np.std(last.raw[stars < 1] - 1000) < 30


@pytest.mark.parametrize("with_times", [False, True])
def test_more_frames_than_the_header_states_are_read(tmp_path, with_times):
    """A recorder that was killed had written its count long before."""
    times = [BEGAN + datetime.timedelta(seconds=number) for number in range(9)] if with_times else ()
    path = write_ser(tmp_path / "a.ser", [np.roll(SKY, n, 1) for n in range(9)], stated_frames=2, times=times)
    frames = read_all(path)
    assert len(frames) == 9 and (not with_times or frames[8].time == times[8])


def test_times_of_a_clock_that_was_not_set_are_refused_and_the_header_time_is_used(tmp_path):
    absurd = [datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)] * 2
    path = write_ser(tmp_path / "a.ser", [SKY, SKY], times=absurd)
    content = bytearray(path.read_bytes())
    epoch = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)
    content[170:178] = struct.pack("<q", (BEGAN - epoch) // datetime.timedelta(microseconds=1) * 10)
    path.write_bytes(content)
    first, second = read_all(path)
    assert first.time == BEGAN and second.time > BEGAN


@pytest.mark.parametrize("stated", [9, 2**31 - 1])
def test_times_are_read_if_the_header_states_too_many_frames(tmp_path, stated):
    """The size decides: six frames with six times are no truncated file."""
    times = [BEGAN + datetime.timedelta(seconds=n) for n in range(6)]
    path = write_ser(tmp_path / "a.ser", [np.roll(SKY, n, 1) for n in range(6)], stated_frames=stated, times=times)
    assert [frame.time for frame in read_all(path)] == times
