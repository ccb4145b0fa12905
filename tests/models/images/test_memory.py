"""An image is refused by the memory that it would take, before it is decoded.

What is read takes no more.
"""

import io
import struct

import numpy as np
import pytest
from galaxy_edge.benchmarks.robustness.attacks.images import memory as files
from galaxy_edge.errors import ImageError
from galaxy_edge.models.images import memory
from galaxy_edge.models.images.decoder import decode_image
from helpers.images import encode, png_chunk, render

SKY = render([(40, 30, 6)], 80, 60)


def write_tree(root, entries):
    for path, text in entries.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.mark.parametrize("entries, limit", [
    ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "500000000\n",
      "sys/fs/cgroup/a/b/memory.max": "max\n"}, 500_000_000),
    ({"proc/self/cgroup": "4:memory:/x\n3:cpu:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "300000000\n"},
     300_000_000),
    ({"proc/self/cgroup": "0::/\n"}, 1000 * 1024),
    ({}, 1000 * 1024),
])  # fmt: skip
def test_limit_is_the_least_of_machine_and_control_groups(tmp_path, entries, limit):
    total = 1000 if limit == 1000 * 1024 else 8_000_000
    write_tree(tmp_path, {"proc/meminfo": f"MemTotal:  {total} kB\n"} | entries)
    assert memory.memory_limit(tmp_path) == limit


def bare_png(width, height, bits, colours):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("name, content", [
    ("16bit.png", lambda: bare_png(9000, 9000, 16, 6)),
    ("animated.png", lambda: bare_png(9000, 9000, 8, 6).replace(
        b"\0\0\0\0IEND", png_chunk(b"acTL", bytes(8)) + b"\0\0\0\0IEND")),
    ("strips.tif", lambda: files.tiff(14_000)),
    ("tile.tif", lambda: files.tiff(64, tile=16_000)),
    ("rle.bmp", lambda: files.bitmap(14_000)),
    ("progressive.jpg", lambda: encode(SKY, ".jpg").replace(b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 60, 80),
                                                          b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", 12000, 12000))),
])  # fmt: skip
def test_what_needs_more_memory_than_the_budget_is_refused_before_decoding(name, content):
    with pytest.raises(ImageError, match=r"it is too large: it needs [0-9,]+ MiB of memory"):
        decode_image(content(), name)


def test_a_size_that_is_given_twice_is_refused():
    """Readers differ: some use the first size, others the last."""
    with pytest.raises(ImageError, match="gives tag 256 twice"):
        decode_image(files.tiff(14_000, doubled=True), "tags.tif")


@pytest.mark.parametrize("name, content", [("a.png", lambda: encode(SKY)), ("a.tif", lambda: encode(SKY, ".tif"))])
def test_the_budget_of_a_small_machine_counts(monkeypatch, name, content):
    decode_image(content(), name)
    monkeypatch.setattr(memory, "budget", lambda: 10_000)
    with pytest.raises(ImageError, match="too large"):
        decode_image(content(), name)


def test_a_tile_of_fits_that_unpacks_to_more_than_its_pixels_is_refused():
    fits = pytest.importorskip("astropy.io.fits", reason="needs astropy (the fits extra)")
    import gzip

    stream = io.BytesIO()
    unit = fits.CompImageHDU(np.zeros((64, 64), np.int16), compression_type="GZIP_1", tile_shape=(64, 64))
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(stream)
    stream.seek(0)
    with fits.open(stream, disable_image_compression=True) as units:
        table = units[1]
        bomb = np.frombuffer(gzip.compress(bytes(10**7)), np.uint8)
        column = fits.Column("COMPRESSED_DATA", f"1PB({len(bomb)})", array=np.array([bomb], object))
        other = fits.BinTableHDU.from_columns([column], header=table.header)
        out = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), other]).writeto(out)
    with pytest.raises(ImageError, match="unpacks to more than its pixels"):
        decode_image(out.getvalue(), "tiles.fits")


def test_an_image_waits_for_the_memory_of_the_others(monkeypatch):
    monkeypatch.setattr(memory, "budget", lambda: 100)
    monkeypatch.setattr(memory, "WAIT_SECONDS", 60.0)
    gate = memory.MemoryGate()
    pixels = np.zeros(3)
    with gate.reservation() as first:
        first.grow(90)
        first.keep(pixels, 30)
    import threading

    admitted = threading.Event()

    def second():
        with gate.reservation() as reservation:
            reservation.grow(80)
            admitted.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not admitted.wait(0.05)  # the pixels are still in use
    del pixels
    thread.join()
    assert admitted.is_set()
