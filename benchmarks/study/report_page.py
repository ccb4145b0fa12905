"""Write docs/report.md, the comparison with the university report.

It goes through the report section by section: what it found, what we found, and why they differ.

Our figures are those of the saved results; the report's are in `FOUND`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.intervals import interval_text
from ...models.markdown import markdown_table
from ...training.classifier.recipe import RECIPES
from ...training.run import RunError
from ..accuracy.classifier_results import read_results
from ..accuracy.detector_results import FILE, RULE, read_saved
from ..accuracy.records.classification import StudyResult
from ..accuracy.records.evaluation import BASELINES
from ..accuracy.records.saved import SavedMetrics
from .table_sentences import best, ensemble_gain, order, regularisations

FOUND = {
    "scratch": {"accuracy": 0.83},
    "vgg_block5": {"accuracy": 0.81},
    "ensemble": {"accuracy": 0.85},
    "optimised": {"accuracy": 0.82, "macro_f1": 0.76},
}
"""Accuracy and macro F1 that the report gives for its networks, on its own test images."""

HEAD = """# The report, section by section

galaxy-edge started from a university report on the classification (Galaxy10 SDSS) and detection (Galaxy Zoo 2) of
galaxies. This page compares it with our study. It is written by `galaxy-edge study report --comparison`: our figures
are those of the saved results, see [RESULTS.md](../training/RESULTS.md), on the test part where nothing else is said.
The report's images are not ours: it has 21,768 of Galaxy10 SDSS, ours are fewer, and of EFIGI and Galaxy Zoo. So its
figures cannot be compared with ours. Nor can the report's networks be compared with ours here: ours were trained for
up to {epochs} epochs, the report's for those of the column "epochs at most". Compare the report's networks with each
other.
"""

Found = Mapping[str, Sequence[StudyResult]]
Section = Callable[[Found, Path], list[str]]


def report_page(results: Path) -> str:
    """Return the page as Markdown.

    Args:
        results: folder of the saved results.

    Raises:
        RunError: the saved results do not belong together, or are damaged.
    """
    found = read_results(results)
    parts = [HEAD.format(epochs=RECIPES["small"].epochs)]
    for title, section in SECTIONS.items():
        try:
            parts += [f"\n## {title}\n", *section(found, results)]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"a table in {results} for '{title}' is damaged ({error!r}): save it again") from None
    return "\n".join(parts).strip() + "\n"


def _mean(group: Sequence[StudyResult], key: str) -> str:
    values = [getattr(result.scores["float"], key) for result in group]
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def _networks(found: Found, names: Mapping[str, str]) -> list[str]:
    """Return a table of networks: the report's scores and ours."""
    rows = []
    for name, title in names.items():
        group = found.get(name)
        theirs = FOUND.get(name, {})
        reported = [f"{theirs[key]:.2f}" if key in theirs else "" for key in ("accuracy", "macro_f1")]
        ours = ["not measured yet", "", "", ""]
        if group:
            settings = [group[0].recipe(key) or "not recorded" for key in ("balance", "epochs")]
            ours = [_mean(group, "accuracy"), _mean(group, "macro_f1"), *settings]
        rows.append((title, *reported, *ours))
    heads = [
        "report: accuracy",
        "report: macro F1",
        "ours: accuracy",
        "ours: macro F1",
        "balanced by",
        "epochs at most",
    ]
    return list(markdown_table(["", *heads], rows))


def _data(_: Found, results: Path) -> list[str]:
    images = sorted({result.images for group in read_results(results).values() for result in group})
    return [
        "*Report.* Galaxy10 SDSS, 69 x 69 pixels, nine classes: class 5 (17 images) is left out. The division into "
        "training, validation and test images was drawn again without a seed, and its folders hold 22,160 files for "
        "21,768 images.\n",
        f"*Ours.* The same nine classes and size; {' or '.join(map(str, images)) or 'no'} test images. The split is by "
        "content, with a seed; exact and near duplicates are in one part.\n",
        "*Why.* A copy of a training image is recognised, not classified: the report's scores may be too high by such "
        "copies.",
    ]


