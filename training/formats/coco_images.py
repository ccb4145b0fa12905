"""Find the images that a COCO file names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from .annotation import LabelError, normalise_name
from .foreign_paths import ImageIndex, is_foreign, path_parts
from .images import is_image_file, list_files

IMAGES = "images"


class ImageLocator:
    """A finder of the images that a COCO file names.

    They may be next to the file, in ``images``, in a folder of the file's name, or in such folders one level up.

    Args:
        file: the COCO file; names: every ``file_name`` in it.
    """

    def __init__(self, file: Path, names: Iterable[Any]) -> None:
        folder, parent = file.parent, file.parent.parent
        stem = file.stem.removeprefix("instances_")
        near = (IMAGES, "", f"{file.stem}_{IMAGES}")
        self._searched = [
            *(folder / path for path in near),
            *(parent / path for path in (IMAGES, stem, f"{IMAGES}/{stem}")),
        ]
        self._folders = [*self._searched, parent]
        self._names = list(names)

    def name_in_set(self, named: str) -> str:
        """Return an image's name in the set, given its name in the COCO file.

        A path of another computer is replaced by the name of the file here that it stands for.

        Raises:
            LabelError, ValueError: the name is not valid, or it could mean none or several of the images.
        """
        if not is_foreign(named) and ("%" not in named or self.find_folder(normalise_name(named))):
            return normalise_name(named)
        try:
            return self._index.find(named, self._base_names[path_parts(named)[-1]] - 1)
        except LabelError:
            if is_foreign(named):
                raise
            return normalise_name(named)

    def find_folder(self, name: str) -> Path | None:
        """Return the folder that an image's name is relative to.

        It is None if the image does not exist.
        """
        return next((folder for folder in self._folders if (folder / name).is_file()), None)

    @cached_property
    def _base_names(self) -> Counter[str]:
        """How often each base name is in the file."""
        bases: Counter[str] = Counter()
        for name in self._names:
            try:
                bases[path_parts(name)[-1]] += 1
            except (ValueError, TypeError, AttributeError):
                continue  # reported where the image is read
        return bases

    @cached_property
    def _index(self) -> ImageIndex:
        names = {
            path.relative_to(folder).as_posix()
            for folder in self._searched
            if folder.is_dir()
            for path in list_files(folder)
            if is_image_file(path)
        }

        def is_shortest(name: str) -> bool:
            # An image has a name in its folder, and a longer one in the folders above.
            parts = name.split("/")
            return not any("/".join(parts[start:]) in names for start in range(1, len(parts)))

        return ImageIndex(name for name in names if is_shortest(name))
