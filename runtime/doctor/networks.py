"""Check the bundles: replay their golden vectors and time an inference.

This is done in a child process, which may crash.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...devices.engines import ENGINES, installed_version
from ...devices.profile import Profile
from ...models.bundle import Bundle
from ..inference.golden import EXACT, differences
from ..inference.load import load_engine, select_variant
from ..system.isolated import IsolatedError, Limits, isolated
from .result import CheckResult

REPLAY_SECONDS = 300.0
WARM_UP = 3


def check_networks(bundles: list[Bundle], profile: Profile, engine: str, seconds: float) -> Iterator[CheckResult]:
    """Check each bundle in an engine; yield ``golden.NAME`` and ``latency.NAME``.

    Args:
        bundles: verified bundles.
        profile: of this device, for its threads.
        engine: name of an engine without an accelerator.
        seconds: how long inferences are timed in all.
    """
    for bundle in bundles:
        yield from _check(bundle, profile, engine, seconds / len(bundles))


def _check(bundle: Bundle, profile: Profile, engine: str, seconds: float) -> Iterator[CheckResult]:
    golden, latency = f"golden.{bundle.name}", f"latency.{bundle.name}"
    modules = ["numpy", ENGINES[engine].module, __name__]
    try:
        answer = isolated(
            replay, bundle.path, engine, profile.threads, seconds, modules=modules,
            seconds=REPLAY_SECONDS + seconds, limits=Limits(file_size=0, result=2**16),
        )  # fmt: skip
    except IsolatedError as error:
        hint = "try another --engine, or install the engine again"
        yield CheckResult(golden, "fail", f"{bundle.path} in {engine}: {error}", hint, exercised=True)
        return
    found = json.loads(answer)
    yield _golden_result(golden, found, engine)
    share = f"median {found['median']:.2f} ms, minimum {found['minimum']:.2f} ms of {found['runs']} inferences"
    threads = f"{engine}, {profile.threads} thread{'s' if profile.threads > 1 else ''}, profile {profile.name}"
    claims = "; ".join(f"{claim.text} ({claim.evidence})" for claim in profile.claims if bundle.name in claim.text)
    detail = f"{share} ({threads})" + (f"; the profile says: {claims}" if claims else "")
    yield CheckResult(latency, "ok", detail, exercised=True)


def _golden_result(name: str, found: dict[str, Any], engine: str) -> CheckResult:
    if found["samples"] == 0:
        return CheckResult(name, "skipped", f"there are no golden outputs for {engine}")
    if not found["differences"]:
        how = "identical to the bit" if found["exact"] else "equal within the tolerance of float32"
        version = f"{engine} {installed_version(engine)}"
        return CheckResult(name, "ok", f"{found['samples']} samples {how} ({version})", exercised=True)
    worst, count = found["differences"][0], len(found["differences"])
    more = f", and {count - 1} more" if count > 1 else ""
    if found["minor"]:
        return CheckResult(name, "warn", f"{worst}{more}; rounding explains it", exercised=True)
    return CheckResult(
        name, "fail", f"{worst}{more}", "try another --engine, or export the bundle again", exercised=True
    )


def replay(path: Path, engine_name: str, threads: int, seconds: float) -> bytes:
    """Replay the golden vectors and time inferences; run in the child process.

    Returns:
        JSON with ``samples``, ``exact``, ``differences`` (the largest first), ``minor``, ``runs``, ``minimum`` and
        ``median`` (ms).
    """
    bundle = Bundle.load(path)
    chosen, _ = select_variant(bundle, bundle.default_variant, engine_name)
    engine = load_engine(bundle, bundle.default_variant, engine_name, threads)
    vectors = bundle.golden()
    is_compared = chosen.runtime == "tflite"
    found = differences(bundle, chosen.name, engine, vectors) if is_compared else []
    found.sort(key=lambda entry: (entry.is_minor, -entry.largest))
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) <= WARM_UP or time.perf_counter() < end:
        batch = vectors["inputs"][len(times) % len(vectors["inputs"])][None]
        start = time.perf_counter()
        engine(batch)
        times.append(1000 * (time.perf_counter() - start))
    times = times[WARM_UP:]
    return json.dumps({
        "samples": len(vectors["inputs"]) if is_compared else 0,
        "exact": all(spec.dtype in EXACT for spec in chosen.outputs),
        "differences": [str(entry) for entry in found],
        "minor": all(entry.is_minor for entry in found),
        "runs": len(times), "minimum": min(times), "median": statistics.median(times),
    }).encode()  # fmt: skip
