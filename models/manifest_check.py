"""Check the manifest of a bundle, ``bundle.toml``.

Its keys, their types and their values are checked.

A manifest may come from anyone. One that passes is safe to read and to print; its claims about the network are checked
when the network is loaded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from .labels import COARSE
from .manifest import DECODED, FORMAT, GOLDEN, MANIFEST, RUNTIMES, TASKS, BundleError, Manifest
from .raw.stretch import Stretch

_OUTPUT_KEYS = {"name": str, "tensor": str, "shape": list, "dtype": str}
_SECTIONS: dict[str, dict[str, type]] = {
    "": {
        "format": int,
        "name": str,
        "task": str,
        "version": str,
        "created": str,
        "licence": str,
        "classes": list,
        "input": dict,
        "preprocess": dict,
        "decode": dict,
        "network": dict,
        "training": dict,
        "gates": list,
        "variants": dict,
        "metrics": dict,
        "data": dict,
        "files": dict,
    },
    "input": {"width": int, "height": int, "dtype": str, "colour": str},
    "network": {"parameters": int, "macs": int},
    "data": {"hash": str, "sets": dict, "split": dict, "sources": list},
    "preprocess.letterbox": {"kind": str, "fill": int},
    "preprocess.crop": {"kind": str, "margin": float},
    "decode.classify": {"temperature": float},
    "decode.detect": {
        "min_level": int,
        "max_level": int,
        "anchor_size": float,
        "scales_per_octave": int,
        "aspect_ratios": list,
        "box_weights": list,
        "score_threshold": float,
        "nms_iou": float,
        "max_detections": int,
    },
    "decode.decoded": {"score_threshold": float, "nms_iou": float, "max_detections": int},
    "variant": {"file": str, "runtime": str, "outputs": list},
    "gate": {"name": str, "measured": str, "passed": bool},
}
_OPTIONAL: dict[str, dict[str, type]] = {
    "": {"export": dict, "ungated": bool},
    "decode.classify": {"abstain": float, "domain": dict, "groups": dict},
    "decode.domain": {"min_side": float, "max_outside": float, "max_burnt": float, "min_energy": float},
    "decode.detect": {"tile_threshold": float, "galaxy_class": int},
    "decode.decoded": {"tile_threshold": float, "galaxy_class": int},
    "preprocess": {"stretch": dict},
}
_PREPROCESS_OF = {"classify": "crop", "detect": "letterbox"}
_MAX_LEVEL, _MAX_ASPECTS = 12, 16
MAX_INPUT_SIDE = 4096
"""Maximum side of a network's input in pixels; it bounds the number of anchors."""


def check_decode(decode: dict[str, Any]) -> str | None:
    """Return the first invalid value in a detector's ``[decode]``, in words.

    The types of the values were checked before. The result is None if all are valid.
    """
    if "min_level" in decode:
        if not 0 <= decode["min_level"] <= decode["max_level"] <= _MAX_LEVEL:
            return f"levels must be 0 <= min_level <= max_level <= {_MAX_LEVEL}"
        if not _positive(decode["anchor_size"]) or not 1 <= decode["scales_per_octave"] <= 16:
            return "anchor_size must be over 0, scales_per_octave 1 to 16"
        if not 1 <= len(decode["aspect_ratios"]) <= _MAX_ASPECTS or not all(map(_positive, decode["aspect_ratios"])):
            return f"aspect_ratios must be 1 to {_MAX_ASPECTS} numbers over 0"
        if len(decode["box_weights"]) != 4 or not all(map(_positive, decode["box_weights"])):
            return "box_weights must be four numbers over 0"
    if not 0 <= decode.get("tile_threshold", 0.5) <= 1:
        return "tile_threshold must be 0 to 1"
    if not all(0 <= decode[key] <= 1 for key in ("score_threshold", "nms_iou")) or decode["max_detections"] < 1:
        return "score_threshold and nms_iou must be 0 to 1, max_detections at least 1"
    return None


