"""Run the attacks on the README's promises, and write the table of results.

``python -m galaxy_edge.benchmarks.robustness.table`` runs all; ``... table storage/bad_rows`` runs one. Each attack
runs in a separate process, whose peak memory is in every row. A row is stored in ``benchmarks/reference/robustness/``,
and ``docs/robustness.md`` is written from all rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ... import __version__
from ...models.markdown import markdown_table
from ...runtime.system.utc_time import utc_now
from .attack import Attack, NotPossible, find_attacks

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "benchmarks" / "reference" / "robustness"
PAGE = ROOT / "docs" / "robustness.md"
HEADING = """# Robustness
The promises of the documents, and how each was tested. `memory_mib` is the peak memory of the attack's
process, without the processes that it starts.
`python -m galaxy_edge.benchmarks.robustness.table` repeats every attack and writes this page;
`make test` runs all with smaller counts.

"""


def run_attack(attack: Attack, count: int) -> dict[str, Any]:
    """Run an attack in this process, in a temporary folder.

    Returns:
        ``promise``, ``method``, ``figures`` and ``held``; ``not_possible`` in place of the last two where it applies.
    """
    row: dict[str, Any] = {"promise": attack.promise, "method": attack.method.format(count=f"{count:,}")}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            outcome = attack.run(count, Path(folder))
        except NotPossible as error:
            return row | {"not_possible": str(error)}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return row | {"figures": outcome.figures | {"memory_mib": memory}, "held": outcome.held}


def run_apart(name: str, small: bool) -> dict[str, Any]:
    """Run an attack in a separate process.

    If it ends without a result, the promise did not hold.
    """
    command = [sys.executable, "-m", f"{__package__}.table", "--in-process", name, *(["--small"] if small else [])]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as stream:
        text = stream.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    row: dict[str, Any]
    if process.returncode:
        attack = find_attacks()[name]
        figures: dict[str, Any] = {"exit_code": process.returncode}
        row = {"promise": attack.promise, "method": attack.method, "figures": figures, "held": False}
    else:
        row = json.loads(text.splitlines()[-1])
    if "figures" in row:
        memory = row["figures"].pop("memory_mib", usage.ru_maxrss // 1024)
        row["figures"] |= {"seconds": round(time.monotonic() - started, 1), "memory_mib": memory}
    return row | {"version": __version__, "machine": os.uname().machine, "created": utc_now("seconds")}


def read_rows(folder: Path = ROWS) -> dict[str, dict[str, Any]]:
    """Return the stored rows by the names of their attacks."""
    paths = sorted(folder.glob("*/*.json"))
    return {f"{path.parent.name}/{path.stem}": json.loads(path.read_text(encoding="utf-8")) for path in paths}


def page(rows: dict[str, dict[str, Any]]) -> str:
    """Return the page with the table of all rows."""
    cells = []
    for name, row in rows.items():
        figures = ", ".join(f"{key} {value}" for key, value in row.get("figures", {}).items())
        held = f"not run: {row['not_possible']}" if "not_possible" in row else "yes" if row["held"] else "**no**"
        cells.append((row["promise"], f"{row['method']} (`{name}`)", figures, held))
    return HEADING + "\n".join(markdown_table(("promise", "how attacked", "figures", "held"), cells)) + "\n"


def main() -> None:
    """Run the command line; exit with 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("attacks", nargs="*", metavar="NAME", help="Names of attacks, e.g. storage/bad_rows.")
    parser.add_argument("--small", action="store_true", help="Use the counts of the tests; store nothing.")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    known = find_attacks()
    if unknown := [name for name in arguments.attacks if name not in known]:
        parser.error(f"there is no attack {unknown[0]}: {', '.join(known)}")
    if arguments.in_process:
        attack = known[arguments.attacks[0]]
        print(json.dumps(run_attack(attack, attack.small_count if arguments.small else attack.count)))
        return
    held = True
    for name in arguments.attacks or known:
        row = run_apart(name, arguments.small)
        held = held and row.get("held", True)
        print(name, json.dumps(row, indent=1), flush=True)
        if not arguments.small:
            path = ROWS / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    if not arguments.small:
        PAGE.write_text(page(read_rows()), encoding="utf-8")
    raise SystemExit(not held)


if __name__ == "__main__":
    main()
