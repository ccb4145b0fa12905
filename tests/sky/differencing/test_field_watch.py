"""New stars near a galaxy are found; what only looks like one is not."""

import datetime

import numpy as np
import pytest
from galaxy_edge.sky.catalogue.objects import CatalogueObject
from galaxy_edge.sky.differencing import field_watch
from galaxy_edge.sky.differencing.difference import Image, NotComparable
from galaxy_edge.sky.differencing.field_watch import FieldWatch
from galaxy_edge.sky.differencing.search_area import SearchArea
from galaxy_edge.sky.tycho2 import Stars
from galaxy_edge.sky.wcs import Wcs

SIDE, SCALE, ZERO, NOISE = 240, 4.0, 20.0, 4.0
START = datetime.datetime(2026, 11, 28, 22, tzinfo=datetime.UTC)
GALAXY = CatalogueObject("NGC 1", (), "galaxy", 150.0, 30.0, 160.0, 100.0, 30.0, 11.0)
NEW = (150.012, 30.006, 14.0)
"""Right ascension, declination and magnitude of the new star, of about 14 sigma in a stack."""


def wcs(angle=0.0, scale=SCALE, mirrored=False, shift=(0.0, 0.0)):
    turn, step = np.radians(angle), scale / 3600
    cd = step * np.array([[-np.cos(turn), -np.sin(turn)], [np.sin(turn), -np.cos(turn)]])
    if mirrored:
        cd[:, 0] *= -1
    return Wcs((150.0, 30.0), (SIDE / 2 + shift[0], SIDE / 2 + shift[1]), cd, SIDE, SIDE)


class Sky:
    """Stars around the galaxy; also the star catalogue, which has the brighter ones."""

    def __init__(self):
        rng = np.random.default_rng(3)
        radius, angle = 0.13 * np.sqrt(rng.uniform(0.06, 1, 60)), rng.uniform(0, 2 * np.pi, 60)
        self.ra = 150 + radius * np.cos(angle) / np.cos(np.radians(30))
        self.dec = 30 + radius * np.sin(angle)
        self.magnitude = np.sort(rng.uniform(9.5, 13.5, 60))

    def within(self, ra, dec, radius, faintest=99.0):
        return Stars(self.ra[:40], self.dec[:40], self.magnitude[:40])

    def image(self, wcs, seed, more=(), sigma=1.1):
        """Return an image with noise; `more` has position and magnitude of others."""
        rng = np.random.default_rng(seed)
        light = rng.normal(1000, NOISE, (wcs.height, wcs.width)).astype(np.float32)
        y, x = np.mgrid[: wcs.height, : wcs.width] + 0.5
        gx, gy = wcs.to_pixels(np.array([[150.0, 30.0]]))[0]
        light += 60 * np.exp(-np.hypot(x - gx, y - gy) / 6)
        stars = [*zip(self.ra, self.dec, self.magnitude, strict=True), *more]
        spots = wcs.to_pixels(np.array([star[:2] for star in stars]))
        for (sx, sy), (_, _, magnitude) in zip(spots, stars, strict=True):
            flux = 10 ** (-0.4 * (magnitude - ZERO)) / (2 * np.pi * sigma**2)
            light += (flux * np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / (2 * sigma**2))).astype(np.float32)
        return Image(light, wcs)


SKY = Sky()


@pytest.fixture(scope="module")
def reference():
    images = [SKY.image(wcs(), seed).light for seed in range(4)]
    return Image(np.mean(images, axis=0), wcs())


def watched(reference, stacks, **options):
    """Give stacks to a watch, five minutes apart; return the results."""
    area = SearchArea([GALAXY], reference.wcs)
    watch = FieldWatch(reference, area, SKY, **options)
    return [watch.add(stack, START + datetime.timedelta(minutes=5 * number)) for number, stack in enumerate(stacks)]


