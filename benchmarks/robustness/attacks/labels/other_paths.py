"""Name images by paths of other computers.

Boxes that end on the wrong image are counted.
"""

from __future__ import annotations

import random
from pathlib import Path

from .....training.formats.annotation import LabelError
from .....training.formats.foreign_paths import ImageIndex
from ...attack import Attack, Outcome

FOLDERS = ("one", "two", "night 3", "M31")
NAMES = ("a.jpg", "b.jpg", "m 31.fits", "C.PNG", "é.tif")
ROOTS = (
    "C:\\Users\\me\\", "D:/sky/", "\\\\server\\share\\", "/home/me/", "../../", "http://host:80/data/", "file:///x/",
    "/data/local-files/?d=",
)  # fmt: skip


def run(count: int, folder: Path) -> Outcome:
    """Draw `count` data sets of several images.

    Each image has a path of another system.
    """
    numbers = random.Random(15)
    paths = found = wrong = 0
    for _ in range(count):
        places = [(*numbers.choices(FOLDERS, k=numbers.randint(0, 2)), numbers.choice(NAMES)) for _ in range(6)]
        files = sorted({"/".join(path) for path in places})
        index = ImageIndex(files)
        bases = [file.rpartition("/")[2] for file in files]
        for file in files:
            paths += 1
            base = file.rpartition("/")[2]
            try:
                result = index.find(_foreign(file, numbers), bases.count(base) - 1)
            except LabelError:
                continue
            found += 1
            wrong += result != file
    return Outcome({"paths": paths, "found": found, "refused": paths - found, "wrong": wrong}, wrong == 0 and found > 0)


def _foreign(file: str, numbers: random.Random) -> str:
    """Return a path of another system for an image.

    It ends with the image's complete name in the data set.
    """
    root = numbers.choice(ROOTS)
    end = file.replace("/", "\\") if "\\" in root else file
    if root.startswith("http") and numbers.random() < 0.5:
        end = end.replace(" ", "%20") + "?token=1"
    return f"{root}{end}"


ATTACK = Attack(
    promise="An image named by a path of another computer is found by its name; if several match, "
    "the label is refused.",
    method="{count} data sets with images of the same name in several folders, named as eight systems do",
    run=run,
    count=20_000,
    small_count=200,
)
