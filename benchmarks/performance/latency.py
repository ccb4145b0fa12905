"""`galaxy-edge bench`: measure inference latency for every bundle, variant, engine and thread count.

Configurations take turns, round by round in a rotating order, so that a busy moment affects all of them alike; the
minimum is what the machine can do, the median what it did. Figures of one machine say nothing about another's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
        rounds: inferences of each configuration, at least 1.
        machine: recorded with the figures.

    Returns:
        Plain values for JSON: format, version, time, machine, rounds, and results with bundle, hash, variant, engine,
        threads, bytes, min_ms and median_ms.
    """
    runs: list[tuple[dict[str, Any], Engine, np.ndarray, list[float]]] = []
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
                    runs.append((about, load_engine(bundle, variant.name, engine, count), batch, []))
    for _, network, batch, _ in runs:
        for _ in range(WARM_UP):
            network(batch)
    for turn in range(rounds):
        progress(turn, rounds)
        first = turn % len(runs)
        for _, network, batch, spent in runs[first:] + runs[:first]:
            begin = time.perf_counter()
            network(batch)
            spent.append((time.perf_counter() - begin) * 1e3)
    results = [
        {**about, "min_ms": round(min(spent), 4), "median_ms": round(float(np.median(spent)), 4)}
        for about, _, _, spent in runs
    ]
    return {
        "format": FORMAT,
        "version": __version__,
        "time": utc_now("seconds"),
        "machine": machine.as_dict(),
        "rounds": rounds,
        "results": results,
    }