def test_new_star_is_a_candidate_after_three_stacks(reference):
    """The stacks are turned, mirrored, shifted and of another seeing."""
    frames = [wcs(20), wcs(-65, shift=(6, -9)), wcs(0, mirrored=True)]
    stacks = [SKY.image(frame, 10 + n, [NEW], 1.2) for n, frame in enumerate(frames)]
    results = watched(reference, stacks)
    assert [len(result.candidates) for result in results] == [0, 0, 1]
    found = results[-1].candidates[0]
    off = np.hypot((found.ra - NEW[0]) * np.cos(np.radians(30)), found.dec - NEW[1]) * 3600
    assert off < min(4 * found.position_error, 2.0) and found.position_error < 2
    assert abs(found.magnitude - NEW[2]) < max(3 * found.magnitude_error, 0.15)
    assert found.offset.galaxy == "NGC 1" and found.offset.east == pytest.approx(37.4, abs=3)
    assert found.offset.north == pytest.approx(21.6, abs=3) and (found.sightings, found.stacks) == (3, 3)
    assert found.recovered > 0.7 and found.cutouts.difference.shape == found.cutouts.new.shape == (41, 41)


def test_stacks_that_do_not_reach_its_position_do_not_count(reference):
    """Four of seven stacks are shifted so far that the new star is outside of them."""
    away = [wcs(shift=(135, 0))] * 4
    frames = [wcs(), wcs(4), *away, wcs(8)]
    found = watched(reference, [SKY.image(frame, 90 + n, [NEW]) for n, frame in enumerate(frames)], seed=None)
    (candidate,) = found[-1].candidates
    assert (candidate.sightings, candidate.stacks) == (3, 3)


def test_satellites_do_not_fill_the_list_of_positions(reference, monkeypatch):
    """What one stack showed long ago is forgotten first."""
    monkeypatch.setattr(field_watch, "MAX_SPOTS", 1)
    satellite = (NEW[0], NEW[1] - 0.012, 13.0)
    stacks = [SKY.image(wcs(5 * n), 110 + n, [NEW if n else satellite]) for n in range(4)]
    assert len(watched(reference, stacks, seed=None)[-1].candidates) == 1


def test_nothing_new_gives_nothing(reference):
    results = watched(reference, [SKY.image(wcs(9 * n), 30 + n) for n in range(4)])
    assert sum(len(result.candidates) for result in results) == 0
    assert sum(result.detections for result in results) <= 1


@pytest.mark.parametrize(
    ("name", "step"), [("satellite or cosmic ray, in one stack only", None), ("minor planet", 0.0012)]
)
def test_what_does_not_stay_is_no_candidate(reference, name, step):
    """A minor planet moves by about a pixel between stacks."""
    at = [(NEW[0], NEW[1] + step * n, 13.0) if step else NEW for n in range(4)]
    stacks = [SKY.image(wcs(5 * n), 50 + n, [at[n]] if step or n == 1 else []) for n in range(4)]
    assert not any(result.candidates for result in watched(reference, stacks, seed=None))


def test_variable_star_of_the_catalogue_is_no_candidate(reference):
    """A known star that is near the galaxy and brighter than before."""
    near = np.argmin(np.hypot((SKY.ra - 150) * 0.87, SKY.dec - 30)[:40])
    bright = (SKY.ra[near], SKY.dec[near], SKY.magnitude[near] + 0.5)
    stacks = [SKY.image(wcs(5 * n), 70 + n, [bright]) for n in range(3)]
    assert not any(result.candidates for result in watched(reference, stacks, seed=None))


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        (SKY.image(wcs(scale=5.5), 1), "times as large"),
        (SKY.image(wcs(shift=(500.0, 0.0)), 1), "of the field of the reference"),
        (Image(np.random.default_rng(1).normal(1000, 60, (SIDE, SIDE)).astype(np.float32), wcs()), "clouds"),
    ],
)
def test_stack_that_does_not_fit_is_refused_in_words(reference, stack, reason):
    with pytest.raises(NotComparable, match=reason):
        watched(reference, [stack], seed=None)


def test_deeper_and_shallower_references_find_the_same_star(reference):
    shallow = SKY.image(wcs(), 0)
    for old in (reference, shallow):
        stacks = [SKY.image(wcs(30 * n), 90 + n, [(*NEW[:2], 13.3)]) for n in range(3)]
        assert [len(result.candidates) for result in watched(old, stacks, seed=None)] == [0, 0, 1]
