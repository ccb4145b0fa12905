"""Fuzz the readers of model files.

``python -m galaxy_edge.benchmarks.robustness.fuzz_models --count 100000 --out fuzz.json``

Every file is a small network with bytes changed, cut off, moved or made up. Each goes through our own reader in this
process, and into the interpreter in a process of its own (`runtime.first_load`). The reader must answer or refuse, and
no step may take longer than ten seconds; the interpreter may crash, as long as only its own process does.
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
"""For one damaged file of the detector, which takes twenty times as long, so many of each form of the classifier."""


def mutations(seeds: list[bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Make `count` damaged files of some whole ones: what was done, and the content."""
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
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:
    """Put damaged files through reader and interpreter.

    Returns:
        ``files``, and ``kinds`` of damage; ``read``, ``refused`` by our reader; ``loads``, what came of the first load
        (of those that ``crashed`` only the child did); ``slowest_read_s`` and ``slowest_load_s``; ``hangs``, how many
        steps took longer than ten seconds.
    """
    told: dict[str, Any] = {"files": 0, "read": 0, "refused": 0, "slowest_read_s": 0.0, "slowest_load_s": 0.0}
    told["hangs"] = 0
    loads: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    loader = SandboxedLoader("tflite")
    for number, (kind, content) in enumerate(mutations(seeds, count, seed)):
        progress(number, count)
        kinds[kind] += 1
        begun = time.perf_counter()
        try:
            read_tflite(content)
            told["read"] += 1
        except ExportError:
            told["refused"] += 1
        spent = time.perf_counter() - begun
        told["slowest_read_s"] = max(told["slowest_read_s"], round(spent, 4))
        told["hangs"] += spent > SECONDS
        if load:
            begun = time.perf_counter()
            problem = loader.try_load(content)
            spent = time.perf_counter() - begun
            loads[_kind(problem)] += 1
            told["slowest_load_s"] = max(told["slowest_load_s"], round(spent, 4))
            told["hangs"] += spent > SECONDS + 2  # the time to make and end the process
        told["files"] += 1
    loader.close()
    return told | {"loads": dict(sorted(loads.items())), "kinds": dict(kinds)}


def _kind(problem: str) -> str:
    for words in ("crashed", "still busy with it"):
        if words in problem:
            return words
    return "refused" if problem else "ran"


def _flip(content: bytearray, rng: np.random.Generator) -> bytes:
    for place in rng.integers(0, len(content), int(rng.integers(1, 9))):
        content[place] ^= 1 << int(rng.integers(8))
    return bytes(content)


def _overwrite(content: bytearray, rng: np.random.Generator) -> bytes:
    length = int(rng.integers(1, 65))
    place = int(rng.integers(0, len(content)))
    content[place : place + length] = rng.bytes(length)[: len(content) - place]
    return bytes(content)


def _cut(content: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(content[: int(rng.integers(0, len(content)))])


def _offset(content: bytearray, rng: np.random.Generator) -> bytes:
    """Put a number of four bytes that leads far away, or back, where an offset or a length may be."""
    wild = [0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, len(content), len(content) - 1, int(rng.integers(2**32))]
    for _ in range(int(rng.integers(1, 4))):
        place = 4 * int(rng.integers(0, len(content) // 4))
        content[place : place + 4] = int(rng.choice(wild)).to_bytes(4, "little")
    return bytes(content)


def _head(content: bytearray, rng: np.random.Generator) -> bytes:
    """Damage the first bytes, where the tables are that lead to all others."""
    for place in rng.integers(0, min(256, len(content)), int(rng.integers(1, 5))):
        content[place] = int(rng.integers(256))
    return bytes(content)


def _repeat(content: bytearray, rng: np.random.Generator) -> bytes:
    start, end = np.sort(rng.integers(0, len(content), 2))
    place = int(rng.integers(0, len(content)))
    return bytes(content[:place] + content[start:end] + content[place:])


def _noise(content: bytearray, rng: np.random.Generator) -> bytes:
    """Random bytes, every other time behind the first eight of a whole file, so that they are taken for one."""
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
    """Fuzz, print what came of it as JSON, and end with 1 where something took too long."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, action="append", help="whole .tflite to damage; default: shipped ones")
    parser.add_argument("--no-load", action="store_true", help="our own reader only")
    parser.add_argument("--out", type=Path, help="keep what came of it in this file too")
    given = parser.parse_args()
    seeds = [path.read_bytes() for path in given.model] if given.model else _shipped_files()

    def progress(done: int, of: int) -> None:
        if done % 1000 == 0:
            sys.stderr.write(f"{done} of {of}\n")

    begun = time.monotonic()
    told = fuzz(seeds, given.count, given.seed, not given.no_load, progress)
    told |= {
        "seed": given.seed,
        "version": __version__,
        "machine": os.uname().machine,
        "seconds": round(time.monotonic() - begun, 1),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "damaged": sorted({hashlib.sha256(content).hexdigest() for content in seeds}),
    }
    text = json.dumps(told, indent=1) + "\n"
    sys.stdout.write(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")
    raise SystemExit(1 if told["hangs"] else 0)


def _shipped_files() -> list[bytes]:
    """Read what is damaged by default: both TFLite forms of the classifier, and the detector's int8."""
    classifier, detector = (Bundle.load(shipped_bundle_path(name)) for name in ("galaxy-classifier", "galaxy-detector"))
    small = [classifier.read(one.file) for one in classifier.variants.values() if one.runtime == "tflite"]
    return small * CLASSIFIERS_PER_DETECTOR + [detector.read("int8.tflite")]


if __name__ == "__main__":
    main()
