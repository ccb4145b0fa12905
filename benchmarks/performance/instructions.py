"""Count the arm64 instructions of a raw frame, and of each shipped network.

Those of a frame are counted by stage: front end, windows, and one inference of the detector of raw frames.

``python -m galaxy_edge.benchmarks.performance.instructions FRAME.fit --qemu QEMU --root ROOT --out FILE.json``

Folders of bundles in place of FRAME.fit: one inference of the int8 network of each.

QEMU is the ``qemu-aarch64`` of Debian 12's qemu-user 7.2 (the static one has no plug-ins). ROOT is an arm64 userland
with the device's packages in ROOT/site, and gcc builds the plug-in that counts:

* ``mmdebstrap --variant=extract --mode=root --architectures=arm64 --include=python3,libgomp1,libstdc++6 bookworm ROOT``
* ``pip download --no-deps --only-binary=:all: --python-version 3.11 --platform manylinux_2_27_aarch64 --platform
  manylinux_2_28_aarch64 --platform manylinux2014_aarch64 -d wheels numpy opencv-python-headless ai-edge-litert==2.1.2
  flatbuffers protobuf ...``, then ``unzip`` each into ROOT/site; LiteRT 2.3 needs qemu 10.

Counts are repeatable to a few thousand; the first round, which fills caches, is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ...models.images.decoder import decode_image

STAGES = ("planes", "measure", "stretch", "windows", "preprocess", "inference", "decode")
NETWORKS = ("galaxy-classifier", "galaxy-detector", "galaxy-detector-raw")
"""Shipped bundles; one inference of each is counted."""
ROUNDS = 2
_MARK = -7000
_PLUGIN = r"""
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#define API __attribute__((visibility("default")))
typedef uint64_t u;
API int qemu_plugin_version = 1;
extern void qemu_plugin_register_vcpu_tb_trans_cb(u, void (*)(u, void *));
extern size_t qemu_plugin_tb_n_insns(const void *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(void *, int, void *, u);
extern void qemu_plugin_register_vcpu_syscall_cb(u, void (*)(u, unsigned, int64_t, u, u, u, u, u, u, u, u));
static u total;
static FILE *out;
static void block(u id, void *tb) {
  qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &total, qemu_plugin_tb_n_insns(tb));
}
static void call(u id, unsigned cpu, int64_t number, u a, u b, u c, u d, u e, u f, u g, u h) {
  if (number == 57 && (int)a <= -7000) { fprintf(out, "%" PRIu64 "\n", total); fflush(out); }  /* close() */
}
API int qemu_plugin_install(u id, const void *info, int argc, char **argv) {
  out = fopen(getenv("COUNTS"), "w");
  qemu_plugin_register_vcpu_tb_trans_cb(id, block);
  qemu_plugin_register_vcpu_syscall_cb(id, call);
  return 0;
}
"""


def count(frame: Path, qemu: Path, root: Path, cpu: str = "cortex-a72", site: Path | None = None) -> dict[str, float]:
    """Return the millions of instructions of each of `STAGES` and `NETWORKS`.

    ``front_end`` is the sum of the first three.

    Args:
        frame: a raw frame with a Bayer pattern.
        qemu: the emulator.
        root: the arm64 userland.
        site: folder of the device's packages; default: ``site`` in `root`.
        cpu: the emulated processor; LiteRT chooses its kernels by it.
    """
    image = decode_image(frame.read_bytes(), frame.name)
    if image.raw is None or image.cfa is None:
        raise UsageError(f"{frame.name} is not a raw frame with a Bayer pattern")
    with tempfile.TemporaryDirectory() as folder:
        mosaic = Path(folder) / "raw.npz"
        np.savez(mosaic, raw=image.raw, cfa=image.cfa)  # the guest has no astropy
        result = _count_between_marks(STAGES + NETWORKS, [mosaic], qemu, root, cpu, site)
    return result | {"front_end": round(sum(result[stage] for stage in STAGES[:3]), 2)}


def count_networks(bundles: Sequence[Path], qemu: Path, root: Path, cpu: str) -> list[float]:
    """Return the millions of instructions of an inference of int8 networks.

    There is one number for each bundle; see `count`.
    """
    names = [str(number) for number in range(len(bundles))]
    return list(_count_between_marks(names, [path.absolute() for path in bundles], qemu, root, cpu).values())


def _count_between_marks(
    names: Sequence[str], arguments: Sequence[Path], qemu: Path, root: Path, cpu: str, site: Path | None = None
) -> dict[str, float]:
    """Run the guest; return millions of instructions between its last marks."""
    with tempfile.TemporaryDirectory() as folder:
        source, plugin, counts = (Path(folder) / name for name in ("count.c", "count.so", "counts"))
        source.write_text(_PLUGIN)
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-w", "-o", str(plugin), str(source)], check=True)
        path = f"{site or root / 'site'}:{Path(__file__).parents[3]}"
        command = [str(qemu), "-cpu", cpu, "-plugin", str(plugin), "-E", f"PYTHONPATH={path}", "-L", str(root)]
        command += [str(root / "usr/bin/python3"), "-m", f"{__package__}.instructions", "--guest", *map(str, arguments)]
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run(command, check=True, env=os.environ | threads | {"COUNTS": str(counts)})
        totals = [int(line) for line in counts.read_text().split()][-len(names) - 1 :]
    return {
        name: round((after - before) / 1e6, 2) for name, before, after in zip(names, totals, totals[1:], strict=False)
    }


def run_guest(paths: Sequence[Path]) -> None:
    """Process a raw frame (.npz), or run the networks of bundles.

    A mark for the plug-in is between the stages.
    """
    if paths[0].is_dir():
        _run_networks(paths)
    else:
        _run_frame(paths[0])


def _run_networks(bundles: Sequence[Path]) -> None:
    from ...models.bundle import Bundle
    from ...runtime.inference.load import load_engine

    loaded = [Bundle.load(path) for path in bundles]
    networks = [(load_engine(bundle, "int8"), bundle.golden()["inputs"][:1]) for bundle in loaded]
    for _ in range(ROUNDS):
        _mark()
        for engine, image in networks:
            engine(image)
            _mark()


def _run_frame(mosaic: Path) -> None:
    import cv2

    from ...models.bundle import Bundle, shipped_bundle_path
    from ...models.raw.extended_sources import extended_sources
    from ...models.raw.front_end import linear_planes, measure, stretch_planes
    from ...runtime.inference.detector import Detector
    from ...runtime.inference.load import load_engine

    cv2.setNumThreads(1)
    with np.load(mosaic) as arrays:
        raw, pattern = arrays["raw"], str(arrays["cfa"])
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector-raw")))
    bundles = [Bundle.load(shipped_bundle_path(name)) for name in NETWORKS]
    networks = [(load_engine(bundle, "int8"), bundle.golden()["inputs"][:1]) for bundle in bundles]
    for _ in range(ROUNDS):
        _mark()
        planes, _ = linear_planes(raw, pattern)
        _mark()
        levels = measure(planes)
        _mark()
        pixels = stretch_planes(planes, levels)
        _mark()
        extended_sources(pixels)
        _mark()
        model_input = detector.preprocess(pixels)
        _mark()
        outputs = detector.infer(model_input)
        _mark()
        detector.decode(outputs, model_input)
        _mark()
        for engine, image in networks:
            engine(image)
            _mark()


def packages(site: Path) -> dict[str, str]:
    """Return the versions of the packages in `site` that do the work."""
    names = ("ai_edge_litert", "numpy", "opencv_python_headless")
    return {
        name: path.name.split("-")[1].removesuffix(".dist") for name in names for path in site.glob(f"{name}-*-info")
    }


def _mark() -> None:
    """Make a call to the system that the plug-in recognises."""
    with contextlib.suppress(OSError):
        os.close(_MARK)


def main() -> None:
    """Count on both processors and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frame", type=Path, nargs="+")
    parser.add_argument("--qemu", type=Path)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--guest", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    frame = options.frame[0]
    if options.guest:
        run_guest(options.frame)
        return
    if not (options.qemu and options.root):
        parser.error("--qemu and --root are needed")
    processors = ("cortex-a72", "cortex-a76")
    head: dict[str, Any] = {"unit": "million instructions", "packages": packages(options.root / "site")}
    if frame.is_dir():
        names = [path.name for path in options.frame]
        counts = {cpu: count_networks(options.frame, options.qemu, options.root, cpu) for cpu in processors}
        result = {cpu: dict(zip(names, counts[cpu], strict=True)) for cpu in processors}
    else:
        head["frame"] = frame.name
        result = {cpu: count(frame, options.qemu, options.root, cpu) for cpu in processors}
    text = json.dumps(head | result, indent=2) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
