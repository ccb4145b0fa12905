"""TFRecord of tf.train.Example, with the keys that TensorFlow's object detection tools read. Needs TensorFlow.

Boxes are written as float32 shares of the picture, classes by name and by number (from 1; 0 is the background), and a
difficult box with ``difficult`` and ``is_crowd`` 1, which is what evaluations heed. ``source_id`` is a number, as the
evaluation of COCO wants it. Exact pixels and what else we know stand in a feature of our own, which those tools pass
over; it counts for the boxes that are still as they were written.
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

from ..data.sample import DataError
from .annotation import AnnotatedDataset, Complain, ImageAnnotation, LabelError, Progress, foreign, gather, of_plain
from .images import fault_of, files_in, size_of
from .rounding import recalled, simplest
from .voc import truncated
from .writing import write_text

OWN = "galaxy_edge/label"
FILE = "pictures.tfrecord"
SIDES = ("xmin", "ymin", "xmax", "ymax")
FRAMING = 16
"""Bytes of a record besides its content: length and two checksums."""
KINDS = {b"\xff\xd8": "jpeg", b"\x89P": "png", b"GI": "gif", b"BM": "bmp", b"II": "tiff", b"MM": "tiff"}
KNOWN = {
    "image/encoded",
    "image/format",
    "image/filename",
    "image/source_id",
    "image/height",
    "image/width",
    "image/key/sha256",
    OWN,
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


def _tensorflow() -> Any:
    try:
        import tensorflow
    except ImportError:
        raise DataError("TFRecords need the extra [train]: pip install 'galaxy-edge[train]'") from None
    return tensorflow


def find(files: Iterable[Path]) -> list[Path]:
    """Pick the TFRecord files, by their names."""
    return [one for one in files if re.search(r"\.(tf)?records?(-\d+-of-\d+)?$", one.name)]


def read(path: Path, complain: Complain, progress: Progress) -> AnnotatedDataset:
    """Read a TFRecord file, or all in a folder. A label map (``.pbtxt``) beside it gives the order of classes."""
    files = [path] if path.is_file() else find(files_in(path))
    tf = _tensorflow()
    numbered = _label_map((path if path.is_dir() else path.parent), files)
    found, dropped, total = [], set[str](), sum(file.stat().st_size for file in files)
    before = 0
    for file in files:
        for number, (offset, record) in enumerate(_records(file, complain), 1):
            progress(before + offset, total)
            place = f"{file.name}, record {number} at byte {offset}"
            try:
                example = tf.train.Example.FromString(record)
                dropped |= set(example.features.feature) - KNOWN
                found.append(_read_one(_Features(example), numbered, file, offset))
            except (LabelError, ValueError, OverflowError) as problem:
                complain(fault_of(problem, place))
            except Exception as fault:  # noqa: BLE001 - protobuf's own errors; its type depends on its build
                complain(LabelError("unreadable label", place, f"is no Example ({fault})"))
        before += file.stat().st_size
    notes = [f"left out of the records: feature '{name}'" for name in sorted(dropped)]
    return gather("tfrecord", found, complain, numbered.values(), notes)


def _records(file: Path, complain: Complain) -> Iterator[tuple[int, bytes]]:
    """Yield the records of a file with the bytes where they begin; complain if it does not end with a whole one."""
    tf, size, offset, number = _tensorflow(), file.stat().st_size, 0, 0
    if not size:
        complain(LabelError("unreadable label", file.name, "the file is empty"))
    with contextlib.suppress(tf.errors.DataLossError):  # told below, by what is left
        for record in tf.data.TFRecordDataset(str(file)).take(_fitting(file)).as_numpy_iterator():
            yield offset, record
            offset, number = offset + len(record) + FRAMING, number + 1
    if offset < size:  # TensorFlow passes over the beginning of a record that is shorter than its head
        complain(
            LabelError(
                "file cut short",
                file.name,
                f"is cut short or damaged in record {number + 1}, after byte "
                f"{offset}: the last {size - offset} bytes, and the records in them, cannot be read",
            )
        )


def _fitting(file: Path) -> int:
    """Count the records whose length leaves them in the file: of an absurd one, TensorFlow asks for all the memory."""
    size, offset, count = file.stat().st_size, 0, 0
    with file.open("rb") as stream:
        while head := stream.read(8):
            offset += int.from_bytes(head, "little") + FRAMING
            if offset > size:
                break
            count += 1
            stream.seek(offset)
    return count


class _Features:
    """An Example's features by name, as lists."""

    def __init__(self, example: Any) -> None:
        self._features = example.features.feature

    def numbers(self, name: str) -> list[Any]:
        if name not in self._features:  # asking a protobuf map for what it does not have would put it there
            return []
        return list(self._features[name].int64_list.value or self._features[name].float_list.value)

    def bytes(self, name: str) -> list[bytes]:
        return list(self._features[name].bytes_list.value) if name in self._features else []

    def text(self, name: str) -> str:
        found = self.bytes(name)
        return found[0].decode() if found else ""


