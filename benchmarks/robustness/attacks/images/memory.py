"""Small files that stand for gigabytes of pixels."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ...attack import Attack, Outcome

SIDE = 14_000
LIMIT_MIB = 1024


def png(side: int, bits: int = 16, colours: int = 6) -> bytes:
    """Return a PNG of zeros, whole and valid."""
    channels = {0: 1, 2: 3, 6: 4}[colours]
    packer, row = zlib.compressobj(9), bytes(1 + side * channels * bits // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, bits, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(side: int, doubled: bool = False, tile: int = 0) -> bytes:
    """Return a Deflate TIFF of 16-bit RGBA zeros: with its size given twice, or with one huge tile."""
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


def fits_gzip(size: int) -> bytes:
    """Return a gzip of a FITS header and zeros."""
    cards = ("SIMPLE  =                    T", "BITPIX  =                  -64", "NAXIS   =                    2",
             f"NAXIS1  = {SIDE:>20}", f"NAXIS2  = {SIDE:>20}", "END")  # fmt: skip
    return gzip.compress("".join(card.ljust(80) for card in cards).ljust(2880).encode() + bytes(size), 9)


def members(path: Path) -> None:
    """Write a zip of images that are large when unpacked."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("a.fits", gzip.decompress(fits_gzip(900 * 2**20)))
        for index in range(4):
            archive.writestr(f"b{index}.png", png(8_000, 8, 2))


def avi(side: int) -> bytes:
    """Return a Motion JPEG AVI that states 640 x 480 and holds a frame of `side` x `side`."""
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


KINDS = {
    "tags.tif": lambda: tiff(SIDE, doubled=True),
    "zip.zip": None,
    "png16.png": lambda: png(SIDE),
    "tile.tif": lambda: tiff(64, tile=11_000),
    "png8.png": lambda: png(13_000, 8, 6),
    "strips.tif": lambda: tiff(SIDE),
    "rle.bmp": lambda: bitmap(SIDE),
    "tiles.fits": lambda: fits_tiles(12_000),
    "packed.fits.gz": lambda: fits_gzip(SIDE * SIDE * 8),
    "frames.avi": lambda: avi(13_000),
}  # fmt: skip


def write(name: str, folder: Path) -> Path:
    """Write one of `KINDS`."""
    path = folder / name
    make = KINDS[name]
    if make is None:
        members(path)
    else:
        path.write_bytes(make())
    return path


def peak_of(path: Path, folder: Path) -> tuple[int, int]:
    """Run `galaxy-edge run` on a file; return its exit code and its peak memory in MiB."""
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
    figures: dict[str, int | float | str] = {"files": count, "killed": 0, "worst_mib": 0}
    for name in list(KINDS)[:count]:
        path = folder / name
        # In a process of its own: the peak of a parent counts as that of a child that it starts.
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
    promise="No image or video takes a run over 1 GiB of memory, whatever it claims to hold.",
    method="{count} kinds of small files that stand for gigabytes of pixels",
    run=run,
    count=len(KINDS),
    small_count=1,
)
