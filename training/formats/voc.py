"""Pascal VOC XML as labelImg 1.8 writes it: one XML file for each image, next to it.

Pixels are taken as they stand. labelImg writes the position of the mouse in the picture, cut to a whole pixel and at
least 1; the 1-based, inclusive pixels of the VOC challenge are not what it writes. Numbers with decimals are legal
here (labelImg reads them, and cuts them when it saves). What labelImg does not know stands in ``attributes``, as CVAT
writes them.
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
from .images import image_size, is_image_file, list_files, to_label_error
from .writing import ensure_unique, place_images, write_text

CLASSES = "classes.txt"
SIDES = ("xmin", "ymin", "xmax", "ymax")
IMAGE_TAGS = {"folder", "filename", "path", "source", "size", "segmented", "object", "attributes"}
BOX_TAGS = {"name", "pose", "truncated", "difficult", "bndbox", "attributes"}


class _SafeTreeBuilder(ET.TreeBuilder):
    """Builds a tree of elements; declarations of types and entities, which no label has, are refused."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which labels never do and attacks do")


def read(folder: Path, on_error: ErrorHandler, progress: Progress) -> AnnotatedDataset:
    """Read the XMLs in a folder and its folders.

    A picture's name is its path in the folder, whatever ``path`` says. A picture without an XML is not part of the set:
    in labelImg, one without a galaxy is marked by verifying it (space), which writes an XML without an object.
    """
    files = list(list_files(folder))
    labels = [path for path in files if path.suffix.lower() == ".xml"]
    pictures = {path.relative_to(folder).as_posix(): is_image_file(path) for path in files}
    found, notes, dropped = [], [], dict[str, int]()
    for done, path in enumerate(labels):
        progress(done, len(labels))
        name = path.relative_to(folder).as_posix()
        try:
            root = _parse(path)
            if root.tag != "annotation":
                notes.append(f"no label, for its root is <{root.tag}>: {name}")
                continue
            if one := _read_one(root, folder, name, pictures, dropped, on_error):
                found.append(one)
        except (LabelError, ValueError, OSError) as error:
            on_error(to_label_error(error, name))
    # A picture whose label cannot be read has been complained of.
    used = {one.file for one in found} | {
        path.relative_to(folder).with_suffix(end).as_posix()
        for path in labels
        for suffix in SUFFIXES
        for end in (suffix, suffix.upper())
    }
    bare = [name for name, usual in pictures.items() if usual and name not in used]
    if bare:
        notes.append(f"pictures without an XML, left out: {len(bare)}, e.g. {bare[0]}")
    notes += [f"<{tag}> left out: {count}" for tag, count in dropped.items()]
    classes = read_classes(folder / CLASSES)
    return build_dataset("voc", found, on_error, classes, notes)


def read_classes(path: Path) -> list[str]:
    """Read class names, one a line; none where the file is not there.

    Raises:
        LabelError: it is not text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise to_label_error(error, path.name) from None
    return [line.strip() for line in lines if line.strip()]


def _parse(path: Path) -> ET.Element:
    try:
        return ET.fromstring(path.read_bytes(), ET.XMLParser(target=_SafeTreeBuilder()))
    except ET.ParseError as error:
        raise ValueError(f"it is no whole XML ({error})") from None
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"it is no XML text ({error})") from None


def _text(element: ET.Element, tag: str, default: str | None = None) -> str:
    found = element.findtext(tag)
    if found is None:
        if default is None:
            raise ValueError(f"<{element.tag}> has no <{tag}>")
        return default
    return found


# Long because every field of an object has a fault of its own.
def _read_one(
    root: ET.Element, folder: Path, name: str, pictures: Container[str], dropped: dict[str, int], on_error: ErrorHandler
) -> ImageAnnotation | None:
    """Make the labels of an XML file; None if an object cannot be read: `on_error` is called with each."""
    try:
        picture = _find_image(normalise_name(_text(root, "filename")), Path(name), _text(root, "folder", ""), pictures)
    except ValueError as fault:
        raise ValueError(f"<filename> {fault}") from None
    there = picture in pictures
    width, height = (int(parse_finite(_text(root, f"size/{side}", "0"))) for side in ("width", "height"))
    if (width < 1 or height < 1) and there:  # as some programs write where they did not open the picture
        width, height = image_size((folder / picture).read_bytes())
    boxes, classes, difficult, extras, whole = [], [], [], [], True
    for number, thing in enumerate(root.findall("object"), 1):
        try:
            box = thing.find("bndbox")
            if box is None:
                raise ValueError("it has no <bndbox>")
            boxes.append([parse_finite(_text(box, side)) for side in SIDES])
            classes.append(_text(thing, "name").strip())
            difficult.append(_parse_flag(_text(thing, "difficult", "0")))
            extra = _read_attributes(thing)
            pose, cut = _text(thing, "pose", "Unspecified"), _text(thing, "truncated", "")
            if pose not in ("Unspecified", ""):
                extra["pose"] = pose
            if cut and cut != truncated_flag(boxes[-1], width, height):
                extra["truncated"] = cut
            extras.append(extra)
        except ValueError as fault:
            whole = False
            on_error(LabelError("unreadable label", name, f"object {number}: {fault}"))
        _count_unknown(dropped, thing, BOX_TAGS)
    _count_unknown(dropped, root, IMAGE_TAGS)
    if not whole:
        return None
    about = _read_attributes(root)
    if root.get("verified") == "yes":
        about["verified"] = True
    for tag, usual in (("size/depth", "3"), ("source/database", "Unknown"), ("segmented", "0")):
        if (said := _text(root, tag, usual)) != usual:
            about[tag.split("/")[-1]] = said
    place = (folder, picture) if there else (None, "")
    return ImageAnnotation(
        picture,
        width,
        height,
        np.array(boxes, np.float64).reshape(-1, 4),
        tuple(classes),
        np.array(difficult, bool),
        tuple(extras),
        about,
        *place,
    )


def _find_image(named: str, label: Path, within: str, pictures: Container[str]) -> str:
    """Find a label's image: next to it, in a neighbouring folder, in the folder it names, or by its own name."""
    beside, up = label.parent, label.parent.parent
    tried = [place / named for place in (beside, up / "JPEGImages", up / "images", up, up / within, Path())]
    # A picture was renamed (labelImg itself goes by the name of the XML), or an old version left the ending out.
    tried += [label.with_suffix(end) for suffix in SUFFIXES for end in (suffix, suffix.upper())]
    return next((path.as_posix() for path in tried if path.as_posix() in pictures), tried[0].as_posix())


