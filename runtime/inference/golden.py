"""What a person wants to know of a bundle, and of two."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import UserError
from ...models.bundle import Bundle
from ...models.signature import SIGNATURE
from .engine import load

EXACT = {"int8", "uint8"}
SHOWN = ("accuracy", "macro_f1", "coarse_accuracy", "ece", "map50", "map", "precision", "recall", "fp_per_frame")


class GoldenMismatch(UserError):
    """A network that does not compute here what it computed where it was exported."""


def info_rows(bundle: Bundle) -> list[tuple[str, str]]:
    """Describe a verified bundle, line by line."""
    manifest = bundle.manifest
    state = f"UNGATED: failed {', '.join(bundle.failed)}" if bundle.failed else "all passed"
    width, height = bundle.input_size
    sets = ", ".join(f"{name} ({count})" for name, count in manifest["data"]["sets"].items())
    sources = manifest["data"]["sources"]
    more = f" and {len(sources) - 4} more, in the manifest" if len(sources) > 4 else ""
    rows = [
        ("name", f"{bundle.name}, version {manifest['version']}"),
        ("task", bundle.task),
        ("hash", bundle.hash),
        ("created", manifest["created"]),
        ("licence", manifest["licence"]),
        ("classes", ", ".join(bundle.classes)),
        ("input", f"{width}x{height} {manifest['input']['colour']}, raw levels"),
        ("network", f"{manifest['network']['parameters']} parameters, {manifest['network']['macs']} multiplications"),
        ("data", f"{sets or 'none recorded'}; hash {manifest['data']['hash'][:16] or 'none'}"),
        ("sources", "; ".join(sources[:4]) + more or "none recorded"),
        ("gates", f"{len(manifest['gates'])}, {state}"),
        ("signature", "there is one (bundle verify --key checks it)" if (bundle.path / SIGNATURE).exists() else "none"),
    ]
    if "score_threshold" in manifest["decode"]:
        rows.append(("score threshold", f"{manifest['decode']['score_threshold']:.4f}"))
    rows += [(f"rescue of {name}", how) for name, how in manifest.get("export", {}).get("rescue", {}).items()]
    for name, variant in bundle.variants.items():
        told = [f"{variant.file}, {len(bundle.read(variant.file)) / 1024:.0f} KiB"]
        told += [f"{key} {value:.4f}" for key, value in _numbers(manifest, name).items()]
        rows.append((f"form {name}", "; ".join(told)))
    return rows


def diff_rows(first: Bundle, second: Bundle) -> list[tuple[str, str, str, str]]:
    """Compare two bundles: what, the first's, the second's, and the change where there is one to compute."""
    rows = [
        (key, str(one), str(other), "" if one == other else "differs")
        for key, one, other in (
            ("name", first.name, second.name),
            ("task", first.task, second.task),
            ("hash", first.hash[:16], second.hash[:16]),
            ("created", first.manifest["created"], second.manifest["created"]),
            ("input", "x".join(map(str, first.input_size)), "x".join(map(str, second.input_size))),
            ("classes", len(first.classes), len(second.classes)),
            ("licence", first.manifest["licence"], second.manifest["licence"]),
            ("data", first.manifest["data"]["hash"][:16], second.manifest["data"]["hash"][:16]),
        )
    ]
    for key in ("parameters", "macs"):
        rows.append(_changed(key, first.manifest["network"][key], second.manifest["network"][key], "d"))
    for name in dict.fromkeys([*first.variants, *second.variants]):
        sizes = [len(b.read(b.variants[name].file)) if name in b.variants else None for b in (first, second)]
        rows.append(_changed(f"{name} bytes", sizes[0], sizes[1], "d"))
        one, other = _numbers(first.manifest, name), _numbers(second.manifest, name)
        keys = dict.fromkeys([*one, *other])
        rows += [_changed(f"{name} {key}", one.get(key), other.get(key), ".4f") for key in keys]
    return rows


def check_golden(bundle: Bundle) -> str:
    """Run the golden inputs: integer outputs must come out to the bit, float ones nearly.

    Raises:
        GoldenMismatch: they do not, or there are none.
    """
    vectors = bundle.golden()
    exact = 0
    for name, variant in bundle.variants.items():
        if variant.runtime != "tflite":  # what others give depends on the processor
            continue
        missing = [spec.name for spec in variant.outputs if f"{name}.{spec.name}" not in vectors]
        if missing:
            raise GoldenMismatch(f"{bundle.path} has no golden outputs of {name}: {', '.join(missing)}")
        engine = load(bundle, name)
        for number, picture in enumerate(vectors["inputs"]):
            for output, raw in engine(picture[None]).items():
                wanted = vectors[f"{name}.{output}"][number]
                same = (
                    np.array_equal(raw.values, wanted)
                    if raw.values.dtype.name in EXACT
                    else np.allclose(raw.values, wanted, rtol=1e-2, atol=5e-2)
                )
                if not same:
                    raise GoldenMismatch(f"{bundle.path}: {name} gives another {output} for golden input {number} here")
                exact += raw.values.dtype.name in EXACT
    return f"{exact} integer outputs equal to the golden ones, to the bit"


def _numbers(manifest: dict[str, Any], variant: str) -> dict[str, float]:
    metrics = manifest["metrics"].get(variant, {})
    found = {key: metrics[key] for key in SHOWN if isinstance(metrics.get(key), (int, float))}
    alike = metrics.get("parity", {})
    return found | {key: alike[key] for key in ("agreement", "matched") if key in alike}


def _changed(what: str, one: float | None, other: float | None, form: str) -> tuple[str, str, str, str]:
    cells = ["-" if value is None else format(value, form) for value in (one, other)]
    change = "" if one is None or other is None else format(other - one, "+" + form)
    return what, cells[0], cells[1], change
