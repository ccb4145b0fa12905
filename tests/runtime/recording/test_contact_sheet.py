"""The contact sheet: frames with finds, each with its time and names."""

import datetime

import numpy as np
import pytest
from galaxy_edge.runtime.frame import Detections, Frame
from galaxy_edge.runtime.recording.contact_sheet import BAR, GAP, SIDE, ContactSheet, frame_caption, frame_value

CLASSES = ("spiral_tight", "smooth_round")


def sheet_of(values, shape=(48, 64)):
    """Return the composed sheet of frames, whose grey level is their number."""
    sheet = ContactSheet()
    for number, value in enumerate(values):
        if sheet.wants_next(value):
            sheet.add(np.full((*shape, 3), number, np.uint8), f"{number}")
    return sheet.compose()


def levels(sheet, width, height):
    """Return the grey level in the middle of each cell, row by row."""
    rows, columns = sheet.shape[0] // (height + BAR), sheet.shape[1] // width
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    return [int(sheet[row * (height + BAR) + height // 2, column * width + width // 2, 0]) for row, column in cells]


def detections(count, names=()):
    """Return a number of detections, of the first class and score 0.5."""
    boxes = np.tile(np.array([1, 1, 9, 9], np.float32), (count, 1))
    probabilities = np.tile(np.array([0.9, 0.1], np.float32), (count, 1))
    return Detections(boxes, np.full(count, 0.5, np.float32), probabilities, names)


def test_frames_with_finds_are_chosen_over_the_whole_run():
    """Of 100 frames, galaxies are in two short moments."""
    values = np.zeros(100)
    values[[7, 8, 9]], values[90] = (1, 3, 2), 1
    assert levels(sheet_of(values), SIDE, 480) == pytest.approx([8, 90], abs=2)


def test_equal_frames_are_spread_evenly():
    shown = levels(sheet_of([1.0] * 48), SIDE, 480)
    assert shown == pytest.approx(list(range(0, 48, 4)), abs=2)


def test_run_without_finds_has_a_sheet_too():
    assert levels(sheet_of([0.0] * 3), SIDE, 480)[:3] == pytest.approx([0, 1, 2], abs=2)


@pytest.mark.parametrize(("shape", "cell"), [((96, 54), (360, 640)), ((50, 50), (640, 640)), ((27, 48), (640, 360))])
def test_frames_of_one_shape_have_no_margins(shape, cell):
    sheet = sheet_of([1.0, 1.0], shape)
    width, height = cell
    assert sheet.shape == (height + BAR, 2 * width, 3)
    assert (sheet[:height, : width - GAP] <= 2).all()  # the first frame is black to its edges


def test_the_only_frame_keeps_its_size_and_no_frame_is_no_sheet():
    assert sheet_of([1.0]).shape == (48, 64, 3)
    assert sheet_of([]) is None


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (detections(1, ("M 94",)), "M 94"),
        (detections(5, ("M 84", "M 86", "", "NGC 4388", "NGC 4402")), "M 84, M 86, NGC 4388 and 2 more"),
        (detections(1), "spiral galaxy, tight arms"),
        (detections(3), "3 galaxies"),
        (Detections(np.ones((1, 4), np.float32) * [1, 1, 2, 2], np.ones(1, np.float32)), "1 galaxy"),
        (Detections.empty(), "nothing found"),
    ],
)
def test_caption_has_the_local_time_and_what_was_found(found, text):
    moment = datetime.datetime(2026, 11, 29, 21, 3).astimezone()
    frame = Frame(np.zeros((48, 64, 3), np.uint8), moment.astimezone(datetime.UTC), "sky", 0)
    assert frame_caption(frame, found, CLASSES, None) == f"21:03  {text}"


def test_catalogued_and_many_finds_are_worth_more():
    values = [Detections.empty(), detections(1), detections(2), detections(2, ("M 94", ""))]
    assert [frame_value(found) for found in values] == sorted(frame_value(found) for found in values)
