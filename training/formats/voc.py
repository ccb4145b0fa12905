"""Pascal VOC XML as labelImg 1.8 writes it: one file per image, next to it.

Pixel coordinates are used unchanged. labelImg writes the position of the mouse in the image, truncated to a whole pixel
and at least 1, and not the 1-based, inclusive pixels of the VOC challenge. Numbers with decimals are allowed (labelImg
reads them and truncates them when it saves). Values that labelImg does not know are in ``attributes``, as in CVAT.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...models.images.decoder import SUFFIXES
from .annotation import (
    AnnotatedDataset,
    ErrorHandler,
    ImageAnnotation,
    LabelError,
    Progress,
    build_dataset,
    normalise_name,
    parse_finite,
    validate_text,
)
from .class_names import read_classes
from .foreign_paths import ImageIndex, is_foreign, path_parts
from .images import image_size, is_image_file, list_files, to_label_error
from .writing import ensure_unique, place_images, write_text

CLASSES = "classes.txt"
SIDES = ("xmin", "ymin", "xmax", "ymax")
IMAGE_TAGS = {"folder", "filename", "path", "source", "size", "segmented", "object", "attributes"}
BOX_TAGS = {"name", "pose", "truncated", "difficult", "bndbox", "attributes"}


class _SafeTreeBuilder(ET.TreeBuilder):
    """A tree builder that refuses document types and entities.

    Labels do not need these declarations, and attacks use them.
    """

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which is refused: labels do not need one")


def read(folder: Path, on_error: ErrorHandler, progress: Progress) -> AnnotatedDataset:
    """Read the XML labels in a folder and its subfolders.

    An image's name is its path in the folder; ``path`` is ignored. An image without an XML is not part of the set: in
    labelImg, an image without a galaxy is marked by verifying it (space), which writes an XML without an object.
    """
    files = list(list_files(folder))
    labels = [path for path in files if path.suffix.lower() == ".xml"]
    images = {path.relative_to(folder).as_posix(): is_image_file(path) for path in files}
    index = ImageIndex(name for name, is_image in images.items() if is_image)
    annotations, notes, omitted = [], [], dict[str, int]()
    for done, path in enumerate(labels):
        progress(done, len(labels))
        name = path.relative_to(folder).as_posix()
        try:
            root = _parse(path)
            if root.tag != "annotation":
                notes.append(f"not a label, as its root is <{root.tag}>: {name}")
                continue
            if annotation := _read_one(root, folder, name, images, index, omitted, on_error):
                annotations.append(annotation)
        except (LabelError, ValueError, OSError) as error:
            on_error(to_label_error(error, name))
    # An image whose label cannot be read has been reported above.
    used = {annotation.file for annotation in annotations} | {
        path.relative_to(folder).with_suffix(end).as_posix()
        for path in labels
        for suffix in SUFFIXES
        for end in (suffix, suffix.upper())
    }
    unlabelled = [name for name, is_image in images.items() if is_image and name not in used]
    if unlabelled:
        notes.append(f"images without an XML, omitted: {len(unlabelled)}, e.g. {unlabelled[0]}")
    notes += [f"<{tag}> omitted: {count}" for tag, count in omitted.items()]
    classes = read_classes(folder / CLASSES)
    return build_dataset("voc", annotations, on_error, classes, notes)


def _parse(path: Path) -> ET.Element:
    try:
        return ET.fromstring(path.read_bytes(), ET.XMLParser(target=_SafeTreeBuilder()))
    except ET.ParseError as error:
        raise ValueError(f"it is not complete XML ({error})") from None
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"it is not XML text ({error})") from None


def _text(element: ET.Element, tag: str, default: str | None = None) -> str:
    value = element.findtext(tag)
    if value is None:
        if default is None:
            raise ValueError(f"<{element.tag}> has no <{tag}>")
        return default
    return value


# Long because every field of an object has an error of its own.
def _read_one(
    root: ET.Element,
    folder: Path,
    name: str,
    images: Container[str],
    index: ImageIndex,
    omitted: dict[str, int],
    on_error: ErrorHandler,
) -> ImageAnnotation | None:
    """Read an XML file's annotations, or report its invalid objects and return None."""
    try:
        filename = _text(root, "filename")
        named = path_parts(filename)[-1] if is_foreign(filename) else normalise_name(filename)
        image = _find_image(named, Path(name), _text(root, "folder", ""), images)
        if image not in images and is_foreign(filename):
            image = index.find(filename)
    except ValueError as error:
        raise ValueError(f"<filename> {error}") from None
    exists = image in images
    width, height = (int(parse_finite(_text(root, f"size/{side}", "0"))) for side in ("width", "height"))
    if (width < 1 or height < 1) and exists:  # as some programs write that did not open the image
        width, height = image_size((folder / image).read_bytes(), image)
    boxes, classes, difficult, extras, is_complete = [], [], [], [], True
    for number, element in enumerate(root.findall("object"), 1):
        try:
            box = element.find("bndbox")
            if box is None:
                raise ValueError("it has no <bndbox>")
            boxes.append([parse_finite(_text(box, side)) for side in SIDES])
            classes.append(_text(element, "name").strip())
            difficult.append(_parse_flag(_text(element, "difficult", "0")))
            extra = _read_attributes(element)
            pose, truncated = _text(element, "pose", "Unspecified"), _text(element, "truncated", "")
            if pose not in ("Unspecified", ""):
                extra["pose"] = pose
            if truncated and truncated != truncated_flag(boxes[-1], width, height):
                extra["truncated"] = truncated
            extras.append(extra)
        except ValueError as error:
            is_complete = False
            on_error(LabelError("unreadable label", name, f"object {number}: {error}"))
        _count_unknown(omitted, element, BOX_TAGS)
    _count_unknown(omitted, root, IMAGE_TAGS)
    if not is_complete:
        return None
    about = _read_attributes(root)
    if root.get("verified") == "yes":
        about["verified"] = True
    for tag, default in (("size/depth", "3"), ("source/database", "Unknown"), ("segmented", "0")):
        if (value := _text(root, tag, default)) != default:
            about[tag.split("/")[-1]] = value
    location = (folder, image) if exists else (None, "")
    box_array = np.array(boxes, np.float64).reshape(-1, 4)
    return ImageAnnotation(
        image, width, height, box_array, tuple(classes), np.array(difficult, bool), tuple(extras), about, *location
    )


