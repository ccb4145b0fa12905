"""`galaxy-edge eval composites`: galaxies added to raw exposures.

They are searched by the detector and by a fitted SEP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...models.bundle import Bundle
from ...models.intervals import poisson_interval, wilson_interval
from ...runtime.imaging.tiling import TileSelector
from ...runtime.inference.raw_detector import RawDetector
from ...training.data.errors import DataError
from ...training.formats.read_set import read_set
from ...training.scenes.cutouts import Cutout, cut_out, segment_sources
from ...training.scenes.raw_frames import RawFrame, parted
from .evaluate import held_out_samples
from .raw_composites import compose
from .raw_search import MIN_IOU, SearchedFrame, match, search, signals_at
from .records.raw import CompositesResult, DetectorFalse, FalseRate, FoundCount, SepFalse, SignalGroup
from .sep_baseline import SepImages, SepSettings, SourceFilter, at_equal_false_alarms, summed_superpixels

SIGNAL_BINS = (0.7, 1.0, 2.0, 4.0, 8.0, 20.0)
"""Limits of the bins of mean light inside a galaxy's ellipse, in standard deviations of a superpixel's noise."""
BRIGHT = 2.0
"""Minimum signal of galaxies that are counted in the total that is compared with the goal."""
CUTOUT_SET = "gz_frames"
"""Data set of the added galaxies: one in the middle of each frame, with little around it."""
MAX_CUTOUTS = 300
GALAXIES = 4
"""Maximum number of galaxies added to a frame; fewer if there is no room."""
TARGET_SIDE = 190.0
"""Side in superpixels of the box around a frame's own target in which detections are not counted."""
ALLOWED_FALSE = 0.05
"""False detections per frame at which the baselines are fitted."""
FIT_REPEATS = 16
"""Number of times that each exposure is used for the fit of the baselines; 3 gave the filter too few galaxies."""

Progress = Callable[[int, int], None]


def held_out_cutouts(data: Path, bundles: Sequence[Bundle]) -> list[Cutout]:
    """Cut out galaxies that none of the bundles was trained on.

    Raises:
        DataError: there are none in the data.
    """
    cutouts: list[Cutout] = []
    every = read_set(data, stretch=bundles[0].stretch if bundles else None)
    samples = [sample for sample in every if sample.set == CUTOUT_SET and len(sample.boxes) == 1]
    for sample in held_out_samples(samples, bundles, data) if samples else ():
        image = sample.load()
        cutout = cut_out(image, sample.boxes[0], segment_sources(image))
        if cutout is not None:
            cutouts.append(cutout)
            if len(cutouts) == MAX_CUTOUTS:
                break
    if not cutouts:
        raise DataError(f"{data} holds no galaxies of {CUTOUT_SET} that the detector was not trained on")
    return cutouts


def composites(
    frames: Sequence[RawFrame], cutouts: Sequence[Cutout], repeats: int, seed: int
) -> Iterator[tuple[RawFrame, SearchedFrame]]:
    """Add galaxies to each frame, `repeats` times with other galaxies.

    Yields:
        a frame, and its galaxies with the frame's own target to ignore; without detections.
    """
    for repeat in range(repeats):
        for number, frame in enumerate(frames):
            composed = compose(np.random.default_rng([seed, repeat, number]), frame, cutouts, GALAXIES)
            half = TARGET_SIDE / 2
            x, y = frame.x / 2, frame.y / 2
            ignore = np.array([[x - half, y - half, x + half, y + half]], np.float32)
            truth = SearchedFrame(composed.boxes, composed.signals, ignore, np.zeros((0, 4), np.float32), np.zeros(0))
            yield composed.frame, truth


# Long because half of it describes its arguments and result.
def evaluate_composites(
    detector: RawDetector,
    exposures: Sequence[RawFrame],
    cutouts: Sequence[Cutout],
    repeats: int = 3,
    seed: int = 1,
    progress: Progress = lambda *_: None,
    fit_repeats: int = FIT_REPEATS,
) -> CompositesResult:
    """Add galaxies to the exposures of unseen skies, and search them.

    The detector was not trained on these skies.

    Args:
        detector: of raw frames.
        exposures: raw exposures in order, see `raw_frames.parted` for which of them are tested on.
        cutouts: galaxies to add, see `held_out_cutouts`.
        repeats: number of times that each exposure is used, each time with other galaxies.
        seed: of the galaxies, their sizes, signals and positions.
        fit_repeats: number of times that each exposure is used that the baselines are fitted on.

    Returns:
        Galaxies found by signal, and false detections.

    Raises:
        DataError: there are too few exposures, or one is not of a colour sensor.
    """
    if mono := next((frame.file for frame in exposures if frame.pattern is None), None):
        raise DataError(
            f"{mono} has no Bayer pattern (BAYERPAT): galaxies can be added to frames of colour sensors only"
        )
    *others, test = parted(exposures)
    if not test or not any(others):
        raise DataError("too few exposures: the baselines are fitted on some, and others are tested on")
    baselines = _fit_sep([*others[0], *others[1]], cutouts, fit_repeats, seed + 1)
    searched, images = _search_all(detector, composites(test, cutouts, repeats, seed), repeats * len(test), progress)
    matches = [match(frame) for frame in searched]
    false = sum(int(wrong.sum()) for _, wrong in matches)
    hits = {"detector": np.concatenate([found for found, _ in matches])}
    thresholds = {baseline.threshold for baseline in baselines}
    sep = _search_with_sep(SepImages(zip(searched, images, strict=True), thresholds), *baselines, false)
    hits |= {name: found for name, (found, _) in sep.items()}
    signals = np.concatenate([frame.signals for frame in searched])
    at = np.concatenate([signals_at(frame, wrong) for frame, (_, wrong) in zip(searched, matches, strict=True)])
    sep_rate = {name: vars(_rate(count, len(searched))) for name, (_, count) in sep.items()}
    return CompositesResult(
        frames=len(searched),
        exposures=len(test),
        min_iou=MIN_IOU,
        seed=seed,
        bundle=detector.bundle.hash,
        bins=[_group(hits, signals, low, high) for low, high in pairwise(SIGNAL_BINS)],
        bright=_group(hits, signals, BRIGHT),
        all=_group(hits, signals),
        detector=DetectorFalse(
            **vars(_rate(false, len(searched))),
            false_on_sky=int((at == 0).sum()),
            without_faint=_rate(int(((at == 0) | (at >= BRIGHT)).sum()), len(searched)),
        ),
        sep=SepFalse(**sep_rate["sep"], settings=asdict(baselines[0])),
        sep_tuned=SepFalse(**sep_rate["sep_tuned"], settings={"threshold": baselines[1].threshold}),
    )


