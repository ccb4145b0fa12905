"""TFRecord files with the keys of TensorFlow's object detection tools.

Each record is a tf.train.Example; reading and writing need TensorFlow.

Boxes are written as float32, relative to the image size, classes by name and by number (from 1; 0 is the background),
and a difficult box with ``difficult`` and ``is_crowd`` 1, which evaluations use. ``source_id`` is a number, as COCO's
evaluation requires. Exact pixels and further values are in an additional feature, which other tools ignore; it is used
for boxes that have not changed since they were written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.errors import DataError
from ..data.tfrecord_files import FRAMING_BYTES, ExampleFeatures, count_fitting_records, load_tensorflow
from .annotation import (
    AnnotatedDataset,
    ErrorHandler,
    ImageAnnotation,
    LabelError,
    Progress,
    annotation_from_json,
    build_dataset,
    other_format_values,
)
from .images import image_size, list_files, read_text, to_label_error
from .rounding import restore_from_record, round_to_shortest
from .voc import truncated_flag
from .writing import write_text

OWN_FEATURE = "galaxy_edge/label"
FILE = "pictures.tfrecord"
SIDES = ("xmin", "ymin", "xmax", "ymax")
ENCODINGS = {b"\xff\xd8": "jpeg", b"\x89P": "png", b"GI": "gif", b"BM": "bmp", b"II": "tiff", b"MM": "tiff"}
KNOWN_FEATURES = {
    "image/encoded",
    "image/format",
    "image/filename",
    "image/source_id",
    "image/height",
    "image/width",
    "image/key/sha256",
    OWN_FEATURE,
    *(
        f"image/object/{key}"
        for key in (
            *(f"bbox/{side}" for side in SIDES),
            "class/text",
            "class/label",
            "difficult",
            "truncated",
            "view",
            "is_crowd",
            "area",
        )
    ),
}


def find_files(files: Iterable[Path]) -> list[Path]:
    """Return the TFRecord files, recognised by name."""
    return [path for path in files if re.search(r"\.(tf)?records?(-\d+-of-\d+)?$", path.name)]


def read(path: Path, on_error: ErrorHandler, progress: Progress) -> AnnotatedDataset:
    """Read a TFRecord file, or all in a folder.

    A label map (``.pbtxt``) next to it gives the order of classes.
    """
    files = [path] if path.is_file() else find_files(list_files(path))
    tf = load_tensorflow()
    numbered = _read_label_map((path if path.is_dir() else path.parent), files)
    annotations, unknown, total = [], set[str](), sum(file.stat().st_size for file in files)
    before = 0
    for file in files:
        for number, (offset, record) in enumerate(_records(file, on_error), 1):
            progress(before + offset, total)
            location = f"{file.name}, record {number} at byte {offset}"
            try:
                example = tf.train.Example.FromString(record)
                unknown |= set(example.features.feature) - KNOWN_FEATURES
                annotations.append(_read_one(ExampleFeatures(example), numbered, file, offset))
            except (LabelError, ValueError, OverflowError) as error:
                on_error(to_label_error(error, location))
            except Exception as error:  # noqa: BLE001 - protobuf's own errors; its type depends on its build
                on_error(LabelError("unreadable label", location, f"is not an Example ({error})"))
        before += file.stat().st_size
    notes = [f"omitted from the records: feature '{name}'" for name in sorted(unknown)]
    return build_dataset("tfrecord", annotations, on_error, numbered.values(), notes)


def _records(file: Path, on_error: ErrorHandler) -> Iterator[tuple[int, bytes]]:
    """Yield the records of a file with their byte offsets.

    An incomplete last record is reported to `on_error`.
    """
    tf, size, offset, number = load_tensorflow(), file.stat().st_size, 0, 0
    if not size:
        on_error(LabelError("unreadable label", file.name, "the file is empty"))
    with contextlib.suppress(tf.errors.DataLossError):  # reported below
        for record in tf.data.TFRecordDataset(str(file)).take(count_fitting_records(file)).as_numpy_iterator():
            yield offset, record
            offset, number = offset + len(record) + FRAMING_BYTES, number + 1
    if offset < size:  # TensorFlow ignores a last record that is shorter than its header
        on_error(
            LabelError(
                "file cut short",
                file.name,
                f"is cut short or damaged in record {number + 1}, after byte "
                f"{offset}: the last {size - offset} bytes, and the records in them, cannot be read",
            )
        )


def _read_one(features: ExampleFeatures, numbered: Mapping[int, str], file: Path, offset: int) -> ImageAnnotation:
    content = (features.bytes("image/encoded") or [b""])[0]
    source, encoding = features.text("image/source_id"), features.text("image/format") or "jpeg"
    name = features.text("image/filename") or f"{source or offset}.{'jpg' if encoding == 'jpeg' else encoding}"
    width, height = (int((features.numbers(f"image/{side}") or [0])[0]) for side in ("width", "height"))
    if width < 1 or height < 1:
        width, height = image_size(content, name)
    columns = [features.numbers(f"image/object/bbox/{side}") for side in SIDES]
    count = len(columns[0])
    labels, texts = features.numbers("image/object/class/label"), features.bytes("image/object/class/text")
    classes = [text.decode().strip() for text in texts] or [numbered.get(int(n), f"class {int(n)}") for n in labels]
    flags = [features.numbers(f"image/object/{key}") or [0] * count for key in ("difficult", "is_crowd")]
    if {len(column) for column in (*columns, classes, *flags)} != {count}:
        raise ValueError(f"{name} has differing numbers of edges, classes and flags")
    shares = np.array(columns, np.float32).reshape(4, count).T
    difficult = np.array(flags[0], bool) | np.array(flags[1], bool)
    extras = [dict[str, Any]() for _ in range(count)]
    for extra, view in zip(extras, features.bytes("image/object/view"), strict=False):
        extra.update({"pose": view.decode()} if view not in (b"", b"Unspecified") else {})
    scale = np.array([width, height] * 2, np.float64)
    boxes = round_to_shortest(
        shares.astype(np.float64) * scale, lambda tried: (tried / scale).astype(np.float32) == shares
    )
    location = (file, f"@{offset}") if content else (None, "")
    annotation = ImageAnnotation(name, width, height, boxes, tuple(classes), difficult, tuple(extras), {}, *location)
    for extra, box, truncated in zip(extras, boxes.tolist(), features.numbers("image/object/truncated"), strict=False):
        extra.update(
            {"truncated": str(int(truncated))} if str(int(truncated)) != truncated_flag(box, width, height) else {}
        )
    own_feature = features.text(OWN_FEATURE)
    if not own_feature:
        return annotation
    try:
        record = annotation_from_json(json.loads(own_feature))
    except (ValueError, RecursionError):
        raise ValueError(f"the record '{OWN_FEATURE}' of {name} is damaged") from None
    keys = [(*row.tolist(), label, flag) for row, label, flag in zip(shares, classes, difficult, strict=True)]
    return restore_from_record(annotation, keys, record, _row_keys)


def _row_keys(image: ImageAnnotation) -> list[Hashable]:
    shares = _relative_boxes(image)
    return [
        (*row.tolist(), label, flag) for row, label, flag in zip(shares, image.classes, image.difficult, strict=True)
    ]


def _relative_boxes(image: ImageAnnotation) -> np.ndarray:
    return (image.boxes / np.array([image.width, image.height] * 2, np.float64)).astype(np.float32)


def _read_label_map(folder: Path, files: Sequence[Path]) -> dict[int, str]:
    """Read the label map next to TFRecord files: number -> class name.

    Of several maps, the one with the name of a file is read.
    """
    maps = sorted(folder.glob("*.pbtxt"), key=lambda path: (all(path.stem != file.stem for file in files), path.name))
    if not maps:
        return {}
    try:
        text = read_text(maps[0])
    except (OSError, UnicodeDecodeError) as error:
        raise to_label_error(error, maps[0].name) from None
    items = {}
    for item in re.findall(r"item\s*\{((?:\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[^{}\"'])*)\}", text):
        number = re.search(r"\bid\s*:\s*(\d+)", item)
        name = re.search(r"\bname\s*:\s*(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')", item)
        if number and name:
            inner = name[1][1:-1]
            with contextlib.suppress(ValueError):
                inner = json.loads(f'"{inner}"')
            items[int(number[1])] = inner.strip()
    return dict(sorted(items.items()))


def write(labels: AnnotatedDataset, target: Path, images: str, progress: Progress) -> None:
    """Write one TFRecord file, which contains the images, and a label map next to it.

    Raises:
        DataError: the images are to be linked or omitted.
    """
    if images != "copy":
        raise DataError(f"a TFRecord contains the images themselves: use --images copy, not {images}")
    tf = load_tensorflow()
    file = target if find_files([target]) else target / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    number = {name: index for index, name in enumerate(labels.classes, 1)}
    expected = 0
    try:
        with tf.io.TFRecordWriter(str(file)) as writer:
            for number_of_image, image in enumerate(labels.images, 1):
                progress(number_of_image, len(labels.images))
                record = to_example(image, number_of_image, number).SerializeToString()
                writer.write(record)
                expected += len(record) + FRAMING_BYTES
    except tf.errors.OpError as error:
        raise OSError(None, str(error).partition("; ")[2] or str(error)) from None  # `staged_output` adds the path
    if file.stat().st_size != expected:
        raise OSError(None, "the disk did not store the complete file")
    items = "".join(
        f"item {{\n  id: {index}\n  name: {json.dumps(name, ensure_ascii=False)}\n}}\n"
        for name, index in number.items()
    )
    write_text(file.with_name(f"{file.stem}.pbtxt"), items)


def to_example(image: ImageAnnotation, source: int, number: Mapping[str, int]) -> Any:
    """Return the tf.train.Example of an image.

    Args:
        source: number of the image, for ``source_id``; number: class number by name, from 1.
    """
    train = load_tensorflow().train
    content = image.read_bytes()
    shares, box = _relative_boxes(image), image.boxes

    def texts(*values: str | bytes) -> Any:
        return train.Feature(
            bytes_list=train.BytesList(
                value=[value if isinstance(value, bytes) else value.encode() for value in values]
            )
        )

    def integers(*values: int) -> Any:
        return train.Feature(int64_list=train.Int64List(value=values))

    def floats(values: np.ndarray) -> Any:
        return train.Feature(float_list=train.FloatList(value=values))

    crowd = [
        int(other_format_values(extra, "coco").get("iscrowd", flag))
        for extra, flag in zip(image.extras, image.difficult, strict=True)
    ]
    truncated = [
        int(str(extra.get("truncated", truncated_flag(row, image.width, image.height))) == "1")
        for extra, row in zip(image.extras, box.tolist(), strict=True)
    ]
    features = {
        "image/encoded": texts(content),
        "image/format": texts(encoding_name(content)),
        "image/filename": texts(image.file),
        "image/source_id": texts(str(source)),
        "image/key/sha256": texts(hashlib.sha256(content).hexdigest()),
        "image/height": integers(image.height),
        "image/width": integers(image.width),
        "image/object/class/text": texts(*image.classes),
        "image/object/class/label": integers(*(number[name] for name in image.classes)),
        "image/object/difficult": integers(*image.difficult.astype(int).tolist()),
        "image/object/is_crowd": integers(*crowd),
        "image/object/truncated": integers(*truncated),
        "image/object/view": texts(*(str(extra.get("pose", "Unspecified")) for extra in image.extras)),
        "image/object/area": floats((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])),
        OWN_FEATURE: texts(json.dumps(image.plain(), ensure_ascii=False, allow_nan=False)),
    }
    features |= {f"image/object/bbox/{side}": floats(shares[:, column]) for column, side in enumerate(SIDES)}
    return train.Example(features=train.Features(feature=features))


def encoding_name(content: bytes) -> str:
    """Return an image's encoding, from its first bytes, as ``image/format`` names it."""
    return ENCODINGS.get(content[:2], "raw")
