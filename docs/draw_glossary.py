"""Write docs/glossary.md and its drawings.

``python docs/draw_glossary.py`` writes both; a test fails where they are out of date. Names come from the package,
confusions from the shipped classifier's test, types of the examples from OpenNGC, and the drawings from formulas.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from galaxy_edge.benchmarks.accuracy.readme_figures import TEST
from galaxy_edge.models.labels import CLASSES, EXCLUDED_LABEL, GALAXY10
from galaxy_edge.models.naming import PLAIN_NAMES
from galaxy_edge.sky.catalogue.openngc import OpenNgc
from galaxy_edge.training.scenes.drawn_galaxies import SHAPES, draw_galaxy

FOLDER = Path(__file__).resolve().parent
PAGE, DRAWINGS, TERMS = FOLDER / "glossary.md", FOLDER / "glossary", FOLDER / "site" / "glossary_terms.md"
SIZE = 128
CONFUSED = 0.05
"""Minimum share of a class's test images that are named otherwise for the other name to be listed."""
SEEN = {
    "disk_no_spiral": (
        "A bright core in a wide, even glow that ends softly. No arms, even with a large telescope.",
        ("NGC 936", "NGC 2787", "NGC 4382", "NGC 4459")),
    "smooth_round": (
        "A round patch of light that grows steadily brighter to its centre, like a star out of focus that cannot be "
        "focused.", ("NGC 3379", "NGC 4278", "NGC 4552")),
    "smooth_in_between": (
        "The same without an edge or a detail, but clearly oval, up to about twice as long as wide.",
        ("NGC 4472", "NGC 4649", "NGC 4621")),
    "smooth_cigar": (
        "A smooth oval that is stretched to a cigar, bright in the middle, with both ends fading.",
        ("NGC 3377", "NGC 4564", "NGC 4697")),
    "edge_on_rounded_bulge": (
        "A thin streak with a round swelling in its middle; often a dark lane of dust cuts it in two.",
        ("NGC 4594", "NGC 7814")),
    "edge_on_boxy_bulge": (
        "A thin streak whose swelling has corners, like a box or a peanut.", ("NGC 128", "NGC 5746")),
    "edge_on_no_bulge": (
        "A needle of light, of nearly the same thickness from end to end.", ("NGC 4244", "NGC 4517", "NGC 5907")),
    "spiral_tight": (
        "Arms wound close around a large bright centre; in small telescopes they melt into rings or an even glow.",
        ("NGC 2841", "NGC 3031", "NGC 7217")),
    "spiral_medium": (
        "Two or more arms that are easy to follow from the centre outwards, with dark gaps between them.",
        ("NGC 4321", "NGC 5194", "NGC 5248")),
    "spiral_loose": (
        "Open, patchy arms that seem to fly apart around a small centre. They need a dark sky, or a stack.",
        ("NGC 598", "NGC 2403", "NGC 5457")),
}  # fmt: skip
"""Class -> what one sees, and well-known examples."""
HEADINGS = {"disk_no_spiral": "Disks without arms", "smooth": "Smooth galaxies", "edge_on": "Seen from the edge",
            "spiral": "Spirals"}  # fmt: skip


def drawing(name: str) -> bytes:
    """Return the drawing of a class as WebP: a galaxy among some stars."""
    has_bulge = name.startswith("edge_on") and name.endswith("bulge") and name != "edge_on_no_bulge"
    shape = replace(SHAPES["edge_on_no_bulge"], ratio=0.08) if has_bulge else SHAPES[name]
    light = draw_galaxy(shape, SIZE, seed=GALAXY10.index(name) + 1).astype(np.float64) / 255
    if has_bulge:
        light = 1 - (1 - light) * (1 - _bulge(is_boxy=name not in SHAPES))
    grey = light.mean(axis=2, keepdims=True)
    light = np.clip(grey + 1.5 * (light - grey), 0, 1) ** 0.85
    rng = np.random.default_rng(GALAXY10.index(name))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for _ in range(9):
        x, y = rng.uniform(4, SIZE - 4, 2)
        tint = np.array([1, 0.9, 0.8]) if rng.random() < 0.5 else np.array([0.85, 0.93, 1])
        star = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / rng.uniform(1.2, 2.2))
        light = light + rng.uniform(0.2, 0.9) * star[..., None] * tint
    image = (255 * np.clip(light, 0, 1)).astype(np.uint8)
    _, encoded = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, 88])
    return encoded.tobytes()


