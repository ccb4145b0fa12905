"""Write the measured figures of each size of the networks.

They are in ``models/sizes.json``.

``python -m galaxy_edge.benchmarks.performance.sizes SIZE=FOLDER… --qemu QEMU --root ROOT``

FOLDER holds the bundles of one or both networks. Accuracy comes from saved results of the study (``study evaluate``,
``study evaluate-detectors``), which must be of the same int8 networks; the instructions are counted here, see
`instructions`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...models.bundle import Bundle
from ...models.sizes import FIGURES, SIZES
from ...runtime.inference.bundles import CLASSIFIER, DETECTOR
from .instructions import count_networks

RESULTS = Path("training/results")
CLASSIFIERS = {"nano": "nano-seed1.json", "small": "telescopes-seed1.json", "base": "base-seed1.json"}
DETECTORS = {
    "nano": "ours, nano",
    "small": "ours, shipped",
    "base": "ours, base",
}
PROCESSORS = ("cortex-a72", "cortex-a76")


def classifier_accuracy(results: Path, size: str) -> dict[str, Any]:
    """Return macro F1 of a saved result's int8 network, with its interval."""
    int8 = json.loads((results / CLASSIFIERS[size]).read_text())["int8"]
    return _accuracy("macro F1", int8["macro_f1"], int8["intervals"]["macro_f1"], sum(map(sum, int8["confusion"])))


def detector_accuracy(results: Path, size: str) -> dict[str, Any]:
    """Return AP50 on composed frames of a saved int8 result, with its interval."""
    rows = json.loads((results / "detectors.json").read_text())["detectors"]
    found = next((row for row in rows if row["name"] == DETECTORS[size]), None)
    if found is None:
        raise UsageError(f"{results}/detectors.json has no row '{DETECTORS[size]}'")
    composed = found["int8"]["composed"]
    return _accuracy("AP50", composed["map50"], composed["intervals"]["map50"], composed["boxes"])


def _accuracy(metric: str, value: float, interval: tuple[float, float], objects: int) -> dict[str, Any]:
    low, high = (round(limit, 4) for limit in interval)
    return {"metric": metric, "value": round(value, 4), "low": low, "high": high, "objects": objects}


def figures(folder: Path, size: str, results: Path, qemu: Path, root: Path) -> dict[str, Any]:
    """Return the figures of those networks of a size that the folder has.

    Raises:
        UsageError: it has neither.
    """
    networks = {CLASSIFIER: ("classifier", classifier_accuracy), DETECTOR: ("detector", detector_accuracy)}
    paths = [folder / name for name in networks if (folder / name).is_dir()]
    if not paths:
        raise UsageError(f"{folder} has neither {CLASSIFIER} nor {DETECTOR}")
    counts = {cpu: count_networks(paths, qemu, root, cpu) for cpu in PROCESSORS}
    rows: dict[str, Any] = {}
    for number, path in enumerate(paths):
        name, accuracy = networks[path.name]
        bundle = Bundle.load(path)
        rows[name] = {
            "hash": bundle.hash,
            "input": bundle.input_size[0],
            "parameters": bundle.manifest.network.parameters,
            "macs": bundle.manifest.network.macs,
            "bytes": len(bundle.read(bundle.variants["int8"].file)),
            "instructions": {cpu: counts[cpu][number] for cpu in PROCESSORS},
            "accuracy": accuracy(results, size),
        }
    return rows


def main() -> None:
    """Measure the given sizes; the others keep their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="+", metavar="SIZE=FOLDER")
    parser.add_argument("--qemu", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    table = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
    for text in options.sizes:
        size, _, folder = text.partition("=")
        if size not in SIZES or not folder:
            parser.error(f"{text} is not SIZE=FOLDER with one of the sizes {', '.join(SIZES)}")
        table[size] = figures(Path(folder), size, options.results, options.qemu, options.root)
    ordered = {size: table[size] for size in SIZES if size in table}
    FIGURES.write_text(json.dumps(ordered, indent=2) + "\n")


if __name__ == "__main__":
    main()
