"""The class list of a YOLO folder, as several programs write it.

It is labelImg's classes.txt, Darknet's .names file, or ``names`` in Ultralytics' data.yaml.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import require_extra
from .annotation import LabelError
from .images import read_text, to_label_error

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
    existing = [path for path in lists if path.is_file()]
    for path in existing:
        yaml = path.suffix in (".yaml", ".yml")
        if found := parse_yaml_names(_text(path), path.name) if yaml else read_classes(path):
            return found
    if existing:
        return []  # images without any object need no class
    raise LabelError(
        "unreadable label",
        str(folder),
        "it has no list of classes: put their names, in order and one per line, into classes.txt",
    )


def read_classes(path: Path) -> list[str]:
    """Read class names, one per line; none if the file does not exist.

    Raises:
        LabelError: it is not UTF-8 text, or cannot be read.
    """
    try:
        lines = read_text(path).split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise to_label_error(error, path.name) from None
    return [line.strip() for line in lines if line.strip()]


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise to_label_error(error, path.name) from None


def parse_yaml_names(text: str, file: str) -> list[str]:
    """Read the class names of Ultralytics' data.yaml.

    ``names`` is a list, or a map from the numbers 0, 1, 2 and so on.

    Every value is read as the text that it is written as, so that the names ``no``, ``1.0`` and ``007`` keep their
    spelling; `yaml.safe_load` would convert them to a truth value and numbers.

    Raises:
        LabelError: the file is not YAML, its names are of another form, or `nc` is not their number.
        MissingExtra: PyYAML is not installed.
    """
    require_extra("yaml", "train")
    import yaml

    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # builds texts, lists and maps only: safe like SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or "it nests too deeply"
        raise LabelError("unreadable label", file, f"it is not valid YAML: {line}{reason}") from None
    names = content.get("names") if isinstance(content, dict) else None
    if names is None or names == "":
        return []
    if isinstance(names, dict):
        if sorted(names) != sorted(map(str, range(len(names)))):
            raise LabelError("unreadable label", file, "its names are not numbered 0, 1, 2 ... without a gap")
        names = [names[str(index)] for index in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise LabelError("unreadable label", file, "its names are not a list of texts, or one of them is empty")
    count = content.get("nc")
    if isinstance(count, str) and count.strip().isdecimal() and int(count) != len(names):
        raise LabelError("unreadable label", file, f"it has {len(names)} names, but nc, their number, is {count}")
    return [name.strip() for name in names]
