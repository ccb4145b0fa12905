"""Small labelled sets with awkward content, for tests of the label formats."""

import cv2
import numpy as np
from galaxy_edge.training.formats.annotation import ImageAnnotation, build_dataset, raise_error

FORMATS = ("voc", "yolo", "coco", "tfrecord", "csv")
NAMES = (
    "plain.png",
    "a/same.png",
    "b/same.png",
    "M31 – Nebel & <Söhne>.png",
    "#1; 'quoted' \"twice\", 100%.png",
    "tief/er/图像 七.jpg",
    "no box.jpg",
    "dots.in.the.name.v2.png",
)
CLASSES = ("galaxy", "star", "Spiralnebel ü, 'weit' \"offen\": #1")
EXTRAS = (
    {},
    {"note": "two\nlines\tand <tags> & more", "object": "NGC 205"},
    {"pose": "Left", "json": [1.5, None, True, "x"]},
    {"coco": {"segmentation": [[1, 2, 3.25, 4, 5, 6]], "area": 7.5}},
    {"empty": "", "number": 3, "start": "json:[1]"},
)
ABOUTS = (
    {},
    {"credit": "ESO/M. Kornmesser, ©", "ra": "10.7069"},
    {"coco": {"license": 3, "date_captured": "2001-01-01"}},
    {"verified": True},
    {"nested": {"deep": [{"er": 0.1}]}, "carriage": "a\rb"},
)


def encoded_image(seed, width=64, height=48, suffix=".png"):
    """Encode an image of its own: noise in its upper left corner."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:64, :64] = np.random.default_rng([seed, 3]).integers(0, 256, pixels[:64, :64].shape)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def star_field(number, side=64):
    """Draw a dark sky with stars of its own, (side, side, 3) uint8.

    Whole numbers only, the same bytes everywhere.
    """
    rng = np.random.default_rng([number, 4])
    image = rng.integers(4, 16, (side, side, 3)).astype(np.uint8)
    for x, y in rng.integers(2, side - 3, (14, 2)):
        image[y - 1 : y + 2, x - 1 : x + 2] = rng.integers(90, 255)
    return image


def write_images(folder, names, size=(64, 48)):
    """Write an image under each name."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded_image(seed, *size, suffix=path.suffix))


def awkward_boxes(rng, width, height):
    """Draw boxes of every kind that people and programs make: (N, 4)."""
    x, y = np.sort(rng.uniform(0, width, (3, 2)), axis=1), np.sort(rng.uniform(0, height, (3, 2)), axis=1)
    free = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)
    return np.concatenate(
        [
            free,  # every bit of a float64 in use
            np.round(free) + np.array([0, 0, 1, 1]),
            np.round(free, 1) + 0.0,
            [[0, 0, width, height]],  # touching every edge
            [[-3.25, -1e-3, width + 0.1, height + 7]],  # reaching outside
            [[5, 5, 5, 9], [9, 9, 4, 12]],  # without area, and turned about
            [[1 / 3, 1e-9, np.nextafter(20, 0), 0.1 + 0.2]],
            free[:1],  # drawn twice
        ]
    )


def awkward_set(folder, seed=0, size=(64, 48)):
    """Make images and labels with all that is awkward at once."""
    write_images(folder, NAMES, size)
    rng = np.random.default_rng([seed, 5])
    found = []
    for index, name in enumerate(NAMES):
        boxes = awkward_boxes(rng, *size) if not name.startswith("no") else np.zeros((0, 4))
        kept = np.sort(rng.permutation(len(boxes))[: rng.integers(3, len(boxes) + 1)]) if len(boxes) else []
        boxes = boxes[kept]
        found.append(
            ImageAnnotation(
                name,
                *size,
                boxes,
                tuple(CLASSES[i] for i in rng.integers(0, len(CLASSES), len(boxes))),
                rng.random(len(boxes)) < 0.4,
                tuple(EXTRAS[i] for i in rng.integers(0, len(EXTRAS), len(boxes))),
                ABOUTS[index % len(ABOUTS)],
                folder,
                name,
            )
        )
    return build_dataset("test", found, raise_error, CLASSES)


def plain_values(labels):
    """Give all that a set says, for comparison."""
    return {image.file: image.plain() for image in labels.images}


def single_image_set(folder, boxes, classes=None, name="m31.png", size=(64, 48), difficult=None, **more):
    """Make a set of one image."""
    write_images(folder, [name], size)
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    image = ImageAnnotation(
        name,
        *size,
        boxes,
        tuple(classes or ["galaxy"] * len(boxes)),
        np.zeros(len(boxes), bool) if difficult is None else np.array(difficult),
        archive=folder,
        member=name,
        **more,
    )
    return build_dataset("test", [image], raise_error)
