"""Pascal VOC XML as labelImg 1.8 writes it: one XML a picture, beside it.

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
    Complain,
    ImageAnnotation,
    LabelError,
    Progress,
    check_text,
    finite,
    gather,
    safe_name,
)
from .images import fault_of, files_in, is_picture, size_of
from .writing import only_once, put_pictures, write_text

CLASSES = "classes.txt"
SIDES = ("xmin", "ymin", "xmax", "ymax")
KNOWN = {"folder", "filename", "path", "source", "size", "segmented", "object", "attributes"}
KNOWN_OF_BOX = {"name", "pose", "truncated", "difficult", "bndbox", "attributes"}


class _Plain(ET.TreeBuilder):
    """Builds a tree of elements; declarations of types and entities, which no label has, are refused."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which labels never do and attacks do")


def read(folder: Path, complain: Complain, progress: Progress) -> AnnotatedDataset:
    """Read the XMLs in a folder and its folders.

    A picture's name is its path in the folder, whatever ``path`` says. A picture without an XML is not part of the set:
    in labelImg, one without a galaxy is marked by verifying it (space), which writes an XML without an object.
    """
    files = list(files_in(folder))
    labels = [path for path in files if path.suffix.lower() == ".xml"]
    pictures = {path.relative_to(folder).as_posix(): is_picture(path) for path in files}
    found, notes, dropped = [], [], dict[str, int]()
    for done, path in enumerate(labels):
        progress(done, len(labels))
        name = path.relative_to(folder).as_posix()
        try:
            root = _parse(path)
            if root.tag != "annotation":
                notes.append(f"no label, for its root is <{root.tag}>: {name}")
                continue
            if one := _read_one(root, folder, name, pictures, dropped, complain):
                found.append(one)
        except (LabelError, ValueError, OSError) as problem:
            complain(fault_of(problem, name))
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
    return gather("voc", found, complain, classes, notes)


def read_classes(path: Path) -> list[str]:
    """Read class names, one a line; none where the file is not there.

    Raises:
        LabelError: it is not text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as problem:
        raise fault_of(problem, path.name) from None
    return [line.strip() for line in lines if line.strip()]


def _parse(path: Path) -> ET.Element:
    try:
        return ET.fromstring(path.read_bytes(), ET.XMLParser(target=_Plain()))
    except ET.ParseError as problem:
        raise ValueError(f"it is no whole XML ({problem})") from None
    except (LookupError, UnicodeError) as problem:
        raise ValueError(f"it is no XML text ({problem})") from None


def _text(element: ET.Element, tag: str, default: str | None = None) -> str:
    found = element.findtext(tag)
    if found is None:
        if default is None:
            raise ValueError(f"<{element.tag}> has no <{tag}>")
        return default
    return found


def _read_one(
    root: ET.Element, folder: Path, name: str, pictures: Container[str], dropped: dict[str, int], complain: Complain
) -> ImageAnnotation | None:
    """Make labels of an XML; None where an object cannot be taken: `complain` is told of all such."""
    try:
        picture = _find(safe_name(_text(root, "filename")), Path(name), _text(root, "folder", ""), pictures)
    except ValueError as fault:
        raise ValueError(f"<filename> {fault}") from None
    there = picture in pictures
    width, height = (int(finite(_text(root, f"size/{side}", "0"))) for side in ("width", "height"))
    if (width < 1 or height < 1) and there:  # as some programs write where they did not open the picture
        width, height = size_of((folder / picture).read_bytes())
    boxes, classes, difficult, extras, whole = [], [], [], [], True
    for number, thing in enumerate(root.findall("object"), 1):
        try:
            box = thing.find("bndbox")
            if box is None:
                raise ValueError("it has no <bndbox>")
            boxes.append([finite(_text(box, side)) for side in SIDES])
            classes.append(_text(thing, "name").strip())
            difficult.append(_flag(_text(thing, "difficult", "0")))
            extra = _attributes(thing)
            pose, cut = _text(thing, "pose", "Unspecified"), _text(thing, "truncated", "")
            if pose not in ("Unspecified", ""):
                extra["pose"] = pose
            if cut and cut != truncated(boxes[-1], width, height):
                extra["truncated"] = cut
            extras.append(extra)
        except ValueError as fault:
            whole = False
            complain(LabelError("unreadable label", name, f"object {number}: {fault}"))
        _count(dropped, thing, KNOWN_OF_BOX)
    _count(dropped, root, KNOWN)
    if not whole:
        return None
    about = _attributes(root)
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


def _find(named: str, label: Path, within: str, pictures: Container[str]) -> str:
    """Find a label's picture: beside it, in a neighbouring folder, in the folder it names, or by its own name."""
    beside, up = label.parent, label.parent.parent
    tried = [place / named for place in (beside, up / "JPEGImages", up / "images", up, up / within, Path())]
    # A picture was renamed (labelImg itself goes by the name of the XML), or an old version left the ending out.
    tried += [label.with_suffix(end) for suffix in SUFFIXES for end in (suffix, suffix.upper())]
    return next((path.as_posix() for path in tried if path.as_posix() in pictures), tried[0].as_posix())


