"""COCO JSON: one file for all images, ``bbox`` as x, y, width, height in pixels.

A difficult box is written with ``iscrowd`` 1, the only flag by which COCO's evaluation ignores a box. When reading,
``iscrowd``, ``ignore`` and ``difficult`` all mean difficult. If x + width is not bit for bit the edge of the box, the
annotation contains ``edges`` too. Further values are in ``attributes``, as in CVAT; unknown keys of other programs are
kept under ``coco``.
"""

from __future__ import annotations

import codecs
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
    other_format_values,
    parse_finite,
    parse_flag,
)
from .coco_images import IMAGES, ImageLocator
from .images import image_size, list_files, read_text, to_label_error
from .rounding import round_to_shortest
from .writing import format_json, place_images, write_text

FILE = "annotations.json"
ROUNDING_ERROR = 1e-9
"""Rounding error, in pixels, of adding and subtracting."""
IMAGE_KEYS = {"id", "file_name", "width", "height", "attributes"}
BOX_KEYS = {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore", "difficult", "attributes", "edges"}
PRESERVED_BOX_KEYS = {"area", "iscrowd"}
"""Values of other programs that may differ from ours: the area of the outline, and whether it is a crowd."""
DATASET_KEYS = {"images", "annotations", "categories"}


def find_files(path: Path) -> list[Path]:
    """List COCO files; if none is recognised, all JSON files, to report their errors."""
    if path.is_file():
        return [path]
    files = [candidate for candidate in list_files(path) if candidate.suffix.lower() == ".json"]
    return [candidate for candidate in files if sniff(candidate)] or files


def sniff(path: Path) -> bool:
    """Return whether a JSON file holds at least two of COCO's three lists."""
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
    return (
        head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{"
        and sum(f'"{key}"'.encode() in ends for key in sorted(DATASET_KEYS)) >= 2
    )


def read(path: Path, on_error: ErrorHandler, progress: Progress) -> AnnotatedDataset:
    """Read a COCO file, or the only one in a folder, and find its images.

    For the folders that are searched see `ImageLocator`.
    """
    files = find_files(path)
    if len(files) != 1:
        raise LabelError("unreadable label", str(path), f"holds {len(files)} COCO files: name one of them")
    file = files[0]
    try:
        content = json.loads(read_text(file))
        images, categories = _read_list(content, "images"), _read_list(content, "categories")
        annotations = _read_list(content, "annotations")
    except (ValueError, RecursionError, OSError) as error:
        raise LabelError("unreadable label", file.name, f"it is not a complete COCO file ({error})") from None
    names = _category_names(categories, file.name)
    boxes_of = _group_by_image(images, annotations, file.name, on_error)
    annotated, ids = [], set()
    locator = ImageLocator(file, (image.get("file_name") for image in images))
    for number, image in enumerate(images, 1):
        progress(number, len(images))
        name = f"{file.name}, image {number}"
        if _read_id(image, "id") is None:
            continue
        try:
            named = image.get("file_name")
            if not isinstance(named, str) or not named:
                raise ValueError("it has no file_name (a string)")
            name = named
            name = locator.name_in_set(named)
            if image["id"] in ids:
                raise ValueError(f"its id {image['id']!r} is also that of another image")
            ids.add(image["id"])
            if labelled := _read_one(name, image, boxes_of[image["id"]], names, number, locator, on_error):
                annotated.append(labelled)
        except (LabelError, ValueError, OSError) as error:
            on_error(to_label_error(error, name))
    notes = [f"omitted from the file: '{key}'" for key in content if key not in DATASET_KEYS and content[key]]
    return build_dataset("coco", annotated, on_error, names.values(), notes)


def _group_by_image(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], file: str, on_error: ErrorHandler
) -> dict[Any, list[dict[str, Any]]]:
    """Group annotations by image id; report images and annotations without one."""
    boxes_of: dict[Any, list[dict[str, Any]]] = {}
    for number, image in enumerate(images, 1):
        if (key := _read_id(image, "id")) is None:
            on_error(LabelError("unreadable label", f"{file}, image {number}", "it has no id (a number or a string)"))
        else:
            boxes_of[key] = []
    for annotation in annotations:
        if (key := _read_id(annotation, "image_id")) in boxes_of:
            boxes_of[key].append(annotation)
        else:
            name, image_id = annotation.get("id"), annotation.get("image_id")
            reason = f"annotation {name!r} is of image {image_id!r}, which is not listed"
            on_error(LabelError("unreadable label", file, reason))
    return boxes_of


def _read_id(element: Mapping[str, Any], key: str) -> int | float | str | None:
    """Return an id; None if there is none, or if it is not a number or a string."""
    value = element.get(key)
    return value if isinstance(value, (int, float, str)) else None


def _category_names(categories: list[dict[str, Any]], file: str) -> dict[Any, str]:
    """Return the category names by id; empty if the file has no categories."""
    names: dict[Any, str] = {}
    for number, category in enumerate(categories, 1):
        key, name = _read_id(category, "id"), category.get("name")
        if key is None or not isinstance(name, str) or not name.strip():
            raise LabelError("unreadable label", file, f"category {number} lacks its id or name")
        if key in names:
            both = f"'{names[key]}' and '{name.strip()}'"
            raise LabelError("unreadable label", file, f"two categories have the id {key!r}: {both}")
        names[key] = name.strip()
    return names


def _attributes(element: Mapping[str, Any]) -> dict[str, Any]:
    attributes = element.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise ValueError("its attributes are not an object")
    return dict(attributes)


def _read_list(content: Any, key: str) -> list[dict[str, Any]]:
    values = content.get(key) if isinstance(content, dict) else None
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise ValueError(f"it has no list '{key}' of objects")
    return values


# Long because every field of an annotation has an error of its own.
def _read_one(
    name: str,
    image: dict[str, Any],
    annotations: list[dict[str, Any]],
    names: Mapping[Any, str],
    position: int,
    locator: ImageLocator,
    on_error: ErrorHandler,
) -> ImageAnnotation | None:
    """Read an image's annotations, or report the invalid ones and return None."""
    folder = locator.find_folder(name)
    try:
        width, height = (int(parse_finite(image.get(side) or 0)) for side in ("width", "height"))
    except ValueError as error:
        raise ValueError(f"its width or height: {error}") from None
    if (width < 1 or height < 1) and folder:
        width, height = image_size((folder / name).read_bytes(), name)
    boxes, classes, difficult, extras, is_complete = [], [], [], [], True
    for number, annotation in enumerate(annotations, 1):
        try:
            boxes.append(_read_box(annotation))
            if _read_id(annotation, "category_id") not in names:
                raise ValueError(f"category {annotation.get('category_id')!r} is not listed")
            attributes = _attributes(annotation)
        except ValueError as error:
            is_complete = False
            on_error(LabelError("unreadable label", name, f"annotation {annotation.get('id', number)}: {error}"))
            continue
        classes.append(names[annotation["category_id"]])
        crowd = parse_flag(annotation.get("iscrowd"))
        difficult.append(crowd or any(parse_flag(annotation.get(key)) for key in ("ignore", "difficult")))
        others = {
            key: annotation[key] for key in annotation if key not in BOX_KEYS and annotation[key] not in ([], None)
        }
        if crowd != difficult[-1]:
            others["iscrowd"] = int(crowd)
        box_width, box_height = (parse_finite(value) for value in annotation["bbox"][2:])
        if "area" in annotation and annotation["area"] != box_width * box_height:
            others["area"] = annotation["area"]
        extras.append(attributes | ({"coco": others} if others else {}))
    if not is_complete:
        return None
    others = {key: image[key] for key in image if key not in IMAGE_KEYS and image[key] not in ("", None)}
    if image["id"] != position:
        others["id"] = image["id"]
    about = _attributes(image) | ({"coco": others} if others else {})
    location = (folder, name) if folder else (None, "")
    box_array = np.array(boxes, np.float64).reshape(-1, 4)
    return ImageAnnotation(
        name, width, height, box_array, tuple(classes), np.array(difficult, bool), tuple(extras), about, *location
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
    """Convert a bbox to edges without rounding errors: 10.1 + 20.2 is 30.3."""
    start, sums = np.array(bbox[:2]), np.array(bbox[:2]) + np.array(bbox[2:])
    rounded = round_to_shortest(sums, lambda tried: np.abs(tried - start - np.array(bbox[2:])) < ROUNDING_ERROR)
    return [*bbox[:2], *rounded.tolist()]


def to_bbox(box: list[float]) -> list[float]:
    """Return the shortest bbox that `_edges` converts back to the box, if any."""
    sizes = np.array(box[2:]) - np.array(box[:2])

    def agrees(tried: np.ndarray) -> np.ndarray:
        return np.equal(_edges([*box[:2], *tried.tolist()])[2:], box[2:])

    return [*box[:2], *round_to_shortest(sizes, agrees).tolist()]


def write(labels: AnnotatedDataset, target: Path, images: str, progress: Progress) -> None:
    """Write ``annotations.json`` and ``images/``, or one JSON file with its images."""
    single = target.suffix.lower() == ".json"
    file = target if single else target / FILE
    place_images(labels.images, file.with_name(f"{file.stem}_{IMAGES}" if single else IMAGES), images, progress)
    write_text(file, to_json(labels))


def to_json(labels: AnnotatedDataset) -> str:
    """Return a data set as COCO JSON."""
    number = {name: index for index, name in enumerate(labels.classes, 1)}
    others = [other_format_values(image.about, "coco") for image in labels.images]
    ids = [other.pop("id", position) for position, other in enumerate(others, 1)]
    if len(set(map(repr, ids))) < len(ids):  # as after sets were merged
        ids = list(range(1, len(ids) + 1))
    images, annotations = [], list[dict[str, Any]]()
    for image, key, other in zip(labels.images, ids, others, strict=True):
        about = _without_coco(image.about)
        size = {"id": key, "file_name": image.file, "width": image.width, "height": image.height}
        images.append({**other, **size, **({"attributes": about} if about else {})})
        rows = zip(image.boxes.tolist(), image.classes, image.difficult.tolist(), image.extras, strict=True)
        for box, name, flag, extra in rows:
            bbox = [int(value) if value.is_integer() else value for value in to_bbox(box)]
            annotation = {
                "id": len(annotations) + 1,
                "image_id": key,
                "category_id": number[name],
                "bbox": bbox,
                "area": bbox[2] * bbox[3],
                "iscrowd": int(flag),
                "segmentation": [],
            }
            if flag:
                annotation["ignore"] = 1
            foreign = other_format_values(extra, "coco").items()
            annotation |= {name: value for name, value in foreign if name not in BOX_KEYS - PRESERVED_BOX_KEYS}
            if own_extras := _without_coco(extra):
                annotation["attributes"] = own_extras
            if _edges(bbox) != box:
                annotation["edges"] = box
            annotations.append(annotation)
    categories = [{"id": index, "name": name, "supercategory": ""} for name, index in number.items()]
    return format_json(
        {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    )


def _without_coco(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "coco" or not isinstance(value, dict)}
