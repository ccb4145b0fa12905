"""Small labelled sets of drawn galaxies."""

import csv
import zipfile

import cv2
import numpy as np
from galaxy_edge.models.labels import coarse_group


def galaxy(kind, number, side=64):
    """Draw a galaxy among stars that distinguish it from others of its kind.

    All numbers are integers, so that its bytes, and with them the split, are the same on every machine.
    """
    rng = np.random.default_rng([kind, number])
    image = rng.integers(4, 16, (side, side, 3)).astype(np.uint8)
    axes = (side // 4, (side // 16, side // 5, side // 7)[kind])
    cv2.ellipse(image, (side // 2, side // 2), axes, int(rng.integers(0, 180)), 0, 360, (160, 120 + 40 * kind, 150), -1)
    for x, y in rng.integers(2, side - 3, (14, 2)):
        image[y - 1 : y + 2, x - 1 : x + 2] = rng.integers(90, 255)
    return image


def encoded(image, suffix=".bmp", quality=95):
    return cv2.imencode(suffix, image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def write_two_sources(root, unknown=0):
    """Write EFIGI with three classes and Galaxy Zoo with two of them.

    Edge-ons in Galaxy Zoo have no class. The first `unknown` of the spirals are in Galaxy Zoo too, where nothing is
    known of them.
    """
    names = {0: "edge_on_no_bulge", 1: "smooth_round", 2: "spiral_tight"}
    g10 = {0: 6, 1: 1, 2: 7}
    for source, rows in (
        ("efigi", [(kind, number, g10[kind]) for kind in (0, 1, 2) for number in range(40)]),
        ("gz", [(kind, 100 + number, g10[kind]) for kind in (0, 1) for number in range(40)]
         + [(0, 200 + number, -1) for number in range(12)] + [(2, number, -1) for number in range(unknown)]),
    ):  # fmt: skip
        (root / source).mkdir()
        table, archive = ("labels.csv", "images.zip") if source == "efigi" else ("index.csv", "tag.zip")
        lines = []
        with zipfile.ZipFile(root / source / archive, "w") as pack:
            for kind, number, label in rows:
                file = f"{kind}_{number}.bmp"
                pack.writestr(file, encoded(galaxy(kind, number)))
                box = {f"{u}{name}": value for u in ("", "u") for name, value in
                       zip(("xmin", "ymin", "xmax", "ymax"), (8, 8, 56, 56), strict=True)}  # fmt: skip
                line = {"file": file, "g10": label, "coarse": coarse_group(names[kind])}
                if source == "gz":
                    line["coarse"] *= kind != 2
                    line = {**line, "file": f"tag/{file}", "g10_p": "", "box_flag": "ok", "ubox_flag": "ok", **box}
                lines.append(line)
        with (root / source / table).open("w", newline="") as stream:
            writer = csv.DictWriter(stream, lines[0])
            writer.writeheader()
            writer.writerows(lines)
    return root
