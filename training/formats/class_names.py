"""The class list of a YOLO folder: labelImg's classes.txt, Darknet's .names, or ``names`` in Ultralytics' data.yaml."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .annotation import LabelError
from .images import to_label_error
from .voc import read_classes

QUOTES = {"'", '"'}
LIST_FILES = ("labels/classes.txt", "classes.txt", "obj.names", "labels.txt")


def read_class_names(folder: Path) -> list[str]:
    """Read the class names of a folder, in order, from the first list that has any.

    Raises:
        LabelError: there is no list, or it cannot be read.
    """
    lists = [folder / name for name in LIST_FILES]
    lists += sorted(
        [*folder.glob("*.names"), *folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.rglob("classes.txt")]
    )
    there = [path for path in lists if path.is_file()]
    for path in there:
        yaml = path.suffix in (".yaml", ".yml")
        if found := parse_yaml_names(_text(path), path.name) if yaml else read_classes(path):
            return found
    if there:
        return []  # pictures without a single object need no class
    raise LabelError(
        "unreadable label",
        str(folder),
        "it has no list of classes: put their names, in order and one a line, into classes.txt",
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise to_label_error(error, path.name) from None


def parse_yaml_names(text: str, file: str) -> list[str]:
    """Read ``names`` of a data.yaml: a list in brackets, a list of lines with dashes, or a map from numbers.

    Of YAML no more than this is understood, and the rest of the file is not looked at.

    Raises:
        LabelError: what stands there is of another form.
    """
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if line.startswith("names:")), None)
    if start is None:
        return []
    block = [lines[start].removeprefix("names:")]
    for line in lines[start + 1 :]:
        if line.strip() and not line.startswith((" ", "\t", "-", "#", "]", "}")):
            break
        block.append(line)
    block = [line if QUOTES & set(line) else re.sub(r"(^|\s)#.*", "", line) for line in block]
    joined = " ".join(block).strip()
    if joined.startswith(("[", "{")):
        if not joined.endswith(("]", "}")):
            raise LabelError("unreadable label", file, "the list of names does not end")
        items = re.findall(r"""(?:\d+\s*:\s*)?(?:"(?:\\.|[^"\\])*"|'(?:''|[^'])*'|[^,\s][^,]*)""", joined[1:-1])
    else:
        items = [line.strip() for line in block if line.strip()]
    names: dict[int, str] = {}
    for place, item in enumerate(items):
        numbered = re.match(r"(\d+)\s*:\s*(.*)", item)
        index, value = (int(numbered[1]), numbered[2]) if numbered else (place, item.removeprefix("- "))
        names[index] = _unquoted(value.strip(), file)
    if sorted(names) != list(range(len(names))) or not all(names.values()):
        raise LabelError("unreadable label", file, "its names are not numbered 0, 1, 2 ... without a gap")
    return [names[index] for index in range(len(names))]


def _unquoted(text: str, file: str) -> str:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'").strip()
    if text.startswith('"'):
        try:
            return str(json.loads(text)).strip()
        except ValueError:
            raise LabelError("unreadable label", file, f"the name {text} cannot be read") from None
    return text