def _bulge(is_boxy: bool) -> np.ndarray:
    """Return the light of a bulge, (SIZE, SIZE, 3), turned as the drawn disks are."""
    axis = (np.arange(SIZE) + 0.5) / (SIZE / 2) - 1
    angle = np.deg2rad(25)
    x = axis[None] * np.cos(angle) + axis[:, None] * np.sin(angle)
    y = axis[:, None] * np.cos(angle) - axis[None] * np.sin(angle)
    waist = 1 - 0.3 * np.exp(-((x / 0.07) ** 2)) if is_boxy else 1.0  # a peanut is thinner in its middle
    power, length = (3.5, 0.2) if is_boxy else (2.0, 0.18)
    radius = (np.abs(x / length) ** power + np.abs(y / (0.15 * waist)) ** power) ** (1 / power)
    return np.asarray(np.exp(-1.6 * radius**1.5)[..., None] * np.array([1.0, 0.86, 0.62]))


def confusion() -> dict[str, tuple[int, int, list[tuple[str, int]]]]:
    """Return how the test images of each class were named.

    These are their number, how many of them were named rightly, and other names that were given often, with counts.
    """
    matrix = json.loads(TEST.read_text(encoding="utf-8"))["int8"]["confusion"]
    found = {}
    for index, name in enumerate(CLASSES):
        row = matrix[index]
        others = sorted(((count, CLASSES[other]) for other, count in enumerate(row) if other != index), reverse=True)
        often = [(other, count) for count, other in others if count >= CONFUSED * sum(row)]
        found[name] = sum(row), row[index], often
    return found


def _example(catalogue: OpenNgc, name: str) -> str:
    item = catalogue.find(name)
    assert item is not None, name
    common = next((alias for alias in item.aliases if alias.endswith("Galaxy")), "")
    inside = [common, name if item.name != name else "", item.hubble_type or ""]
    return f"{item.name} ({', '.join(filter(None, inside))})"


def _class_cell(catalogue: OpenNgc, name: str, measured: dict[str, tuple[int, int, list[tuple[str, int]]]]) -> str:
    text, examples = SEEN[name]
    parts = [f"**{PLAIN_NAMES[name]}**<br>`{name}`", text]
    parts.append("For example " + ", ".join(_example(catalogue, item) for item in examples) + ".")
    if name in measured:
        total, right, often = measured[name]
        mistakes = [f"{count} were called *{PLAIN_NAMES[other]}*" for other, count in often]
        parts.append("; ".join([f"Of {total} test images, {right} got this name", *mistakes]) + ".")
    else:
        parts.append("No network gives this name: Galaxy10 SDSS has 17 images of it, too few to learn from.")
    return "<br>".join(parts)


def page() -> str:
    """Return the page as Markdown."""
    catalogue, measured = OpenNgc(), confusion()
    lines = ["<!-- written by docs/draw_glossary.py: the words are in site/glossary_terms.md -->"]
    lines += ["# Glossary", "", "## The shapes of galaxies", ""]
    lines.append(
        "The classifier knows nine of the ten classes of Galaxy10 SDSS. The drawings are made by formulas, and show a "
        "class at its clearest; in a small telescope most galaxies have less detail. The letters after an example are "
        "its type in OpenNGC, which astronomers gave it from photographs: E are ellipticals, S0 lenticulars, Sa to "
        "Sd spirals with ever looser arms, SB those with a bar. The two ways of sorting galaxies differ in places."
    )
    for group, heading in HEADINGS.items():
        lines += ["", f"### {heading}", "| drawn | what you see |", "| --- | --- |"]
        for name in (name for name in GALAXY10 if name.startswith(group)):
            image = f"![{PLAIN_NAMES[name]}, drawn](glossary/{name}.webp)"
            lines.append(f"| {image} | {_class_cell(catalogue, name, measured)} |")
    lines += ["", TERMS.read_text(encoding="utf-8").strip(), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    DRAWINGS.mkdir(exist_ok=True)
    assert list(SEEN) == list(GALAXY10) and GALAXY10[EXCLUDED_LABEL] not in CLASSES
    for class_name in GALAXY10:
        (DRAWINGS / f"{class_name}.webp").write_bytes(drawing(class_name))
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written to {PAGE.relative_to(FOLDER.parent)}")
