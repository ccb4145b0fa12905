"""Read single records of TFRecord files.

Needs TensorFlow, which is imported on first use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...extras import extra_command
from .errors import DataError

FRAMING_BYTES = 16
"""Bytes of a record in addition to its content: length and two checksums."""


def load_tensorflow() -> Any:
    """Import TensorFlow.

    Raises:
        DataError: it is not installed; the message names the extra.
    """
    try:
        import tensorflow
    except ImportError:
        raise DataError(f"TFRecords need the extra [train]: {extra_command('train')}") from None
    return tensorflow


class ExampleFeatures:
    """The features of a tf.train.Example by name, as lists.

    A missing feature is an empty list.
    """

    def __init__(self, example: Any) -> None:
        self._features = example.features.feature

    def numbers(self, name: str) -> list[Any]:
        """Return the integers or floats of a feature."""
        if name not in self._features:  # asking a protobuf map for a missing key would insert it
            return []
        return list(self._features[name].int64_list.value or self._features[name].float_list.value)

    def bytes(self, name: str) -> list[bytes]:
        """Return the byte strings of a feature."""
        return list(self._features[name].bytes_list.value) if name in self._features else []

    def text(self, name: str) -> str:
        """Return the first byte string of a feature as text, "" without one."""
        values = self.bytes(name)
        return values[0].decode() if values else ""


def count_fitting_records(file: Path) -> int:
    """Count the records whose length leaves them within the file.

    TensorFlow would allocate whatever length a damaged record states.
    """
    size, offset, count = file.stat().st_size, 0, 0
    with file.open("rb") as stream:
        while head := stream.read(8):
            offset += int.from_bytes(head, "little") + FRAMING_BYTES
            if offset > size:
                break
            count += 1
            stream.seek(offset)
    return count


def read_record_image(file: Path, offset: int) -> bytes:
    """Read the encoded image of the TFRecord record that begins at byte `offset`.

    Raises:
        OSError: there is no complete record.
    """
    with file.open("rb") as stream:
        stream.seek(offset)
        length = int.from_bytes(stream.read(8), "little")
        if offset + length + FRAMING_BYTES > file.stat().st_size:
            raise OSError(f"the record at byte {offset} is truncated")
        stream.read(4)
        content = stream.read(length)
    example = load_tensorflow().train.Example.FromString(content)
    return (ExampleFeatures(example).bytes("image/encoded") or [b""])[0]