def _find_image(filename: str, label: Path, folder: str, images: Container[str]) -> str:
    """Return the name of a label's image: the first candidate that exists."""
    folder_of_label, parent = label.parent, label.parent.parent
    candidates = [
        candidate / filename
        for candidate in (folder_of_label, parent / "JPEGImages", parent / "images", parent, parent / folder, Path())
    ]
    # The image was renamed (labelImg uses the name of the XML), or an old version omitted the suffix.
    candidates += [label.with_suffix(end) for suffix in SUFFIXES for end in (suffix, suffix.upper())]
    return next((path.as_posix() for path in candidates if path.as_posix() in images), candidates[0].as_posix())


def _parse_flag(text: str) -> bool:
    if text.strip() not in ("0", "1"):
        raise ValueError(f"<difficult> is '{text}', not 0 or 1")
    return text.strip() == "1"


def _count_unknown(omitted: dict[str, int], element: ET.Element, known: set[str]) -> None:
    for child in element:
        if child.tag not in known:
            omitted[child.tag] = omitted.get(child.tag, 0) + 1


def _read_attributes(element: ET.Element) -> dict[str, Any]:
    attributes = {}
    for attribute in element.findall("attributes/attribute"):
        value = attribute.find("value")
        text = "" if value is None else value.text or ""
        try:
            attributes[_text(attribute, "name")] = (
                json.loads(text) if value is not None and value.get("type") == "json" else text
            )
        except RecursionError:
            raise ValueError("an attribute is nested too deeply") from None
    return attributes