def _flag(text: str) -> bool:
    if text.strip() not in ("0", "1"):
        raise ValueError(f"<difficult> is '{text}', not 0 or 1")
    return text.strip() == "1"


def _count(dropped: dict[str, int], element: ET.Element, known: set[str]) -> None:
    for child in element:
        if child.tag not in known:
            dropped[child.tag] = dropped.get(child.tag, 0) + 1


def _attributes(element: ET.Element) -> dict[str, Any]:
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
    """Write pictures, an XML beside each, and ``classes.txt`` with the known classes in order, for labelImg to offer.

    Raises:
        DataError: two pictures would have one XML.
    """
    names = [Path(one.file).with_suffix(".xml").as_posix() for one in labels.pictures]
    only_once([*names, *(one.file for one in labels.pictures), CLASSES], "label")
    put_pictures(labels.pictures, folder, images, progress)
    for one, name in zip(labels.pictures, names, strict=True):
        write_text(folder / name, to_xml(one, folder.name))
    write_text(folder / CLASSES, "".join(f"{name}\n" for name in labels.known))


def to_xml(one: ImageAnnotation, root: str = "") -> str:
    """Give a picture's XML; its folder, where the name has none, is `root`."""
    about = dict(one.about)
    top = ET.Element("annotation", {"verified": "yes"} if about.get("verified") is True else {})
    if top.attrib:
        del about["verified"]
    path = Path(one.file)
    _add(top, "folder", path.parent.name or root)
    _add(top, "filename", path.name)
    _add(top, "path", one.file)  # not where it is on this machine: that is nobody's business elsewhere
    _add(_add(top, "source"), "database", _own(about, "database", "Unknown"))
    size = _add(top, "size")
    for tag, value in (("width", one.width), ("height", one.height), ("depth", _own(about, "depth", "3"))):
        _add(size, tag, value)
    _add(top, "segmented", _own(about, "segmented", "0"))
    _add_attributes(top, about)
    for box, name, flag, more in zip(one.boxes.tolist(), one.classes, one.difficult.tolist(), one.extras, strict=True):
        extra, thing = dict(more), _add(top, "object")
        _add(thing, "name", name)
        _add(thing, "pose", _own(extra, "pose", "Unspecified"))
        _add(thing, "truncated", _own(extra, "truncated", truncated(box, one.width, one.height)))
        _add(thing, "difficult", int(flag))
        place = _add(thing, "bndbox")
        for side, value in zip(SIDES, box, strict=True):
            _add(place, side, int(value) if value.is_integer() else repr(value))
        _add_attributes(thing, extra)
    ET.indent(top, "\t")
    return ET.tostring(top, "unicode") + "\n"


def _own(values: dict[str, Any], key: str, usual: str) -> str:
    """Take a value out that has an element of its own, if reading gives it back; others stay and become attributes."""
    value = values.get(key)
    try:
        check_text(value if isinstance(value, str) else "")
    except ValueError:
        return usual
    return str(values.pop(key)) if value != usual else usual


def truncated(box: list[float], width: int, height: int) -> str:
    """Tell as labelImg does, 0 or 1, whether an object is cut off by the picture's edge, where nothing else says so."""
    x0, y0, x1, y1 = (int(value) for value in box)
    return str(int(y1 == height or y0 == 1 or x1 == width or x0 == 1))


def _add(element: ET.Element, tag: str, text: object = None) -> ET.Element:
    child = ET.SubElement(element, tag)
    if text is not None:
        child.text = str(text)
    return child


def _add_attributes(element: ET.Element, values: Mapping[str, Any]) -> None:
    if not values:
        return
    group = _add(element, "attributes")
    for name, value in values.items():
        one = _add(group, "attribute")
        _add(one, "name", name)
        try:
            check_text(value if isinstance(value, str) else "")
            _add(one, "value", value)
        except ValueError:  # what XML cannot hold as it is
            _add(one, "value", json.dumps(value)).set("type", "json")


def sniff(path: Path) -> bool:
    """Tell whether a file looks like a VOC label."""
    if path.suffix.lower() != ".xml":
        return False
    try:
        with path.open("rb") as stream:
            return b"<annotation" in stream.read(4096)
    except OSError:
        return False
