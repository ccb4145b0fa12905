"""Find images whose labels name them by paths of other computers.

Such a path has backslashes, a drive letter or a host (a URL), or begins at the root.

Only the last parts of such a path are useful: the image is the file with the same name, and with as many of the same
folders as possible.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote

from .annotation import LabelError, validate_text

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*")
_DRIVE = re.compile(r"[A-Za-z]:")
_LOCAL_FILES = "/local-files/?d="
"""Label Studio's address of a file of its own machine."""


def is_foreign(name: str) -> bool:
    """Return whether a name is a path of another system or leads out of the set."""
    return (
        "\\" in name
        or name.startswith("/")
        or bool(_SCHEME.match(name) or _DRIVE.match(name))
        or ".." in PurePosixPath(name).parts
    )


def path_parts(name: str) -> list[str]:
    """Split a path of any system into its folders and its file name.

    Drive, host, ``.`` and ``..`` are left out.

    Raises:
        ValueError: it is not a valid text, or has no file name.
    """
    validate_text(name)
    if _LOCAL_FILES in name:
        name = name.partition(_LOCAL_FILES)[2]
    elif _SCHEME.match(name):
        name = re.split(r"[?#]", _SCHEME.sub("", name, count=1))[0]
    parts = _DRIVE.sub("", name.replace("\\", "/"), count=1).split("/")
    parts = [part for part in parts if part not in ("", ".", "..")]
    if not parts:
        raise ValueError(f"'{name}' has no file name")
    return parts


class ImageIndex:
    """An index of the existing images by base name.

    Args:
        files: their names, with ``/``.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._exact: dict[str, list[str]] = defaultdict(list)
        self._folded: dict[str, list[str]] = defaultdict(list)
        for file in sorted(set(files)):
            base = file.rpartition("/")[2]
            self._exact[base].append(file)
            self._folded[base.casefold()].append(file)

    def find(self, name: str, others: int = 0) -> str:
        """Find the image that a path of another system means.

        Args:
            name: the path; others: number of other labels that name an image of the same base name.

        Returns:
            The image's name.

        Raises:
            LabelError: there is none, or it could be one of several.
        """
        parts = path_parts(name)
        plain = [unquote(part) for part in parts]
        base = parts[-1]
        found = self._exact.get(base) or self._exact.get(plain[-1]) or self._folded.get(base.casefold())
        if not found:
            raise LabelError(
                "missing picture",
                name,
                f"the path is of another computer, and no image here is called {base}: put the images next to the "
                "labels",
            )
        lengths = [max(_common_end(end, file.split("/")) for end in (parts, plain)) for file in found]
        best = [file for file, length in zip(found, lengths, strict=True) if length == max(lengths)]
        if len(best) > 1 or (others and max(lengths) < 2):
            listed = ", ".join(best[:3]) + (" and more" if len(best) > 3 else "")
            raise LabelError(
                "unreadable label",
                name,
                f"the path is of another computer, and several images are called {base} (here: {listed}): write the "
                "path from the folder of the data set",
            )
        return best[0]


def _common_end(first: list[str], second: list[str]) -> int:
    """Return how many parts are the same at the end of two paths."""
    count = 0
    for first_part, second_part in zip(reversed(first), reversed(second), strict=False):
        if first_part != second_part:
            break
        count += 1
    return count
