"""All forms of bundles beside each other: what each costs in bytes, accuracy and time.

``python -m galaxy_edge.benchmarks.performance.variants RUN ... --out FILE.md --out FILE.json`` exports every form of
finished runs to a folder that is removed at the end, and writes the comparison; ``galaxy-edge bundle forms`` compares
bundles. Metrics, drop and agreement are those that the export measured and the manifest holds; latency is
measured here, with one thread, all forms taking turns in one run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...devices.probe import Machine
from ...errors import UserError
from ...models.bundle import Bundle
from ...runtime.inference.load import available_engines
from ...runtime.system.atomic_files import write_atomic
from .latency import bench

METRICS = {"classify": ("accuracy", "macro_f1"), "detect": ("map50", "map")}
AGREEMENT = {"classify": ("agreement",), "detect": ("matched", "score_correlation")}
REFERENCE = "fp32"
GOALS = {
    "int8": {"accuracy_drop": 0.005, "macro_f1_drop": 0.005, "map50_drop": 0.005},
    "onnx_int8": {"accuracy_drop": 0.01, "map50_drop": 0.01},
}
"""What a form may lose at most, by variant."""
GOAL_AGREEMENT = {"int8": 0.98}
"""Share of pictures on which a classifier must at least name the class that float32 names."""


class FormsError(UserError):
    """A comparison that cannot be written."""


def compare_forms(
    bundles: Sequence[Bundle], rounds: int, machine: Machine, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Gather what every form of every bundle costs.

    Returns:
        Plain values for JSON: those of `latency.bench`, each result with its metrics, the drop of each against
        float32, and its agreement with it. What was not measured is None.
    """
    result = bench(bundles, available_engines(), (1,), rounds, machine, progress)
    by_hash = {bundle.hash: bundle for bundle in bundles}
    for row in result["results"]:
        manifest = by_hash[row["hash"]].manifest
        found, before = (manifest["metrics"].get(name, {}) for name in (row["variant"], REFERENCE))
        for key in METRICS[manifest["task"]]:
            row[key] = found.get(key)
            known = key in found and key in before and row["variant"] != REFERENCE
            row[f"{key}_drop"] = before[key] - found[key] if known else None
        for key in AGREEMENT[manifest["task"]]:
            row[key] = found.get("parity", {}).get(key)
        row["task"] = manifest["task"]
        row["sha256"] = manifest["files"][manifest["variants"][row["variant"]]["file"]]
        row["goals"] = goals(row)
        row["gates_passed"] = all(gate["passed"] for gate in manifest["gates"])
        row["made"] = manifest.get("export", {}).get("rescue", {}).get(row["variant"])
    return result


def goals(row: dict[str, Any]) -> dict[str, bool]:
    """Tell which goals there are for a form, and whether it meets them."""
    told = {
        f"{key.removesuffix('_drop')} at most {most:g} less": bool(row[key] <= most + 1e-9)
        for key, most in GOALS.get(row["variant"], {}).items()
        if row.get(key) is not None
    }
    if row["variant"] in GOAL_AGREEMENT and row.get("agreement") is not None:
        least = GOAL_AGREEMENT[row["variant"]]
        told[f"agreement at least {least:g}"] = bool(row["agreement"] >= least)
    return told


def compare_runs(
    runs: Sequence[Path],
    rounds: int,
    machine: Machine,
    progress: Callable[[int, int], None],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Export every form of finished runs, whatever the gates say of them (the result tells it), and compare them.

    Raises:
        RunError, ExportError: a run cannot be exported.
    """
    from ...export.bundle import export_run
    from ...export.settings import ALL, Settings

    with tempfile.TemporaryDirectory() as folder:
        bundles = []
        for number, run in enumerate(runs):
            say(f"exporting {run}")
            made = export_run(run, Path(folder) / str(number), Settings((ALL,), fallback="auto", force=True))
            assert made.bundle is not None
            bundles.append(Bundle.load(made.bundle))
        return compare_forms(bundles, rounds, machine, progress)


def write_forms(path: Path, result: dict[str, Any]) -> None:
    """Write a comparison beside its place, then rename it there: ``.json``, or Markdown.

    Raises:
        FormsError: it cannot be written.
    """
    text = json.dumps(result, indent=1) + "\n" if path.suffix.lower() == ".json" else forms_page(result)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    except OSError as problem:
        raise FormsError(f"{path} cannot be written: {problem.strerror}") from None


def forms_page(result: dict[str, Any]) -> str:
    """Lay out a comparison as Markdown: a table for each bundle."""
    machine = result["machine"]
    name = machine["model"] or f"{machine['machine']}, {machine['cores']} cores"
    command = result.get("command", "`galaxy-edge bundle forms`")
    lines = [
        f"Measured by {command}, version {result['version']}, {result['time']}, on {name}: "
        f"one thread, {result['rounds']} rounds in turns. Figures of one machine say nothing about another's.",
        "",
    ]
    for bundle in dict.fromkeys((row["bundle"], row["hash"]) for row in result["results"]):
        rows = [row for row in result["results"] if (row["bundle"], row["hash"]) == bundle]
        task = rows[0]["task"]
        keys = [one for key in METRICS[task] for one in (key, f"{key}_drop")] + list(AGREEMENT[task])
        heading = ["form", "engine", "KiB", *(key.replace("_", " ") for key in keys), "min ms", "median ms"]
        lines += [
            f"### {bundle[0]} ({bundle[1][:12]})",
            "",
            "| " + " | ".join(heading) + " |",
            "| --- | --- |" + " ---: |" * (len(heading) - 2),
        ]
        for row in rows:
            cells = [row["variant"], row["engine"], f"{row['bytes'] / 1024:.0f}"]
            cells += ["-" if row[key] is None else f"{row[key]:.4f}" for key in keys]
            lines.append("| " + " | ".join([*cells, f"{row['min_ms']:.2f}", f"{row['median_ms']:.2f}"]) + " |")
        lines += ["", *_told(rows), ""]
    return "\n".join(lines)


def _told(rows: list[dict[str, Any]]) -> list[str]:
    """Say in words what the numbers mean: gates, rescues, goals."""
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
    parser.add_argument("--rounds", type=int, default=50, help="inferences of each form")
    parser.add_argument("--out", type=Path, action="append", required=True, help=".md or .json; may be given twice")
    given = parser.parse_args()

    def say(message: str) -> None:
        sys.stderr.write(message + "\n")

    try:
        result = compare_runs(given.runs, given.rounds, probe(), lambda done, of: None, say)
        result["command"] = "`python -m galaxy_edge.benchmarks.performance.variants`"
        for path in given.out:
            write_forms(path, result)
    except UserError as problem:
        parser.exit(1, f"{problem}\n")


if __name__ == "__main__":
    main()