def _parse_flag(text: str) -> bool:
    if text.strip() not in ("0", "1"):
        raise ValueError(f"<difficult> is '{text}', not 0 or 1")
    return text.strip() == "1"


def _count_unknown(dropped: dict[str, int], element: ET.Element, known: set[str]) -> None:
    for child in element:
        if child.tag not in known:
            dropped[child.tag] = dropped.get(child.tag, 0) + 1


def _read_attributes(element: ET.Element) -> dict[str, Any]:
    found = {}
    for one in element.findall("attributes/attribute"):
        value = one.find("value")
        text = "" if value is None else value.text or ""
        try:
            found[_text(one, "name")] = json.loads(text) if value is not None and value.get("type") == "json" else text
        except RecursionError:
            raise ValueError("an attribute is nested too deep") from None
    return found


def write(labels: AnnotatedDataset, folder: Path, images: str, progress: Progress) -> None:
    """Write images, an XML file next to each, and ``classes.txt`` with the known classes in order, for labelImg.

    Raises:
        DataError: two pictures would have one XML.
    """
    names = [Path(one.file).with_suffix(".xml").as_posix() for one in labels.images]
    ensure_unique([*names, *(one.file for one in labels.images), CLASSES], "label")
    place_images(labels.images, folder, images, progress)
    for one, name in zip(labels.images, names, strict=True):
        write_text(folder / name, to_xml(one, folder.name))
    write_text(folder / CLASSES, "".join(f"{name}\n" for name in labels.known))


def to_xml(one: ImageAnnotation, root: str = "") -> str:
    """Give a picture's XML; its folder, where the name has none, is `root`."""
    about = dict(one.about)
    top = ET.Element("annotation", {"verified": "yes"} if about.get("verified") is True else {})
    if top.attrib:
        del about["verified"]
    path = Path(one.file)
    _add_element(top, "folder", path.parent.name or root)
    _add_element(top, "filename", path.name)
    _add_element(top, "path", one.file)  # not where it is on this machine: that is nobody's business elsewhere
    _add_element(_add_element(top, "source"), "database", _take_element(about, "database", "Unknown"))
    size = _add_element(top, "size")
    for tag, value in (("width", one.width), ("height", one.height), ("depth", _take_element(about, "depth", "3"))):
        _add_element(size, tag, value)
    _add_element(top, "segmented", _take_element(about, "segmented", "0"))
    _add_attributes(top, about)
    for box, name, flag, more in zip(one.boxes.tolist(), one.classes, one.difficult.tolist(), one.extras, strict=True):
        extra, thing = dict(more), _add_element(top, "object")
        _add_element(thing, "name", name)
        _add_element(thing, "pose", _take_element(extra, "pose", "Unspecified"))
        _add_element(thing, "truncated", _take_element(extra, "truncated", truncated_flag(box, one.width, one.height)))
        _add_element(thing, "difficult", int(flag))
        place = _add_element(thing, "bndbox")
        for side, value in zip(SIDES, box, strict=True):
            _add_element(place, side, int(value) if value.is_integer() else repr(value))
        _add_attributes(thing, extra)
    ET.indent(top, "\t")
    return ET.tostring(top, "unicode") + "\n"


def _take_element(values: dict[str, Any], key: str, usual: str) -> str:
    """Take a value out that has an element of its own, if reading gives it back; others stay and become attributes."""
    value = values.get(key)
    try:
        validate_text(value if isinstance(value, str) else "")
    except ValueError:
        return usual
    return str(values.pop(key)) if value != usual else usual


def truncated_flag(box: list[float], width: int, height: int) -> str:
    """Tell as labelImg does, 0 or 1, whether an object is cut off by the picture's edge, where nothing else says so."""
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
        one = _add_element(group, "attribute")
        _add_element(one, "name", name)
        try:
            validate_text(value if isinstance(value, str) else "")
            _add_element(one, "value", value)
        except ValueError:  # what XML cannot hold as it is
            _add_element(one, "value", json.dumps(value)).set("type", "json")


def sniff(path: Path) -> bool:
    """Return whether a file looks like a VOC label."""
    if path.suffix.lower() != ".xml":
        return False
    try:
        with path.open("rb") as stream:
            return b"<annotation" in stream.read(4096)
    except OSError:
        return False