def write(labels: AnnotatedDataset, folder: Path, images: str, progress: Progress) -> None:
    """Write images, an XML file next to each, and ``classes.txt`` (known classes).

    Raises:
        DataError: two images would have the same XML.
    """
    names = [Path(image.file).with_suffix(".xml").as_posix() for image in labels.images]
    ensure_unique([*names, *(image.file for image in labels.images), CLASSES], "label")
    place_images(labels.images, folder, images, progress)
    for image, name in zip(labels.images, names, strict=True):
        write_text(folder / name, to_xml(image, folder.name))
    write_text(folder / CLASSES, "".join(f"{name}\n" for name in labels.known))


def to_xml(image: ImageAnnotation, root: str = "") -> str:
    """Return annotations as XML; `root` is the folder of an image that names none."""
    about = dict(image.about)
    annotation = ET.Element("annotation", {"verified": "yes"} if about.get("verified") is True else {})
    if annotation.attrib:
        del about["verified"]
    path = Path(image.file)
    _add_element(annotation, "folder", path.parent.name or root)
    _add_element(annotation, "filename", path.name)
    _add_element(annotation, "path", image.file)  # not the absolute path, which is private to this machine
    _add_element(_add_element(annotation, "source"), "database", _take_element(about, "database", "Unknown"))
    size = _add_element(annotation, "size")
    for tag, value in (("width", image.width), ("height", image.height), ("depth", _take_element(about, "depth", "3"))):
        _add_element(size, tag, value)
    _add_element(annotation, "segmented", _take_element(about, "segmented", "0"))
    _add_attributes(annotation, about)
    for box, name, flag, values in zip(
        image.boxes.tolist(), image.classes, image.difficult.tolist(), image.extras, strict=True
    ):
        extra, element = dict(values), _add_element(annotation, "object")
        _add_element(element, "name", name)
        _add_element(element, "pose", _take_element(extra, "pose", "Unspecified"))
        _add_element(
            element, "truncated", _take_element(extra, "truncated", truncated_flag(box, image.width, image.height))
        )
        _add_element(element, "difficult", int(flag))
        bndbox = _add_element(element, "bndbox")
        for side, value in zip(SIDES, box, strict=True):
            _add_element(bndbox, side, int(value) if value.is_integer() else repr(value))
        _add_attributes(element, extra)
    ET.indent(annotation, "\t")
    return ET.tostring(annotation, "unicode") + "\n"


def _take_element(values: dict[str, Any], key: str, default: str) -> str:
    """Remove and return an element's value, or the default if XML cannot hold it."""
    value = values.get(key)
    try:
        validate_text(value if isinstance(value, str) else "")
    except ValueError:
        return default
    return str(values.pop(key)) if value != default else default


def truncated_flag(box: list[float], width: int, height: int) -> str:
    """Return labelImg's ``truncated``: "1" if the box touches the edge, else "0"."""
    x0, y0, x1, y1 = (int(value) for value in box)
    return str(int(y1 == height or y0 == 1 or x1 == width or x0 == 1))


def _add_element(element: ET.Element, tag: str, text: object = None) -> ET.Element:
    child = ET.SubElement(element, tag)
    if text is not None:
        child.text = str(text)
    return child


def _add_attributes(element: ET.Element, values: Mapping[str, Any]) -> None:
    if not values:
        return
    group = _add_element(element, "attributes")
    for name, value in values.items():
        attribute = _add_element(group, "attribute")
        _add_element(attribute, "name", name)
        try:
            validate_text(value if isinstance(value, str) else "")
            _add_element(attribute, "value", value)
        except ValueError:  # XML cannot hold it as text
            _add_element(attribute, "value", json.dumps(value)).set("type", "json")


def sniff(path: Path) -> bool:
    """Return whether a file looks like a VOC label."""
    if path.suffix.lower() != ".xml":
        return False
    try:
        with path.open("rb") as stream:
            return b"<annotation" in stream.read(4096).replace(b"\0", b"")  # UTF-16 as well
    except OSError:
        return False
