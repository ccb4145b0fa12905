"""The classes of a third-party detector.

These are their names, how many the network has, and which of them are galaxies.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from pathlib import Path

from ..models.npz import UNPACK_ERRORS
from ..runtime.inference.detector import POSTPROCESSED
from .errors import ExportError, ExportUsage
from .settings import FORMATS
from .tflite.reader import POSTPROCESS, TFLiteFile, read_tflite
from .third_party_outputs import onnx_interface

MAX_LABELS_BYTES = 2**20
"""Maximum size of a list of labels inside a file."""
NO_CLASS = "???"
"""Label of a number without a class; the numbers of the other labels are unchanged."""
_BACKGROUND = (NO_CLASS, "background", "__background__")
_NUMBERED = re.compile(r"(\d+)[\s:]+(\S.*)")


def read_labels(path: Path | None, content: bytes, name: str) -> list[str]:
    """Read class names from a file, or from the labels in the TFLite metadata.

    Args:
        path: one name per line, or a number and a name; None for the metadata.
        content, name: the network and its format, a key of `settings.FORMATS`.

    Returns:
        The names by number; `NO_CLASS` if a line is empty or a number is missing.

    Raises:
        ExportUsage: there are none, or they cannot be read.
    """
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ExportUsage(f"{path} cannot be read: {error}") from None
    else:
        text = packed_labels(content, read_tflite(content)) if FORMATS[name].runtime == "tflite" else ""
    lines = [line.strip() for line in text.removeprefix("\ufeff").rstrip().splitlines()]
    numbered = [_NUMBERED.fullmatch(line) for line in lines if line]
    numbers = [int(match[1]) for match in numbered if match]
    if numbered and len(numbers) == len(numbered) and numbers == sorted(set(numbers)) and numbers[-1] < 10_000:
        given = {int(match[1]): match[2].strip() for match in numbered if match}
        lines = [given.get(number, "") for number in range(numbers[-1] + 1)]
    if not any(line and line != NO_CLASS for line in lines):
        raise ExportUsage(
            "class names are needed: --labels FILE, one per line (the file's metadata contains no list of labels)"
        )
    return [line or NO_CLASS for line in lines]


def count_classes(name: str, content: bytes, outputs: dict[str, str]) -> int | None:
    """Return the number of classes of a network, without a background.

    The result is None if its file does not give it.

    Args:
        name, content: format and file; outputs: from `third_party_outputs.find_outputs`.
    """
    if FORMATS[name].runtime == "onnx":
        if POSTPROCESSED[0] in outputs:
            return None
        shape = onnx_interface(content).outputs[outputs["scores"]][0]
    else:
        graph = read_tflite(content).graph
        op = next((op for op in graph.ops if op.name == POSTPROCESS), None)
        if op is not None:
            return _classes_of_postprocess(op.custom_options)
        if POSTPROCESSED[0] in outputs:
            return None
        shape = next(tensor.shape for tensor in graph.tensors if tensor.name == outputs["scores"])
    return shape[2] if len(shape) == 3 else 1


def fit_to_network(names: list[str], count: int | None) -> list[str]:
    """Return the names of the network's classes by number, without a background.

    Only a leading background class is removed.

    Raises:
        ExportUsage: there are more or fewer names than classes.
    """
    if count is not None and len(names) == count + 1 and names[0].lower() in _BACKGROUND:
        return names[1:]
    if count is not None and len(names) != count:
        raise ExportUsage(
            f"there are {len(names)} labels, and the network has {count} class{'' if count == 1 else 'es'}: give "
            f"--labels with one line for each, '{NO_CLASS}' for numbers without a class"
        )
    return names


def choose_galaxy_class(names: list[str], given: str | None) -> int:
    """Return the number of the class of galaxies.

    Args:
        names: of the classes, by number; given: a name or a number; may be None if there is only one class.

    Raises:
        ExportUsage: there are several classes and none is given, or the given one does not exist.
    """
    classes = {number: name for number, name in enumerate(names) if name != NO_CLASS}
    listed = ", ".join(f"{number} {name}" for number, name in classes.items())
    if given is None:
        if len(classes) == 1:
            return next(iter(classes))
        raise ExportUsage(f"the network has {len(classes)} classes: name the galaxies with --galaxy-class ({listed})")
    wanted = given.strip()
    for same in (str.__eq__, lambda name, other: name.casefold() == other.casefold()):
        found = [number for number, name in classes.items() if same(name, wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ExportUsage(f"several classes are called {wanted}: give --galaxy-class its number ({listed})")
    if wanted.isdecimal() and int(wanted) in classes:
        return int(wanted)
    raise ExportUsage(f"--galaxy-class {given} is not a class of the network ({listed})")


def _classes_of_postprocess(options: bytes) -> int:
    """Read the number of classes in the options of TFLite_Detection_PostProcess."""
    from flatbuffers import flexbuffers

    try:
        count = int(flexbuffers.GetRoot(bytearray(options)).AsMap["num_classes"].AsInt)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error) as error:
        raise ExportError(f"the options of {POSTPROCESS} cannot be read: {error}") from None
    if not 1 <= count <= 10_000:
        raise ExportError(f"{POSTPROCESS} has {count} classes")
    return count


def packed_labels(content: bytes, file: TFLiteFile) -> str:
    """Return the labels in the metadata of a TFLite file; "" if there are none.

    TFLite metadata appends the list to the file as a zip archive.
    """
    if "TFLITE_METADATA" not in file.metadata or not zipfile.is_zipfile(io.BytesIO(content)):
        return ""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            lists = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".txt")]
            if len(lists) > 1:
                names = ", ".join(entry.filename for entry in lists)
                raise ExportUsage(f"the file's metadata has several lists, {names}: name the right one with --labels")
            if not lists or lists[0].file_size > MAX_LABELS_BYTES:
                return ""
            with archive.open(lists[0]) as stream:
                return stream.read(MAX_LABELS_BYTES).decode("utf-8", errors="replace")
    except UNPACK_ERRORS as error:
        raise ExportUsage(f"labels in the file's metadata cannot be read ({error}): give --labels") from None