def _balance(_: Found, results: Path) -> list[str]:
    return [
        "*Report.* Chose partial re-balancing with class weights. Its shear of 0.2 is Keras' `shear_range`, in "
        "degrees: 0.2 degrees change hardly a pixel.\n",
        order(results, "balance") + "\n",
        best(results, "balance", "strategy") + "\n",
        order(results, "views") + "\n",
        best(results, "views", "augmentation") + "\n",
        "*Why.* Stronger augmentation learns more slowly: a short training does not show what it gains in a long one. "
        f"Our networks are trained for up to {RECIPES['small'].epochs} epochs, with `sky` and `telescopes`.",
    ]


def _alike(found: Found, names: Mapping[str, str]) -> str:
    """Say whether networks of a table were trained alike, as far as recorded."""
    groups = [found[name] for name in names if name in found]
    if len(groups) < 2:
        return ""
    ways = {tuple(group[0].recipe(key) for key in ("balance", "epochs")) for group in groups}
    if len(ways) > 1:
        return "The rows differ in their balance or number of epochs too: the difference is not that of dropout alone."
    return "The rows were trained alike; compare their difference with what the seeds change."


def _scratch(found: Found, results: Path) -> list[str]:
    names = {"scratch": "best from scratch: dropout, batch normalisation", "batch_norm": "the same without dropout"}
    return [
        "*Report.* The bigger network with dropout and batch normalisation is the best of seven combinations.\n",
        *_networks(found, names),
        f"\n{_alike(found, names)}\n",
        order(results, "scratch") + "\n",
        " ".join(filter(None, (best(results, "scratch", "combination"), regularisations(results)))) + "\n",
        "*Why.* We have fewer images, of two sources. The report's kind of network loses more with normalised levels "
        "than ours (RESULTS, 'Each source, and levels normalised'). It may use the level of the sources' sky as a "
        "shortcut; another reason may be that ours was trained with changed levels, and it was not.",
    ]


def _transfer(found: Found, _: Path) -> list[str]:
    names = {
        "vgg_features": "VGG-16, frozen",
        "vgg_block5": "VGG-16, tuned from block 5",
        "vgg_partial": "the same, with partial re-balancing",
    }
    return [
        "*Report.* VGG-16 tuned from block 5. It gives 7,221,145 trainable parameters; the correct sum is 7,211,145.\n",
        *_networks(found, names),
        "\n*Why.* Ours starts from VGG-16 weights that were tuned to find edges (HED), not from ImageNet's own.",
    ]


def _folds(_: Found, results: Path) -> list[str]:
    path = results / "table-folds.json"
    ours = "Ours: not measured yet.\n"
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        accuracy = saved["metrics"]["accuracy"]
        pair = [
            f"{name} {accuracy[side]['mean']:.3f} ± {accuracy[side]['std']:.3f}"
            for name, side in zip(saved["recipes"], "ab", strict=True)
        ]
        ours = (
            f"*Ours.* {saved['folds']} folds, at most {saved['epochs']} epochs: accuracy {', '.join(pair)}; p = "
            f"{accuracy['p']:.4f}. {saved['reading']}\n"
        )
    return [
        "*Report.* Five folds: accuracy 0.80 ± 0.01 from scratch, 0.77 ± 0.02 with VGG-16, compared by Wilcoxon's "
        "signed-rank test.\n",
        ours,
        "*Why.* Our VGG-16 is frozen and has weights that were tuned to find edges; the report's is tuned from block 5 "
        "and has those of ImageNet. This may be why the difference between the two networks is larger here; the images "
        "are others too. In the report, as here, five folds cannot show any difference at 0.05 by that test.",
    ]


def _pictures(*_: Any) -> list[str]:
    return [
        "*Report.* Activations, filters and class activation maps of its network.\n",
        "*Ours.* [study.md](study.md), on drawn galaxies, with the ROC curves and the scores of each class. "
        "`galaxy-edge explain` draws the same of any network and images.",
    ]


def _ensemble(found: Found, _: Path) -> list[str]:
    names = {
        "ensemble": "0.6 scratch + 0.4 VGG-16 tuned from block 5",
        "scratch": "its network from scratch alone",
        "ensemble_optimised": "not the report's: hyper-optimised and VGG-16, shares from validation",
    }
    return [*_networks(found, names), f"\n*Why.* {ensemble_gain(found)} The average also costs the sum of both."]


