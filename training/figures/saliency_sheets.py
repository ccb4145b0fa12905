"""Sheets that show what a classifier looks at, as PNG: heat maps over pictures, inner pictures, patterns of filters."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import keras
import numpy as np

from ...models.decode import softmax
from ...models.labels import CLASSES
from ...runtime.imaging.encoding import encode_image
from ...runtime.system.atomic_files import write_atomic
from ..run import read_record
from .saliency import ExplainError, activations, filter_patterns, grad_cam

WIDTH = 1900
"""Widest sheet in pixels."""
PICTURES = 60
"""Most pictures on a heat sheet, for its height's sake."""
LAYERS, CHANNELS = 12, 16
"""Most layers on a sheet of activations, and most channels of each."""
PATTERN_LAYERS, PATTERNS, ASCENT = 4, 12, 40
"""Most layers on a sheet of filters, filters of each, and steps of their ascent."""

Item = TypeVar("Item")

GROUND, INK, FAINT = 24, (235, 235, 235), (165, 165, 165)
GAP = 8


def heat_sheet(
    images: np.ndarray,
    heat: np.ndarray,
    probabilities: np.ndarray,
    shown: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str],
    truth: Sequence[str | None] | None = None,
) -> np.ndarray:
    """Compose picture, heat over picture and words for each of N pictures.

    Args:
        images: (N, S, S, 3) uint8 RGB.
        heat: (N, S, S) 0..1, as by `explain.grad_cam`.
        probabilities: (N, C) 0..1.
        shown: (N,) the class that each heat map speaks for.
        names: what to call each picture.
        classes: C class names.
        truth: the true class name of each picture, None where it is not known.

    Returns:
        (height, width, 3) uint8 RGB, at most `WIDTH` wide.
    """
    side, words = 168, 264
    cells = []
    for index, image in enumerate(images):
        best = int(shown[index])
        known = truth[index] if truth is not None else None
        text = _blank(side, words)
        _write(text, names[index], 0, FAINT)
        _write(text, classes[best], 1)
        _write(text, f"{probabilities[index, best]:.1%}", 2)
        if known is not None:
            right = known == classes[best]
            # Blue and orange, not green and red, so that everybody can tell them apart; and words besides.
            verdict, ink = ("right", (120, 190, 255)) if right else ("wrong", (255, 170, 60))
            _write(text, f"truth: {known} ({verdict})", 3, ink)
        others = [rank for rank in np.argsort(-probabilities[index], kind="stable") if rank != best][:2]
        for line, other in enumerate(others, 4):
            _write(text, f"{classes[other]} {probabilities[index, other]:.1%}", line, FAINT)
        cells.append(_row([_enlarge(image, side), _enlarge(overlay(image, heat[index]), side), text]))
    columns = min(len(cells), max(1, (WIDTH - GAP) // (cells[0].shape[1] + GAP)))
    cells += [np.full_like(cells[0], GROUND)] * (-len(cells) % columns)
    return _frame(_column([_row(cells[at : at + columns]) for at in range(0, len(cells), columns)]))


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay heat (H, W) 0..1 over a picture (H, W, 3) uint8: the hotter, the less is left of the picture."""
    colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = (0.15 + 0.5 * heat)[..., None]
    return np.rint(image * (1 - share) + cv2.cvtColor(colours, cv2.COLOR_BGR2RGB) * share).astype(np.uint8)


def activation_sheet(image: np.ndarray, maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """Compose a row of channels a layer, under the picture they are of.

    Of many layers `LAYERS` are shown, evenly from first to last; of many channels the `CHANNELS` whose levels vary
    most, in their order. Each is stretched between its own extremes.

    Args:
        image: (S, S, 3) uint8 RGB.
        maps: layer name -> (h, w, c), as by `explain.activations`.
    """
    side = 108
    rows = [_enlarge(image, 2 * side)]
    for name in _evenly(list(maps), LAYERS):
        found = maps[name]
        height, width, channels = found.shape
        kept = np.sort(np.argsort(-found.std(axis=(0, 1)), kind="stable")[:CHANNELS])
        some = f", {len(kept)} most varied shown" if len(kept) < channels else ""
        rows.append(
            _titled(
                f"{name}   {height} x {width}, {channels} channels{some}",
                [
                    _labelled(_enlarge(np.repeat(_stretch(found[..., one])[..., None], 3, axis=2), side), str(one))
                    for one in kept
                ],
            )
        )
    return _frame(_column(rows))


def filter_sheet(patterns: Mapping[str, tuple[Sequence[int], np.ndarray]]) -> np.ndarray:
    """Compose a row of patterns a layer.

    Args:
        patterns: layer name -> the filters shown, and what they answer to (n, S, S, 3) uint8 RGB.
    """
    side = 144
    return _frame(
        _column(
            [
                _titled(
                    name,
                    [_labelled(_enlarge(one, side), str(index)) for index, one in zip(filters, found, strict=True)],
                )
                for name, (filters, found) in patterns.items()
            ]
        )
    )


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB beside its place, then rename it there.

    Raises:
        ExplainError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, encode_image(picture))
    except OSError as problem:
        raise ExplainError(f"{path} cannot be written: {problem.strerror}") from None


def load_model(path: Path) -> keras.Model:
    """Read the Keras model of a finished run: its folder, or the .keras file itself.

    Raises:
        ExplainError: there is none, or it cannot be read, or is of a kind whose layers cannot be reached.
    """
    file = path / "model.keras" if path.is_dir() else path
    wanted = "what looks inside a network needs the Keras model of a run: name the run's folder or its model.keras"
    if not path.exists():
        raise ExplainError(f"{path} does not exist: name a run's folder or a .keras file")
    if (path / "bundle.toml").exists():
        raise ExplainError(f"{path} is a bundle, which holds only what a device runs; {wanted}")
    if not file.exists():
        raise ExplainError(f"{path} holds no model.keras: name the folder of a finished run of a classifier")
    with file.open("rb") as stream:
        head = stream.read(8)
    if file.suffix == ".tflite" or head[4:] == b"TFL3":
        raise ExplainError(f"{file} is a TFLite model, whose layers have no gradients; {wanted}")
    if file.suffix != ".keras" or not zipfile.is_zipfile(file):
        raise ExplainError(f"{file} is not a .keras file, or is cut short; {wanted}")
    try:
        return keras.saving.load_model(file, compile=False)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, zipfile.BadZipFile) as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise ExplainError(f"{file} cannot be read as a Keras model: {reason}") from None


def classes_of(path: Path, model: keras.Model) -> tuple[Sequence[str], float]:
    """Give the class names and the temperature of a model: of its run's record, or else as a galaxy classifier's."""
    folder = path if path.is_dir() else path.parent
    if (folder / "run.json").is_file():
        described = read_record(folder).model
        if described:
            return described["classes"], described["decode"]["temperature"]
    count = model.output_shape[-1]
    return (CLASSES if count == len(CLASSES) else [f"class {number}" for number in range(count)]), 1.0


def explain_model(
    model: keras.Model,
    images: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str],
    out: Path,
    seed: int,
    say: Callable[[str], None],
    truth: Sequence[str | None] | None = None,
    temperature: float = 1.0,
) -> list[Path]:
    """Write ``heat.png``, ``activations.png`` (of the first picture) and ``filters.png``.

    Args:
        images: (N, S, S, 3) uint8 RGB network inputs, N at least 1; the first `PICTURES` are shown.
        names: N, what to call each.
        classes: class names in output order.
        out: folder for the sheets, made if it is not there.
        seed: of the noise from which patterns grow.
        say: told what is being done, a line each.
        truth: N true class names, None where not known.
        temperature: by which logits are divided before they become probabilities.

    Returns:
        The files written.

    Raises:
        ExplainError: model, pictures and names do not fit, or a sheet cannot be written.
    """
    if not len(images) or len(names) != len(images) or (truth is not None and len(truth) != len(images)):
        raise ExplainError(f"{len(images)} pictures with {len(names)} names: at least one picture, and a name for each")
    if len(images) > PICTURES:
        say(f"showing the first {PICTURES} of {len(images)} pictures")
        images, names = images[:PICTURES], names[:PICTURES]
    if model.output_shape[1] != len(classes):
        raise ExplainError(f"the model has {model.output_shape[1]} outputs, and {len(classes)} class names are given")
    say(f"heat maps of {len(images)} pictures")
    heat, shown = grad_cam(model, images)
    logits = np.concatenate(
        [model(images[at : at + 32].astype(np.float32), training=False).numpy() for at in range(0, len(images), 32)]
    )
    files = [out / "heat.png", out / "activations.png", out / "filters.png"]
    write_png(files[0], heat_sheet(images, heat, softmax(logits, temperature), shown, names, classes, truth))
    maps = activations(model, images[0])
    write_png(files[1], activation_sheet(images[0], maps))
    patterns = {}
    # Depthwise filters see one channel behind a ReLU, which noise often leaves silent; those across channels tell more.
    across = list(activations(model, images[0], (keras.layers.Conv2D, keras.layers.SeparableConv2D))) or list(maps)
    for name in _evenly(across, PATTERN_LAYERS):
        filters = _evenly(range(maps[name].shape[2]), PATTERNS)
        say(f"patterns of {len(filters)} filters of {name}")
        patterns[name] = filters, filter_patterns(model, name, filters, seed, ASCENT)
    write_png(files[2], filter_sheet(patterns))
    return files


def _evenly(items: Sequence[Item], most: int) -> list[Item]:
    places = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    return [items[place] for place in places]


def _stretch(levels: np.ndarray) -> np.ndarray:
    low, high = float(levels.min()), float(levels.max())
    return np.zeros(levels.shape, np.uint8) if high <= low else ((levels - low) * (255 / (high - low))).astype(np.uint8)


def _enlarge(picture: np.ndarray, side: int) -> np.ndarray:
    # Pixels stay squares: smoothing would show detail that the network does not have.
    shrunk = picture.shape[0] > side
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_NEAREST)


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GROUND, np.uint8)


def _write(picture: np.ndarray, text: str, line: int, ink: tuple[int, int, int] = INK) -> None:
    """Write a line of text, cut to the picture's width; letters that OpenCV does not have become question marks."""
    plain = text.encode("ascii", "replace").decode()
    while plain and cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0] > picture.shape[1]:
        plain = plain[:-1]
    cv2.putText(picture, plain, (0, 16 + 22 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, 1, cv2.LINE_AA)


def _labelled(picture: np.ndarray, text: str) -> np.ndarray:
    label = _blank(20, picture.shape[1])
    _write(label, text, 0, FAINT)
    return np.vstack([picture, label])


def _titled(title: str, pictures: Sequence[np.ndarray]) -> np.ndarray:
    heading = _blank(22, WIDTH - 2 * GAP)
    _write(heading, title, 0)
    return _column([heading, _row(pictures)])


def _row(pictures: Sequence[np.ndarray]) -> np.ndarray:
    gap = _blank(pictures[0].shape[0], GAP)
    return np.hstack([part for one in pictures for part in (one, gap)][:-1])


def _column(pictures: Sequence[np.ndarray]) -> np.ndarray:
    width = max(one.shape[1] for one in pictures)
    return np.vstack(
        [np.pad(one, ((0, GAP), (0, width - one.shape[1]), (0, 0)), constant_values=GROUND) for one in pictures]
    )


def _frame(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture, ((GAP, 0), (GAP, GAP), (0, 0)), constant_values=GROUND)
