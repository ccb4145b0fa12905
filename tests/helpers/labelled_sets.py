"""Small rendered image sets for tests of training.

Their layouts are those that `galaxy_edge.training.data.sample` reads.
"""

import csv
import zipfile

import cv2
import numpy as np


def galaxy_frame(rng, side, neighbour=None):
    """Render an inclined exponential disc on a noisy sky.

    (side, side, 3) uint8 and its box (4,).
    """
    rows, columns = np.mgrid[:side, :side].astype(float)
    centre, radius = side / 2 + rng.uniform(-3, 3, 2), side * rng.uniform(0.1, 0.16)
    angle, axis = rng.uniform(0, np.pi), rng.uniform(0.4, 0.9)
    along = (columns - centre[0]) * np.cos(angle) + (rows - centre[1]) * np.sin(angle)
    across = (rows - centre[1]) * np.cos(angle) - (columns - centre[0]) * np.sin(angle)
    light = 180 * np.exp(-2 * np.hypot(along, across / axis) / radius)
    if neighbour:
        light += 150 * np.exp(-((columns - neighbour[0]) ** 2 + (rows - neighbour[1]) ** 2) / 50)
    image = 8 + light[..., None] * rng.uniform(0.8, 1.2, 3) + rng.normal(0, 1.5, (side, side, 3))
    half = (
        1.6
        * radius
        * np.sqrt([np.cos(angle) ** 2 + (axis * np.sin(angle)) ** 2, np.sin(angle) ** 2 + (axis * np.cos(angle)) ** 2])
    )
    return np.clip(image, 0, 255).astype(np.uint8), np.concatenate([centre - half, centre + half]).astype(np.float32)


def _sky(rng, side):
    image = 8 + rng.normal(0, 1.5, (side, side, 3))
    for x, y in rng.integers(4, side - 4, (12, 2)):
        image[y - 1 : y + 2, x - 1 : x + 2] += rng.uniform(40, 240)
    return np.clip(image, 0, 255).astype(np.uint8)


def _pack(path, images):
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in images.items():
            archive.writestr(name, cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def _table(path, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def make_labelled(folder, copies=6):
    """Write a set of rendered galaxies in the layout ``efigi``.

    `copies` of each of nine shapes; return the folder.
    """
    rng = np.random.default_rng(8)
    images, rows = {}, []
    for number in range(copies):
        for label in (0, 1, 2, 3, 4, 6, 7, 8, 9):
            image, _ = galaxy_frame(rng, 88)
            image = cv2.resize(image, (88, max(20, 88 - 8 * label)))  # flatter with every class
            image = cv2.copyMakeBorder(image, 0, 88 - len(image), 0, 0, cv2.BORDER_REPLICATE)
            for x, y in rng.integers(3, 85, (14, 2)):  # its stars distinguish it from others of its shape
                image[y - 1 : y + 2, x - 1 : x + 2] = rng.integers(90, 255)
            name = f"{label}_{number}.png"
            images[name] = image
            rows.append({"file": name, "g10": label, "coarse": ""})
    target = folder / "efigi"
    target.mkdir()
    _pack(target / "images.zip", images)
    _table(target / "labels.csv", rows)
    return folder


def close_up_frame(rng, side, scale=0.11, axis=None, angle=None):
    """Render an exponential disc in the middle of a frame (side, side, 3) float.

    Its scale length is a share of the side.
    """
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    angle = rng.uniform(0, np.pi) if angle is None else angle
    axis = rng.uniform(0.3, 0.95) if axis is None else axis
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    light = 170 * np.exp(-np.hypot(along, across / axis) / (scale * side))
    return 10 + light[..., None] * rng.uniform(0.7, 1.2, 3)


def make_close_ups(folder, count=12):
    """Write galaxies that fill their images in the layout ``efigi``.

    All are of one class. Returns the folder.
    """
    rng = np.random.default_rng(9)
    images = {}
    for number in range(count):
        image = close_up_frame(rng, 88) + rng.normal(0, 1.5, (88, 88, 3))
        images[f"{number}.png"] = np.clip(image, 0, 255).astype(np.uint8)
    target = folder / "efigi"
    target.mkdir()
    _pack(target / "images.zip", images)
    _table(target / "labels.csv", [{"file": name, "g10": 8, "coarse": "spiral"} for name in images])
    return folder


def make_sets(folder, survey=40, deepsky=20, fields=20, survey_side=160):
    """Write ``gz_frames``, ``deepsky_frames`` and ``sdss_starfields``.

    Their images are rendered, those of galaxy frames with `survey_side` pixels a side. Returns the folder.
    """
    rng = np.random.default_rng(7)

    def columns(box):
        values = dict(zip(("xmin", "ymin", "xmax", "ymax"), (round(float(v), 1) for v in box), strict=True))
        return values | {f"u{name}": value for name, value in values.items()}

    target = folder / "gz_frames"
    target.mkdir()
    images, rows = {}, []
    for number in range(survey):
        image, box = galaxy_frame(rng, survey_side)
        images[f"{number}.png"] = image
        rows.append(
            {
                "file": f"rendered/{number}.png",
                "g10": -1,
                "g10_p": "",
                "coarse": "",
                "box_flag": "ok",
                "ubox_flag": "ok",
                **columns(box),
            }
        )
    _pack(target / "rendered.zip", images)
    _table(target / "index.csv", rows)

    target = folder / "deepsky_frames"
    target.mkdir()
    images, boxes, frames = {}, [], []
    for number in range(deepsky):
        name, kind = f"n{number}.png", "galaxy" if number % 2 else "negative"
        if kind == "galaxy":
            images[name], box = galaxy_frame(rng, 200)
            boxes.append({"file": name, "difficult": 0, "ubox_flag": "ok", **columns(box)})
        else:
            images[name] = _sky(rng, 200)
        frames.append({"file": name, "kind": kind, "credit": "rendered"})
    _pack(target / "images.zip", images)
    _table(target / "boxes.csv", boxes)
    _table(target / "frames.csv", frames)

    target = folder / "sdss_starfields"
    target.mkdir()
    _pack(target / "images.zip", {f"{number}.png": _sky(rng, 100) for number in range(fields)})
    return folder
