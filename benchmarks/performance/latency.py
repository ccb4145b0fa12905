"""`galaxy-edge bench`: measure the latency of inference.

It is measured for every bundle, variant, engine and thread count.

Configurations take turns, round by round in a rotating order, so that other load affects all of them equally. The
minimum shows what the machine can achieve, the median what it did. Results of one machine are not valid for another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import __version__
from ...devices.engines import engines_for
from ...devices.probe import Machine
from ...models.bundle import Bundle
from ...runtime.inference.engine import Engine
from ...runtime.inference.load import load_engine
from ...runtime.system.utc_time import utc_now

FORMAT = 1
WARM_UP = 3


def bench(
    bundles: Sequence[Bundle],
    engines: Sequence[str],
    threads: Sequence[int],
    rounds: int,
    machine: Machine,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Time every configuration on a golden input of its bundle.

    Args:
        bundles: to measure, with all their variants.
        engines: to measure, if they can run a variant.
        threads: thread counts to measure.
        rounds: inferences of each configuration, at least 1.
        machine: recorded with the results.
        progress: called with the rounds done and their total.

    Returns:
        plain values for JSON: format, version, time, machine, rounds, and results with bundle, hash, variant, engine,
        threads, bytes, min_ms and median_ms.
    """
    configurations = list(_load(bundles, engines, threads))
    for configuration in configurations:
        for _ in range(WARM_UP):
            configuration.engine(configuration.batch)
    for done in range(rounds):
        progress(done, rounds)
        first = done % len(configurations)
        for configuration in configurations[first:] + configurations[:first]:
            started = time.perf_counter()
            configuration.engine(configuration.batch)
            configuration.times_ms.append((time.perf_counter() - started) * 1e3)
    results = [
        {
            **configuration.about,
            "min_ms": round(min(configuration.times_ms), 4),
            "median_ms": round(float(np.median(configuration.times_ms)), 4),
        }
        for configuration in configurations
    ]
    return {
        "format": FORMAT,
        "version": __version__,
        "time": utc_now("seconds"),
        "machine": machine.as_dict(),
        "rounds": rounds,
        "results": results,
    }


@dataclass(frozen=True)
class _Configuration:
    """A loaded network, its input, and the times measured so far."""

    about: dict[str, Any]
    engine: Engine
    batch: np.ndarray
    times_ms: list[float] = field(default_factory=list)


def _load(bundles: Sequence[Bundle], engines: Sequence[str], threads: Sequence[int]) -> Iterator[_Configuration]:
    """Load every bundle, variant, engine and thread count."""
    for bundle in bundles:
        batch = bundle.golden()["inputs"][:1]
        for variant in bundle.variants.values():
            for engine in engines_for(variant.runtime):
                for count in threads if engine in engines else ():
                    about = {
                        "bundle": bundle.name,
                        "hash": bundle.hash,
                        "variant": variant.name,
                        "engine": engine,
                        "threads": count,
                        "bytes": len(bundle.read(variant.file)),
                    }
                    yield _Configuration(about, load_engine(bundle, variant.name, engine, count), batch)