def _fit_sep(
    exposures: Sequence[RawFrame], cutouts: Sequence[Cutout], repeats: int, seed: int
) -> tuple[SepSettings, SourceFilter]:
    """Return the settings and the filter of SEP that find most galaxies.

    They may have `ALLOWED_FALSE` false detections per frame.
    """
    frames = composites(exposures, cutouts, repeats, seed)
    images = SepImages((truth, summed_superpixels(frame)) for frame, truth in frames)
    return images.best_settings(ALLOWED_FALSE), images.best_filter(ALLOWED_FALSE, len(exposures))


def _search_with_sep(
    images: SepImages, settings: SepSettings, learned: SourceFilter, allowed: int
) -> dict[str, tuple[np.ndarray, int]]:
    """Search with SEP: by its settings, and by its filter.

    Return which galaxies each finds, and its number of false detections. Both have at most `allowed` false detections.
    """
    frames = {"sep": images.searched(settings), "sep_tuned": images.filtered(learned)}
    found = {name: at_equal_false_alarms(each, allowed) for name, each in frames.items()}
    return {name: (np.concatenate(hits), false) for name, (hits, false) in found.items()}


def _search_all(
    detector: RawDetector, frames: Iterator[tuple[RawFrame, SearchedFrame]], total: int, progress: Progress
) -> tuple[list[SearchedFrame], list[np.ndarray]]:
    """Search frames with the detector.

    Return them with its detections, and their `summed_superpixels`.
    """
    tiles = TileSelector("auto")
    searched, images = [], []
    for done, (frame, truth) in enumerate(frames):
        progress(done, total)
        boxes, scores = search(detector, tiles, frame)
        searched.append(truth._replace(boxes=boxes, scores=scores))
        images.append(summed_superpixels(frame))
    return searched, images


def _rate(false: int, frames: int) -> FalseRate:
    return FalseRate(false, false / frames, poisson_interval(false, frames))


def false_text(detector: DetectorFalse) -> str:
    """Describe the number and position of false detections."""
    low, high = detector.false_interval
    text = f"{detector.false} false detections, {detector.false_per_frame:.3f} per frame [{low:.3f}, {high:.3f}]"
    rest = detector.without_faint
    low, high = rest.false_interval
    return (
        f"{text}. Of these, {detector.false - detector.false_on_sky} overlap an added galaxy, but their boxes are "
        f"not right. Without those on galaxies under {BRIGHT:g} sigma: {rest.false}, "
        f"{rest.false_per_frame:.3f} per frame [{low:.3f}, {high:.3f}]"
    )


def _group(
    hits: dict[str, np.ndarray], signals: np.ndarray, low: float | None = None, high: float | None = None
) -> SignalGroup:
    """Count the galaxies with signals from `low` on and under `high`."""
    chosen = (signals >= (low or 0)) & (signals < (np.inf if high is None else high))
    total = int(chosen.sum())
    counts = {name: int(found[chosen].sum()) for name, found in hits.items()}
    rows = {name: FoundCount(count, wilson_interval(count, total)) for name, count in counts.items()}
    return SignalGroup(low=low, high=high, galaxies=total, **rows)


def composite_rows(result: CompositesResult) -> list[tuple[str, ...]]:
    """Return table rows by signal.

    They hold the number of galaxies, and the shares that the detector, SEP and SEP with a learned filter found, with
    intervals.
    """
    groups = [(f"{group.low:g} to {group.high:g}", group) for group in result.bins]
    groups += [(f"{result.bright.low:g} and more", result.bright), ("all", result.all)]
    return [
        (
            title,
            str(group.galaxies),
            *(_share(count, group.galaxies) for count in (group.detector, group.sep, group.sep_tuned)),
        )
        for title, group in groups
    ]


def _share(count: FoundCount | None, total: int) -> str:
    if count is None:
        return ""  # of an earlier version
    low, high = count.interval
    return f"{count.found / total:.2f} [{low:.2f}, {high:.2f}]" if total else "-"