def _read_one(features: _Features, numbered: Mapping[int, str], file: Path, offset: int) -> ImageAnnotation:
    content = (features.bytes("image/encoded") or [b""])[0]
    source, ending = features.text("image/source_id"), features.text("image/format") or "jpeg"
    name = features.text("image/filename") or f"{source or offset}.{'jpg' if ending == 'jpeg' else ending}"
    width, height = (int((features.numbers(f"image/{side}") or [0])[0]) for side in ("width", "height"))
    if width < 1 or height < 1:
        width, height = size_of(content)
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
    boxes = simplest(shares.astype(np.float64) * scale, lambda tried: (tried / scale).astype(np.float32) == shares)
    place = (file, f"@{offset}") if content else (None, "")
    read = ImageAnnotation(name, width, height, boxes, tuple(classes), difficult, tuple(extras), {}, *place)
    for extra, box, cut in zip(extras, boxes.tolist(), features.numbers("image/object/truncated"), strict=False):
        extra.update({"truncated": str(int(cut))} if str(int(cut)) != truncated(box, width, height) else {})
    own = features.text(OWN)
    if not own:
        return read
    try:
        remembered = of_plain(json.loads(own))
    except (ValueError, RecursionError):
        raise ValueError(f"the record '{OWN}' of {name} is damaged") from None
    keys = [(*row.tolist(), label, flag) for row, label, flag in zip(shares, classes, difficult, strict=True)]
    return recalled(read, keys, remembered, _keys_of)


def _keys_of(one: ImageAnnotation) -> list[Hashable]:
    shares = _shares(one)
    return [(*row.tolist(), label, flag) for row, label, flag in zip(shares, one.classes, one.difficult, strict=True)]


def _shares(one: ImageAnnotation) -> np.ndarray:
    return (one.boxes / np.array([one.width, one.height] * 2, np.float64)).astype(np.float32)


def read_picture(file: Path, offset: int) -> bytes:
    """Read the encoded picture of the record that begins at a byte of a TFRecord file.

    Raises:
        OSError: there is no whole record.
    """
    with file.open("rb") as stream:
        stream.seek(offset)
        length = int.from_bytes(stream.read(8), "little")
        if offset + length + FRAMING > file.stat().st_size:
            raise OSError(f"the record at byte {offset} is cut short")
        stream.read(4)
        content = stream.read(length)
    return (_Features(_tensorflow().train.Example.FromString(content)).bytes("image/encoded") or [b""])[0]


def _label_map(folder: Path, files: Sequence[Path]) -> dict[int, str]:
    """Read the items of the label map beside TFRecords, by number; of several, the one named as the file."""
    maps = sorted(folder.glob("*.pbtxt"), key=lambda one: (all(one.stem != file.stem for file in files), one.name))
    if not maps:
        return {}
    try:
        text = maps[0].read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise fault_of(problem, maps[0].name) from None
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
    """Write one TFRecord file, and a label map beside it. The pictures are in it.

    Raises:
        DataError: the pictures were to be linked or left out.
    """
    if images != "copy":
        raise DataError(f"a TFRecord holds the pictures themselves: use --images copy, not {images}")
    tf = _tensorflow()
    file = target if find([target]) else target / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    number = {name: index for index, name in enumerate(labels.classes, 1)}
    expected = 0
    try:
        with tf.io.TFRecordWriter(str(file)) as writer:
            for place, one in enumerate(labels.pictures, 1):
                progress(place, len(labels.pictures))
                record = to_example(one, place, number).SerializeToString()
                writer.write(record)
                expected += len(record) + FRAMING
    except tf.errors.OpError as problem:
        raise OSError(None, str(problem).partition("; ")[2] or str(problem)) from None  # the place is told by `staged`
    if file.stat().st_size != expected:
        raise OSError(None, "the disk did not take all of it")
    items = "".join(
        f"item {{\n  id: {index}\n  name: {json.dumps(name, ensure_ascii=False)}\n}}\n"
        for name, index in number.items()
    )
    write_text(file.with_name(f"{file.stem}.pbtxt"), items)


def to_example(one: ImageAnnotation, source: int, number: Mapping[str, int]) -> Any:
    """Make the tf.train.Example of a picture.

    Args:
        source: its number; number: of each class, from 1.
    """
    train = _tensorflow().train
    content = one.read_bytes()
    shares, box = _shares(one), one.boxes

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
        int(foreign(extra, "coco").get("iscrowd", flag)) for extra, flag in zip(one.extras, one.difficult, strict=True)
    ]
    cut = [
        int(str(extra.get("truncated", truncated(row, one.width, one.height))) == "1")
        for extra, row in zip(one.extras, box.tolist(), strict=True)
    ]
    features = {
        "image/encoded": texts(content),
        "image/format": texts(kind_of_picture(content)),
        "image/filename": texts(one.file),
        "image/source_id": texts(str(source)),
        "image/key/sha256": texts(hashlib.sha256(content).hexdigest()),
        "image/height": integers(one.height),
        "image/width": integers(one.width),
        "image/object/class/text": texts(*one.classes),
        "image/object/class/label": integers(*(number[name] for name in one.classes)),
        "image/object/difficult": integers(*one.difficult.astype(int).tolist()),
        "image/object/is_crowd": integers(*crowd),
        "image/object/truncated": integers(*cut),
        "image/object/view": texts(*(str(extra.get("pose", "Unspecified")) for extra in one.extras)),
        "image/object/area": floats((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])),
        OWN: texts(json.dumps(one.plain(), ensure_ascii=False, allow_nan=False)),
    }
    features |= {f"image/object/bbox/{side}": floats(shares[:, place]) for place, side in enumerate(SIDES)}
    return train.Example(features=train.Features(feature=features))


def kind_of_picture(content: bytes) -> str:
    """Name a picture's encoding by its first bytes, as ``image/format`` does."""
    return KINDS.get(content[:2], "raw")
