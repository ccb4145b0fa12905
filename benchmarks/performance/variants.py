"""Compare all variants of bundles: size, accuracy and latency.

``python -m galaxy_edge.benchmarks.performance.variants RUN ... --out FILE.md --out FILE.json`` exports every variant of
finished runs to a temporary folder and writes the comparison; ``galaxy-edge bundle forms`` compares existing bundles.
Metrics, drop and agreement are those of the manifest, measured by the export; latency is measured here, with one
thread, all variants taking turns.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...devices.probe import Machine
from ...errors import UserError
from ...files import write_atomic
from ...models.bundle import Bundle
from ...models.markdown import markdown_table
from ...runtime.inference.load import available_engines
from .latency import bench

logger = logging.getLogger(__name__)

METRICS = {"classify": ("accuracy", "macro_f1"), "detect": ("map50", "map")}
AGREEMENT = {"classify": ("agreement",), "detect": ("matched", "score_correlation")}
REFERENCE = "fp32"
GOALS = {
    "int8": {"accuracy_drop": 0.005, "macro_f1_drop": 0.005, "map50_drop": 0.005},
    "onnx_int8": {"accuracy_drop": 0.01, "map50_drop": 0.01},
}
"""Maximum drop of metrics, by variant."""
GOAL_AGREEMENT = {"int8": 0.98}
"""Minimum share of images on which a classifier must predict the class that float32 predicts."""


class VariantsError(UserError):
    """A comparison that cannot be written."""


def compare_variants(
    bundles: Sequence[Bundle], rounds: int, machine: Machine, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Compare every variant of every bundle.

    Returns:
        plain values for JSON: those of `latency.bench`, each result with its metrics, their drop from float32, and the
        agreement with it. Values that were not measured are None.
    """
    result = bench(bundles, available_engines(), (1,), rounds, machine, progress)
    by_hash = {bundle.hash: bundle for bundle in bundles}
    for row in result["results"]:
        manifest = by_hash[row["hash"]].manifest
        metrics, reference = (manifest.metrics.get(name, {}) for name in (row["variant"], REFERENCE))
        for key in METRICS[manifest.task]:
            row[key] = metrics.get(key)
            known = key in metrics and key in reference and row["variant"] != REFERENCE
            row[f"{key}_drop"] = reference[key] - metrics[key] if known else None
        for key in AGREEMENT[manifest.task]:
            row[key] = metrics.get("parity", {}).get(key)
        row["task"] = manifest.task
        row["sha256"] = manifest.files[manifest.variants[row["variant"]].file]
        row["goals"] = goals(row)
        row["gates_passed"] = all(gate.passed for gate in manifest.gates)
        row["made"] = manifest.fallbacks.get(row["variant"])
    return result


def goals(row: dict[str, Any]) -> dict[str, bool]:
    """Return the goals of a variant, and whether it meets each."""
    result = {
        f"{key.removesuffix('_drop')} at most {limit:g} less": bool(row[key] <= limit + 1e-9)
        for key, limit in GOALS.get(row["variant"], {}).items()
        if row.get(key) is not None
    }
    if row["variant"] in GOAL_AGREEMENT and row.get("agreement") is not None:
        minimum = GOAL_AGREEMENT[row["variant"]]
        result[f"agreement at least {minimum:g}"] = bool(row["agreement"] >= minimum)
    return result


def compare_runs(
    runs: Sequence[Path], rounds: int, machine: Machine, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Export every variant of finished runs and compare them.

    Failed gates are recorded in the result.

    Raises:
        RunError, ExportError: a run cannot be exported.
    """
    from ...export.bundle import export_run
    from ...export.settings import ALL, Settings

    with tempfile.TemporaryDirectory() as folder:
        bundles = []
        for number, run in enumerate(runs):
            logger.info("exporting %s", run)
            exported = export_run(run, Path(folder) / str(number), Settings((ALL,), fallback="auto", force=True))
            assert exported.bundle is not None
            bundles.append(Bundle.load(exported.bundle))
        return compare_variants(bundles, rounds, machine, progress)


def write_comparison(path: Path, result: dict[str, Any]) -> None:
    """Write a comparison atomically.

    It is written as JSON to a ``.json`` file, otherwise as Markdown.

    Raises:
        VariantsError: the file cannot be written.
    """
    text = json.dumps(result, indent=1) + "\n" if path.suffix.lower() == ".json" else comparison_page(result)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    except OSError as error:
        raise VariantsError(f"{path} cannot be written: {error.strerror}") from None


def comparison_page(result: dict[str, Any]) -> str:
    """Format a comparison as Markdown, with a table per bundle."""
    machine = result["machine"]
    name = machine["model"] or f"{machine['machine']}, {machine['cores']} cores"
    command = result.get("command", "`galaxy-edge bundle forms`")
    lines = [
        f"Measured by {command}, version {result['version']}, {result['time']}, on {name}: "
        f"one thread, {result['rounds']} rounds in turns. Results of one machine are not valid for another.",
        "",
    ]
    for bundle in dict.fromkeys((row["bundle"], row["hash"]) for row in result["results"]):
        rows = [row for row in result["results"] if (row["bundle"], row["hash"]) == bundle]
        task = rows[0]["task"]
        keys = [column for key in METRICS[task] for column in (key, f"{key}_drop")] + list(AGREEMENT[task])
        heading = ["variant", "engine", "KiB", *(key.replace("_", " ") for key in keys), "min ms", "median ms"]
        lines += [
            f"### {bundle[0]} ({bundle[1][:12]})",
            "",
        ]
        table = []
        for row in rows:
            cells = [row["variant"], row["engine"], f"{row['bytes'] / 1024:.0f}"]
            cells += ["-" if row[key] is None else f"{row[key]:.4f}" for key in keys]
            table.append([*cells, f"{row['min_ms']:.2f}", f"{row['median_ms']:.2f}"])
        lines += [*markdown_table(heading, table, right_from=2), "", *_remarks(rows), ""]
    return "\n".join(lines)


def _remarks(rows: list[dict[str, Any]]) -> list[str]:
    """Summarise gates, fallbacks and goals in words."""
    lines = ["Every gate passed." if all(row["gates_passed"] for row in rows) else "**A gate failed.**"]
    lines += [f"{row['variant']}: fallback, {row['made']}." for row in rows if row["made"]]
    for row in rows:
        if row["goals"]:
            met = (f"{goal} {'(met)' if kept else '(**missed**)'}" for goal, kept in row["goals"].items())
            lines.append(f"{row['variant']}, goals: {'; '.join(met)}.")
    return ["  \n".join(lines)]


def main() -> None:
    """Run the command line."""
    from ...devices.probe import probe

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="finished run folder")
    parser.add_argument("--rounds", type=int, default=50, help="inferences of each variant")
    parser.add_argument("--out", type=Path, action="append", required=True, help=".md or .json; may be given twice")
    arguments = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        result = compare_runs(arguments.runs, arguments.rounds, probe(), lambda done, total: None)
        result["command"] = "`python -m galaxy_edge.benchmarks.performance.variants`"
        for path in arguments.out:
            write_comparison(path, result)
    except UserError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