def find_decode_fault(decode: dict[str, Any]) -> str | None:
    """Return what is wrong with a detector's ``[decode]`` with anchors, or None.

    A key may be missing, unknown or invalid.
    """
    required, optional = _SECTIONS["decode.detect"], _OPTIONAL["decode.detect"]
    known = required | optional
    for key in decode:
        if key not in known:
            return f"unknown key '{key}'; known: {', '.join(known)}"
    for key, kind in known.items():
        if key not in decode:
            if key in optional:
                continue
            return f"the key '{key}' is missing"
        if not _is(decode[key], kind):
            return f"'{key}' must be of type {kind.__name__}, not {type(decode[key]).__name__}"
    return check_decode(decode)


def read_manifest(path: Path, content: bytes) -> Manifest:
    """Read and check a manifest.

    Args:
        path: of the file, for messages.
        content: of the file.

    Raises:
        BundleError: it is not TOML, or something in it is missing, unknown or invalid.
    """
    import tomllib  # not for a manifest that is only written

    try:
        text = content.decode("utf-8")
        tables = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BundleError(f"{path} is not valid TOML: {error}") from None
    except RecursionError:
        raise BundleError(f"{path} is not a manifest: it is nested too deeply") from None
    return parse_manifest(path, text, tables)


# Long because it lists every section of the manifest, in order.
def parse_manifest(path: Path, text: str, manifest: dict[str, Any]) -> Manifest:
    """Check every key and type of a manifest and return it as a record.

    Args:
        path: of the file, for messages.
        text: of the file, to find the line of a fault; may be empty.
        manifest: the tables of the file.

    Raises:
        BundleError: something is missing, unknown or invalid; the message gives the line of the first fault.
    """

    def fail(message: str, key: str = "") -> NoReturn:
        lines = [n for n, line in enumerate(text.splitlines(), 1) if key and key in line.split("=")[0]]
        raise BundleError(f"{path}{f', line {lines[0]}' if lines else ''}: {message}")

    def check(table: Any, schema: dict[str, Any], where: str, optional: dict[str, Any] | None = None) -> None:
        if not isinstance(table, dict):
            fail(f"{where} must be a table, not {type(table).__name__}")
        known = schema | (optional or {})
        for key in table:
            if key not in known:
                fail(f"unknown key '{key}' in {where}; known: {', '.join(known)}", key)
        for key, kind in known.items():
            if key not in table:
                if key in schema:
                    fail(f"{where} lacks the key '{key}'")
                continue
            if not _is(table[key], kind):
                fail(f"'{key}' in {where} must be of type {kind.__name__}, not {type(table[key]).__name__}", key)

    if manifest.get("format") != FORMAT:
        fail(f"format {manifest.get('format')!r} is not known; this version reads format {FORMAT}", "format")
    check(manifest, _SECTIONS[""], "the manifest", _OPTIONAL[""])
    for string in _strings(manifest):
        if not string.isprintable():
            fail(f"{string!r} contains characters that cannot be printed")
    task = manifest["task"]
    if task not in TASKS:
        fail(f"unknown task '{task}'; known: {', '.join(TASKS)}", "task")
    check(manifest["input"], _SECTIONS["input"], "[input]")
    check(manifest["network"], _SECTIONS["network"], "[network]")
    check(manifest["data"], _SECTIONS["data"], "[data]")
    if not all(1 <= manifest["input"][side] <= MAX_INPUT_SIDE for side in ("width", "height")):
        fail(f"width and height in [input] must be at least 1 and at most {MAX_INPUT_SIDE}", "width")
    for key, values in (("classes", manifest["classes"]), ("sources", manifest["data"]["sources"])):
        if not all(isinstance(value, str) for value in values):
            fail(f"'{key}' must be a list of strings", key)
    if not manifest["classes"]:
        fail("'classes' is empty", "classes")
    for name, metrics in manifest["metrics"].items():
        if not isinstance(metrics, dict) or not isinstance(metrics.get("parity", {}), dict):
            fail(f"[metrics.{name}] must be a table", name)
    rescue = manifest.get("export", {}).get("rescue", {})
    if not isinstance(rescue, dict) or not all(isinstance(description, str) for description in rescue.values()):
        fail("'rescue' in [export] must have a description for every variant", "rescue")
    kind = _PREPROCESS_OF[task]
    if manifest["preprocess"].get("kind") != kind:
        fail(f"[preprocess] kind must be '{kind}' for the task '{task}'", "kind")
    check(manifest["preprocess"], _SECTIONS[f"preprocess.{kind}"], "[preprocess]", _OPTIONAL["preprocess"])
    if "stretch" in manifest["preprocess"]:
        try:
            Stretch.from_manifest(manifest["preprocess"]["stretch"])
        except (ValueError, TypeError) as error:
            fail(f"[preprocess.stretch]: {error}", "stretch")
    if not manifest["variants"]:
        fail("[variants] is empty")
    for name, table in manifest["variants"].items():
        check(table, _SECTIONS["variant"], f"[variants.{name}]")
        if table["runtime"] not in RUNTIMES and not re.fullmatch(r"plugin:[a-z0-9._-]{1,40}", str(table["runtime"])):
            fail(f"unknown runtime '{table['runtime']}' in [variants.{name}]; known: {', '.join(RUNTIMES)}", "runtime")
        for output in table["outputs"]:
            check(output, _OUTPUT_KEYS, f"an output of [variants.{name}]")
            if not all(_is(side, int) for side in output["shape"]):
                fail(f"a shape in [variants.{name}] is not a list of integers", "shape")
        if table["file"] not in manifest["files"]:
            fail(f"[variants.{name}] names the file '{table['file']}', which has no hash in [files]", "file")
    names = [{output["name"] for output in table["outputs"]} for table in manifest["variants"].values()]
    # A network that decodes its boxes itself has no anchors to describe.
    kind = "decoded" if task == "detect" and all(DECODED in outputs for outputs in names) else task
    check(manifest["decode"], _SECTIONS[f"decode.{kind}"], "[decode]", _OPTIONAL.get(f"decode.{kind}"))
    if not 0 <= manifest["decode"].get("galaxy_class", 0) < len(manifest["classes"]):
        fail("'galaxy_class' in [decode] is not the index of one of the 'classes'", "galaxy_class")
    if "domain" in manifest["decode"]:
        check(manifest["decode"]["domain"], {}, "[decode.domain]", _OPTIONAL["decode.domain"])
    if "groups" in manifest["decode"]:
        check(manifest["decode"]["groups"], {}, "[decode.groups]", dict.fromkeys(COARSE, float))
    fault = check_decode(manifest["decode"]) if task == "detect" else None
    if fault:
        fail(f"{fault}, in [decode]", "decode")
    for gate in manifest["gates"]:
        check(gate, _SECTIONS["gate"], "an entry of [[gates]]")
    if GOLDEN not in manifest["files"]:
        fail(f"[files] lacks {GOLDEN}")
    for file, digest in manifest["files"].items():
        # A name with a folder in it could point outside the bundle.
        if Path(file).name != file or file in ("", ".", "..", MANIFEST):
            fail(f"'{file}' in [files] is not a plain file name", file)
        if not isinstance(digest, str) or len(digest) != 64:
            fail(f"the hash of '{file}' in [files] is not a SHA-256", file)
    return Manifest.from_dict(manifest)


def _is(value: Any, kind: Any) -> bool:
    """Return whether a value has a type.

    Integers count as floats, booleans do not, and floats must be finite.
    """
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def _positive(value: Any) -> bool:
    return _is(value, float) and value > 0


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a manifest, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
