"""Fuzz the readers of model files.

``python -m galaxy_edge.benchmarks.robustness.fuzz_models --count 100000 --out fuzz.json``

Every file is a small network with bytes changed, truncated, moved or random. Each is read by the package's own reader
in this process, and loaded by the interpreter in a separate process (`runtime.inference.sandbox`). The reader must
succeed or raise an ExportError, and no step may take longer than ten seconds; the interpreter may crash, but only in
its own process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...export.errors import ExportError
from ...export.tflite.reader import read_tflite
from ...models.bundle import Bundle, shipped_bundle_path
from ...runtime.inference.sandbox import SECONDS, SandboxedLoader

CLASSIFIERS_PER_DETECTOR = 9
"""Damaged files of each classifier variant per damaged detector, which takes twenty times as long."""


def mutations(seeds: list[bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` damaged copies of files: kind of damage and content."""
    rng = np.random.default_rng(seed)
    kinds = list(_KINDS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        yield kind, _KINDS[kind](bytearray(seeds[int(rng.integers(len(seeds)))]), rng)


def fuzz(
    seeds: list[bytes],
    count: int,
    seed: int,
    load: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Run reader and interpreter on damaged files.

    Returns:
        ``files``; ``kinds`` of damage; ``read`` and ``refused`` by the reader; ``loads``, results of the interpreter
        (``crashed``: in the child process); ``slowest_read_s`` and ``slowest_load_s``; ``hangs``, the number of steps
        longer than ten seconds.
    """
    result: dict[str, Any] = {"files": 0, "read": 0, "refused": 0, "slowest_read_s": 0.0, "slowest_load_s": 0.0}
    result["hangs"] = 0
    loads: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    loader = SandboxedLoader("tflite")
    for number, (kind, content) in enumerate(mutations(seeds, count, seed)):
        progress(number, count)
        kinds[kind] += 1
        started = time.perf_counter()
        try:
            read_tflite(content)
            result["read"] += 1
        except ExportError:
            result["refused"] += 1
        elapsed = time.perf_counter() - started
        result["slowest_read_s"] = max(result["slowest_read_s"], round(elapsed, 4))
        result["hangs"] += elapsed > SECONDS
        if load:
            started = time.perf_counter()
            error = loader.try_load(content)
            elapsed = time.perf_counter() - started
            loads[_load_result(error)] += 1
            result["slowest_load_s"] = max(result["slowest_load_s"], round(elapsed, 4))
            result["hangs"] += elapsed > SECONDS + 2  # includes starting and ending the process
        result["files"] += 1
    loader.close()
    return result | {"loads": dict(sorted(loads.items())), "kinds": dict(kinds)}


def _load_result(error: str) -> str:
    """Classify the message of `SandboxedLoader.try_load`."""
    for words in ("crashed", "still busy with it"):
        if words in error:
            return words
    return "refused" if error else "ran"


def _flip(content: bytearray, rng: np.random.Generator) -> bytes:
    for position in rng.integers(0, len(content), int(rng.integers(1, 9))):
        content[position] ^= 1 << int(rng.integers(8))
    return bytes(content)


def _overwrite(content: bytearray, rng: np.random.Generator) -> bytes:
    length = int(rng.integers(1, 65))
    start = int(rng.integers(0, len(content)))
    content[start : start + length] = rng.bytes(length)[: len(content) - start]
    return bytes(content)


def _cut(content: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(content[: int(rng.integers(0, len(content)))])


def _offset(content: bytearray, rng: np.random.Generator) -> bytes:
    """Overwrite possible offsets or lengths with extreme 32-bit values."""
    values = [0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, len(content), len(content) - 1, int(rng.integers(2**32))]
    for _ in range(int(rng.integers(1, 4))):
        start = 4 * int(rng.integers(0, len(content) // 4))
        content[start : start + 4] = int(rng.choice(values)).to_bytes(4, "little")
    return bytes(content)


def _head(content: bytearray, rng: np.random.Generator) -> bytes:
    """Damage the first bytes, which contain the root tables."""
    for position in rng.integers(0, min(256, len(content)), int(rng.integers(1, 5))):
        content[position] = int(rng.integers(256))
    return bytes(content)


def _repeat(content: bytearray, rng: np.random.Generator) -> bytes:
    start, end = np.sort(rng.integers(0, len(content), 2))
    target = int(rng.integers(0, len(content)))
    return bytes(content[:target] + content[start:end] + content[target:])


def _noise(content: bytearray, rng: np.random.Generator) -> bytes:
    """Return random bytes.

    Half of the time they follow the first eight bytes of a valid file, which identify it.
    """
    return (bytes(content[:8]) if rng.random() < 0.5 else b"") + rng.bytes(int(rng.integers(0, 2048)))


_KINDS: dict[str, Callable[[bytearray, np.random.Generator], bytes]] = {
    "flip": _flip,
    "overwrite": _overwrite,
    "cut": _cut,
    "offset": _offset,
    "head": _head,
    "repeat": _repeat,
    "noise": _noise,
}


def main() -> None:
    """Fuzz, print the result as JSON, and exit with 1 if any step took too long."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--model", type=Path, action="append", help="valid .tflite file to damage; default: the shipped ones"
    )
    parser.add_argument("--no-load", action="store_true", help="test the reader only")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    seeds = [path.read_bytes() for path in arguments.model] if arguments.model else _shipped_files()

    def progress(done: int, total: int) -> None:
        if done % 1000 == 0:
            sys.stderr.write(f"{done} of {total}\n")

    started = time.monotonic()
    result = fuzz(seeds, arguments.count, arguments.seed, not arguments.no_load, progress)
    result |= {
        "seed": arguments.seed,
        "version": __version__,
        "machine": os.uname().machine,
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "damaged": sorted({hashlib.sha256(content).hexdigest() for content in seeds}),
    }
    text = json.dumps(result, indent=1) + "\n"
    sys.stdout.write(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text, encoding="utf-8")
    raise SystemExit(1 if result["hangs"] else 0)


def _shipped_files() -> list[bytes]:
    """Read the default files.

    They are both TFLite variants of the classifier, and the detector's int8.
    """
    classifier, detector = (Bundle.load(shipped_bundle_path(name)) for name in ("galaxy-classifier", "galaxy-detector"))
    small = [classifier.read(variant.file) for variant in classifier.variants.values() if variant.runtime == "tflite"]
    return small * CLASSIFIERS_PER_DETECTOR + [detector.read("int8.tflite")]


if __name__ == "__main__":
    main()
