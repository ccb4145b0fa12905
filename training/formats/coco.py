"""COCO JSON: one file for all pictures, ``bbox`` as x, y, width, height in pixels.

A difficult box is written with ``iscrowd`` 1, the only flag that COCO's evaluation heeds: what is found there counts
neither way. Read, ``iscrowd``, ``ignore`` and ``difficult`` all say so. Where x + width is not to the last bit the edge
that was meant, the edges stand in the annotation too. What else we know stands in ``attributes``, as CVAT has it, and
unknown keys of others are kept under ``coco``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .annotation import (
    AnnotatedDataset,
    ErrorHandler,
    ImageAnnotation,
    LabelError,
    Progress,
    build_dataset,
    normalise_name,
    other_format_values,
    parse_finite,
)
from .images import image_size, list_files, to_label_error
from .rounding import round_to_shortest
from .writing import format_json, place_images, write_text

FILE, IMAGES = "annotations.json", "images"
ROUNDING_ERROR = 1e-9
"""Pixels by which adding and subtracting may be off."""
IMAGE_KEYS = {"id", "file_name", "width", "height", "attributes"}
BOX_KEYS = {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore", "difficult", "attributes", "edges"}
PRESERVED_BOX_KEYS = {"area", "iscrowd"}
"""What others may have said of a box otherwise than we would: the area of its outline, and that it is no crowd."""
DATASET_KEYS = {"images", "annotations", "categories"}


def find_files(path: Path) -> list[Path]:
    """List the COCO files of a folder, by what is in them; a file is its own list.

    If none is recognised, all JSON files are listed, so that reading a broken one reports what is wrong with it.
    """
    if path.is_file():
        return [path]
    files = [one for one in list_files(path) if one.suffix.lower() == ".json"]
    return [one for one in files if sniff(one)] or files


def sniff(path: Path) -> bool:
    """Return whether a file looks like COCO: an object with at least two of its three lists."""
    if path.suffix.lower() != ".json":
        return False
    try:
        with path.open("rb") as stream:
            head = stream.read(1 << 16)
            stream.seek(max(0, path.stat().st_size - (1 << 16)))
            ends = head + stream.read()
    except OSError:
        return False
    # The three lists may come in any order and be long, so that all need not show.
    return head.lstrip()[:1] == b"{" and sum(f'"{key}"'.encode() in ends for key in sorted(DATASET_KEYS)) >= 2


def read(path: Path, on_error: ErrorHandler, progress: Progress) -> AnnotatedDataset:
    """Read a COCO file, or the one in a folder; images are next to it, in ``images``, or in a folder of its name."""
    files = find_files(path)
    if len(files) != 1:
        raise LabelError("unreadable label", str(path), f"holds {len(files)} COCO files: name one of them")
    file = files[0]
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        images, categories = _read_list(content, "images"), _read_list(content, "categories")
        annotations = _read_list(content, "annotations")
    except (ValueError, RecursionError, OSError) as error:
        raise LabelError("unreadable label", file.name, f"it is no whole COCO file ({error})") from None
    names = _category_names(categories, file.name)
    boxes_of: dict[Any, list[dict[str, Any]]] = {}
    for place, one in enumerate(images, 1):
        if (key := _read_id(one, "id")) is None:
            on_error(LabelError("unreadable label", f"{file.name}, image {place}", "it has no id, a number or a text"))
        else:
            boxes_of[key] = []
    for one in annotations:
        if (key := _read_id(one, "image_id")) in boxes_of:
            boxes_of[key].append(one)
        else:
            on_error(
                LabelError(
                    "unreadable label",
                    file.name,
                    f"annotation {one.get('id')!r} is of image {one.get('image_id')!r}, which is not listed",
                )
            )
    found, ids = [], set()
    for place, image in enumerate(images, 1):
        progress(place, len(images))
        name = f"{file.name}, image {place}"
        if _read_id(image, "id") is None:
            continue
        try:
            named = image.get("file_name")
            if not isinstance(named, str) or not named:
                raise ValueError("it has no file_name, a text")
            name = normalise_name(named)
            if image["id"] in ids:
                raise ValueError(f"its id {image['id']!r} is another image's too")
            ids.add(image["id"])
            if labelled := _read_one(name, image, boxes_of[image["id"]], names, place, file, on_error):
                found.append(labelled)
        except (LabelError, ValueError, OSError) as error:
            on_error(to_label_error(error, name))
    notes = [f"left out of the file: '{key}'" for key in content if key not in DATASET_KEYS and content[key]]
    return build_dataset("coco", found, on_error, names.values(), notes)


def _read_id(one: Mapping[str, Any], key: str) -> int | float | str | None:
    """Give an id; None where there is none, or one of a kind that no list of ids can hold."""
    value = one.get(key)
    return value if isinstance(value, (int, float, str)) else None


def _category_names(categories: list[dict[str, Any]], file: str) -> dict[Any, str]:
    """Read the names of categories by their ids; without them no box in the file means anything."""
    names: dict[Any, str] = {}
    for place, one in enumerate(categories, 1):
        key, name = _read_id(one, "id"), one.get("name")
        if key is None or not isinstance(name, str) or not name.strip():
            raise LabelError("unreadable label", file, f"category {place} lacks its id or name")
        if key in names:
            both = f"'{names[key]}' and '{name.strip()}'"
            raise LabelError("unreadable label", file, f"two categories have the id {key!r}: {both}")
        names[key] = name.strip()
    return names


def _attributes(one: Mapping[str, Any]) -> dict[str, Any]:
    found = one.get("attributes") or {}
    if not isinstance(found, dict):
        raise ValueError("its attributes are no object")
    return dict(found)


def _read_list(content: Any, key: str) -> list[dict[str, Any]]:
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"it has no list '{key}' of objects")
    return found


# Long because every field of an annotation has a fault of its own.
def _read_one(
    name: str,
    image: dict[str, Any],
    annotations: list[dict[str, Any]],
    names: Mapping[Any, str],
    place: int,
    file: Path,
    on_error: ErrorHandler,
) -> ImageAnnotation | None:
    """Make the labels of an image; None if an annotation cannot be read: `on_error` is called with each."""
    folder = _find_image_folder(name, file)
    try:
        width, height = (int(parse_finite(image.get(side) or 0)) for side in ("width", "height"))
    except ValueError as fault:
        raise ValueError(f"its width or height: {fault}") from None
    if (width < 1 or height < 1) and folder:
        width, height = image_size((folder / name).read_bytes())
    boxes, classes, difficult, extras, whole = [], [], [], [], True
    for number, one in enumerate(annotations, 1):
        try:
            boxes.append(_read_box(one))
            if _read_id(one, "category_id") not in names:
                raise ValueError(f"category {one.get('category_id')!r} is not listed")
            attributes = _attributes(one)
        except ValueError as fault:
            whole = False
            on_error(LabelError("unreadable label", name, f"annotation {one.get('id', number)}: {fault}"))
            continue
        classes.append(names[one["category_id"]])
        crowd = bool(one.get("iscrowd", 0))
        difficult.append(crowd or bool(one.get("ignore", 0)) or bool(one.get("difficult", False)))
        others = {key: one[key] for key in one if key not in BOX_KEYS and one[key] not in ([], None)}
        if crowd != difficult[-1]:
            others["iscrowd"] = int(crowd)
        if "area" in one and one["area"] != parse_finite(one["bbox"][2]) * parse_finite(one["bbox"][3]):
            others["area"] = one["area"]
        extras.append(attributes | ({"coco": others} if others else {}))
    if not whole:
        return None
    others = {key: image[key] for key in image if key not in IMAGE_KEYS and image[key] not in ("", None)}
    if image["id"] != place:
        others["id"] = image["id"]
    about = _attributes(image) | ({"coco": others} if others else {})
    return ImageAnnotation(
        name,
        width,
        height,
        np.array(boxes, np.float64).reshape(-1, 4),
        tuple(classes),
        np.array(difficult, bool),
        tuple(extras),
        about,
        folder,
        name if folder else "",
    )


def _read_box(annotation: Mapping[str, Any]) -> list[float]:
    numbers = annotation.get("bbox")
    if not isinstance(numbers, list) or len(numbers) != 4:
        raise ValueError("it has no bbox of four numbers")
    bbox = [parse_finite(value) for value in numbers]
    edges = annotation.get("edges")
    if isinstance(edges, list) and len(edges) == 4:
        kept = [parse_finite(value) for value in edges]
        if to_bbox(kept) == bbox:
            return kept
    return _edges(bbox)


def _edges(bbox: list[float]) -> list[float]:
    """Add sizes to corners. 10.1 + 20.2 is 30.3 here, as was meant, where floating point has 30.299999999999997."""
    start, sums = np.array(bbox[:2]), np.array(bbox[:2]) + np.array(bbox[2:])
    rounded = round_to_shortest(sums, lambda tried: np.abs(tried - start - np.array(bbox[2:])) < ROUNDING_ERROR)
    return [*bbox[:2], *rounded.tolist()]


def to_bbox(box: list[float]) -> list[float]:
    """Turn a box into x, y, width and height: the roundest that `_edges` would turn back, if there are such."""
    sizes = np.array(box[2:]) - np.array(box[:2])

    def agrees(tried: np.ndarray) -> np.ndarray:
        return np.equal(_edges([*box[:2], *tried.tolist()])[2:], box[2:])

    return [*box[:2], *round_to_shortest(sizes, agrees).tolist()]


def _find_image_folder(name: str, file: Path) -> Path | None:
    """Find the folder that a picture's name begins in."""
    here, up = file.parent, file.parent.parent
    stem = file.stem.removeprefix("instances_")
    places = [here / IMAGES, here, here / f"{file.stem}_{IMAGES}", up / IMAGES, up / stem, up / IMAGES / stem, up]
    return next((place for place in places if (place / name).is_file()), None)


