"""Small files that expand to gigabytes of pixels."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...attack import Attack, NotPossible, Outcome

SIDE = 14_000
LIMIT_MIB = 1024


def png(side: int, bits: int = 16, colours: int = 6) -> bytes:
    """Return a complete and valid PNG of zeros."""
    channels = {0: 1, 2: 3, 6: 4}[colours]
    packer, row = zlib.compressobj(9), bytes(1 + side * channels * bits // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, bits, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(side: int, doubled: bool = False, tile: int = 0) -> bytes:
    """Return a Deflate TIFF of 16-bit RGBA zeros.

    Its size is given twice, or it has one huge tile.
    """
    data = zlib.compress(bytes(64 * 64 * 8))
    size = 64 if doubled or tile else side
    entries = [(256, 4, size), (257, 4, size), *([(256, 4, side), (257, 4, side)] if doubled else [])]
    entries += [(258, 3, 16), (259, 3, 8), (262, 3, 2), (277, 3, 4), (278, 4, size), (338, 3, 2)]
    places = (
        [(322, 4, tile), (323, 4, tile), (324, 4, 8), (325, 4, len(data))]
        if tile
        else [(273, 4, 8), (279, 4, len(data))]
    )
    entries = sorted(entries + places, key=lambda entry: entry[0])
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + directory + bytes(4)


def bitmap(side: int) -> bytes:
    """Return a run-length coded BMP without pixels."""
    return (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 2000, 0, 1078, 40, side, side, 1, 8, 1, 900, 0, 0, 256, 0) + bytes(1940)
    )


def fits_tiles(side: int) -> bytes:
    """Return a tile-compressed FITS image of zeros."""
    import io

    from astropy.io import fits

    stream = io.BytesIO()
    data = np.zeros((side, side), np.int16)
    unit = fits.CompImageHDU(data, compression_type="RICE_1", tile_shape=(256, side))
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(stream)
    return stream.getvalue()


def fits_header() -> bytes:
    """Return the header of a FITS image of `SIDE` x `SIDE` float64."""
    cards = ("SIMPLE  =                    T", "BITPIX  =                  -64", "NAXIS   =                    2",
             f"NAXIS1  = {SIDE:>20}", f"NAXIS2  = {SIDE:>20}", "END")  # fmt: skip
    return "".join(card.ljust(80) for card in cards).ljust(2880).encode()


def write_fits(stream: IO[bytes] | gzip.GzipFile, size: int) -> None:
    """Write a FITS header and zeros in parts, which takes little memory.

    This process must not take the memory that it measures.
    """
    stream.write(fits_header())
    for _ in range(size // 2**20):
        stream.write(bytes(2**20))


def packed_fits(path: Path) -> None:
    """Write a gzip of a FITS image of zeros."""
    with gzip.open(path, "wb", compresslevel=9) as stream:
        write_fits(stream, SIDE * SIDE * 8)


def members(path: Path) -> None:
    """Write a zip of images that are large when unpacked."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("a.fits", "w") as stream:
            write_fits(stream, 900 * 2**20)
        for index in range(4):
            archive.writestr(f"b{index}.png", png(8_000, 8, 2))


def many_members(path: Path) -> None:
    """Write a zip of 40 images of 100 MB and 20,000 damaged ones."""
    image, damaged = png(5_800, 8, 2), png(16, 8, 2)[:-20]
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(40):
            archive.writestr(f"{index}.png", image)
        for index in range(20_000):
            archive.writestr(f"damaged-{index}.png", damaged)


def avi(side: int) -> bytes:
    """Return a Motion JPEG AVI whose frame is larger than stated.

    It states 640 x 480 and holds a frame of `side` x `side`.
    """
    import cv2

    _, encoded = cv2.imencode(".jpg", np.zeros((side, side), np.uint8))
    frame = encoded.tobytes() + bytes(len(encoded) % 2)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content

    main = struct.pack("<14I", 200_000, 0, 0, 0, 2, 0, 1, len(frame), 640, 480, 0, 0, 0, 0)
    stream = b"vidsMJPG" + struct.pack("<IHHIIIIIIIIHHHH", 0, 0, 0, 0, 1, 5, 0, 2, len(frame), 0, 0, 0, 0, 640, 480)
    form = struct.pack("<IiiHH4sIiiII", 40, 640, 480, 1, 24, b"MJPG", 640 * 480 * 3, 0, 0, 0, 0)
    header = chunk(
        b"LIST",
        b"hdrl" + chunk(b"avih", main) + chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", form)),
    )
    movie = chunk(b"LIST", b"movi" + chunk(b"00dc", frame) * 2)
    return b"RIFF" + struct.pack("<I", 4 + len(header) + len(movie)) + b"AVI " + header + movie