def _searched(results: Path) -> str:
    """Return what the report's search finds on our images, in one sentence."""
    path = results / "table-report-search.json"
    if not path.exists():
        return "Its search space on our images: not measured yet."
    saved = json.loads(path.read_text(encoding="utf-8"))
    best, *others = sorted(saved["trials"], key=lambda trial: -trial["accuracy"])
    failed = sum(trial["macro_f1"] < 0.05 for trial in (best, *others))
    return (
        f"Its search space on our images, {len(others) + 1} trials of {saved['epochs']} epochs: the best has accuracy "
        f"{best['accuracy']:.3f} and macro F1 {best['macro_f1']:.3f} on validation with {best['macs'] / 1e6:.1f} "
        f"million multiply-adds; {failed} learnt nothing but the most frequent class."
    )


def _optimised(found: Found, results: Path) -> list[str]:
    names = {"optimised": "hyper-optimised", "small_alone": "ours, from labels alone", "telescopes": "ours, shipped"}
    costs = [f"{title} {found[name][0].macs / 1e6:.1f} million" for name, title in names.items() if name in found]
    return [
        "*Report.* Bayesian optimisation of the accuracy over two convolutions. The network that it calls small has "
        "392,137 parameters and 225 million multiply-adds, 13 times those of its network from scratch.\n",
        *_networks(found, names),
        f"\nMultiply-adds: {', '.join(costs) or 'not measured yet'}.\n",
        _searched(results) + "\n",
        "*Why.* Its search knew the accuracy only; ours maximises macro F1 and minimises cost together. Trained on the "
        "same labels alone, our network differs in its layers, augmentation, schedule, length of training and the fit "
        "of its last layer; what each contributes was not measured.",
    ]


def _detection(_: Found, results: Path) -> list[str]:
    saved = read_saved(results) if (results / FILE).exists() else None
    rows: dict[bool, list[list[str]]] = {True: [], False: []}
    for row in saved.detectors if saved else ():
        # An int8 network that a gate refused says little about the network: its float row is shown.
        variant, kind = ("fp32", "float") if row.ungated else ("int8", "int8")
        scores = row.variant(variant).get("gz_frames")
        if not row.apart and scores and scores.map50 is not None:
            rows[row.rule == RULE].append([f"{row.name}, {kind}", *_mean_precision(scores), f"{row.macs / 1e6:.1f}"])
    for name, title in BASELINES.items():
        scores = (saved.baselines.get(name) or {}).get("gz_frames") if saved else None
        if scores and scores.map50 is not None:
            rows[True].append([title, *_mean_precision(scores), ""])
    heads = ["Galaxy Zoo frames", "mAP@0.5", "galaxies", "million MACs"]
    table = list(markdown_table(heads, rows[True]))
    if rows[False]:
        table += [
            "\nMeasured by an earlier rule, and on all of these frames: those above leave out frames whose box holds a "
            "star or another galaxy too. These rows can be compared with each other, not with those above:\n",
            *markdown_table(heads, rows[False]),
        ]
    return [
        "*Report.* SSD MobileNetV2 FPNLite 320, tuned on 1,999 frames of Galaxy Zoo 2 boxed by hand (1,439 / 200 / "
        "360): mAP@0.5 0.96, AR@1 0.62; EfficientDet 0.94 and 0.60. Exported as float at 300 x 300 pixels for a "
        "network of 320 x 320; no int8 network was measured.\n",
        *(table if saved else ["Ours: not measured yet."]),
        "\n*Why.* The report's galaxies are in the middle of their frames, where a constant box scores high too. "
        "RESULTS has the constant box and SEP next to every network, and situations in which the galaxy must be found.",
    ]


def _mean_precision(scores: SavedMetrics) -> list[str]:
    return [f"{scores.map50:.3f}{interval_text(scores.interval('map50'))}", str(scores.boxes)]


SECTIONS: dict[str, Section] = {
    "Data and split": _data,
    "2.3 Class imbalance and augmentation": _balance,
    "2.4, 2.5 Networks from scratch": _scratch,
    "2.6 Transfer learning": _transfer,
    "2.7 Cross-validation": _folds,
    "2.8 What the network sees": _pictures,
    "2.9.1 Ensemble": _ensemble,
    "2.9.2 Hyper-parameter search": _optimised,
    "Detection": _detection,
}
"""The sections of the report, in its order."""