def write(labels: AnnotatedDataset, target: Path, images: str, progress: Progress) -> None:
    """Write a folder with ``annotations.json`` and ``images/``; of a file, the images are written next to it."""
    single = target.suffix.lower() == ".json"
    file = target if single else target / FILE
    place_images(labels.images, file.with_name(f"{file.stem}_{IMAGES}" if single else IMAGES), images, progress)
    write_text(file, to_json(labels))


def to_json(labels: AnnotatedDataset) -> str:
    """Give a set as COCO JSON."""
    number = {name: index for index, name in enumerate(labels.classes, 1)}
    others = [other_format_values(one.about, "coco") for one in labels.images]
    ids = [other.pop("id", place) for place, other in enumerate(others, 1)]
    if len(set(map(repr, ids))) < len(ids):  # as when sets were put together
        ids = list(range(1, len(ids) + 1))
    pictures, annotations = [], list[dict[str, Any]]()
    for one, key, other in zip(labels.images, ids, others, strict=True):
        about = _without_coco(one.about)
        size = {"id": key, "file_name": one.file, "width": one.width, "height": one.height}
        pictures.append({**other, **size, **({"attributes": about} if about else {})})
        rows = zip(one.boxes.tolist(), one.classes, one.difficult.tolist(), one.extras, strict=True)
        for box, name, flag, extra in rows:
            bbox = [int(value) if value.is_integer() else value for value in to_bbox(box)]
            plain = {
                "id": len(annotations) + 1,
                "image_id": key,
                "category_id": number[name],
                "bbox": bbox,
                "area": bbox[2] * bbox[3],
                "iscrowd": int(flag),
                "segmentation": [],
            }
            if flag:
                plain["ignore"] = 1
            kept = other_format_values(extra, "coco").items()
            plain |= {name: value for name, value in kept if name not in BOX_KEYS - PRESERVED_BOX_KEYS}
            if rest := _without_coco(extra):
                plain["attributes"] = rest
            if _edges(bbox) != box:
                plain["edges"] = box
            annotations.append(plain)
    categories = [{"id": index, "name": name, "supercategory": ""} for name, index in number.items()]
    return format_json(
        {"info": {}, "licenses": [], "images": pictures, "annotations": annotations, "categories": categories}
    )


def _without_coco(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "coco" or not isinstance(value, dict)}