def references(path: Path) -> None:
    """Write an H.264 video whose decoder keeps 16 large frames."""
    _encode(path, "4400x4400", "libx264", "-preset", "ultrafast", "-x264-params", "ref=16:bframes=0:level=6.2")


def growing(path: Path) -> None:
    """Write an MPEG-2 video whose frames become large.

    It begins with frames of 640 x 480.
    """
    parts = path.with_suffix(".small.ts"), path.with_suffix(".large.ts")
    _encode(parts[0], "640x480", "mpeg2video")
    _encode(parts[1], "12000x8000", "mpeg2video")
    _join(parts, path)


def growing_references(path: Path) -> None:
    """Write a 4K H.264 video that grows and makes its decoder keep 16 frames.

    It is in full colours.
    """
    parts = path.with_suffix(".small.ts"), path.with_suffix(".large.ts")
    _encode(parts[0], "3840x2160", "libx264", "-preset", "ultrafast")
    references = "ref=16:bframes=8:level=6.2:b-adapt=0:scenecut=0:keyint=200"
    _encode(parts[1], "5400x5400", "libx264", "-preset", "ultrafast", "-x264-params", references, pixels="yuv444p")
    _join(parts, path)


def _join(parts: Sequence[Path], path: Path) -> None:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()


def _encode(path: Path, size: str, codec: str, *options: str, pixels: str = "yuv420p") -> None:
    source = ["-f", "lavfi", "-i", f"color=black:s={size}:r=5:d=5"]
    command = ["ffmpeg", "-loglevel", "error", *source, "-c:v", codec, *options, "-pix_fmt", pixels, str(path)]
    subprocess.run(command, check=True)


KINDS: dict[str, Callable[[], bytes] | Callable[[Path], None]] = {
    "tags.tif": lambda: tiff(SIDE, doubled=True),
    "zip.zip": members,
    "png16.png": lambda: png(SIDE),
    "tile.tif": lambda: tiff(64, tile=11_000),
    "png8.png": lambda: png(13_000, 8, 6),
    "strips.tif": lambda: tiff(SIDE),
    "rle.bmp": lambda: bitmap(SIDE),
    "tiles.fits": lambda: fits_tiles(12_000),
    "packed.fits.gz": packed_fits,
    "many.zip": many_members,
    "frames.avi": lambda: avi(13_000),
    "references.mp4": references,
    "growing.mpg": growing,
    "growing-444.mpg": growing_references,
}  # fmt: skip
WRITERS = (members, many_members, packed_fits, references, growing, growing_references)
"""Functions that write their file themselves; the last three need ffmpeg."""


def write(name: str, folder: Path) -> Path:
    """Write one of `KINDS`."""
    path = folder / name
    make: Any = KINDS[name]
    if make in WRITERS:
        make(path)
    else:
        path.write_bytes(make())
    return path


def peak_of(path: Path, folder: Path) -> tuple[int, int]:
    """Run `galaxy-edge run` on a file.

    Return its exit code and its peak memory in MiB.
    """
    command = [
        sys.executable,
        "-m",
        __package__.split(".")[0],
        "run",
        "--camera",
        str(path),
        "--out",
        str(folder / "out"),
    ]
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss // 1024


def run(count: int, folder: Path) -> Outcome:
    """Run each file; it must be read or refused, within the memory."""
    if count > 1 and not shutil.which("ffmpeg"):
        raise NotPossible("ffmpeg, to make videos")
    figures: dict[str, int | float | str] = {"files": count, "killed": 0, "worst_mib": 0}
    for name in list(KINDS)[:count]:
        path = folder / name
        # In a separate process, as a child starts with the peak of its parent.
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(name, folder))
        writer.start()
        writer.join()
        code, peak = peak_of(path, folder)
        figures["killed"] = int(figures["killed"]) + (code not in (0, 1, 2))
        if peak > int(figures["worst_mib"]):
            figures |= {"worst_mib": peak, "worst": name}
        path.unlink()
    return Outcome(figures, held=figures["killed"] == 0 and int(figures["worst_mib"]) < LIMIT_MIB)


ATTACK = Attack(
    promise="No image or video makes a run use more than 1 GiB of memory, even if its header states a huge size.",
    method="{count} kinds of small files that expand to gigabytes of pixels",
    run=run,
    count=len(KINDS),
    small_count=1,
)
