"""The contact sheet: boxes in position, coloured by class, dashed if difficult."""

import numpy as np
import pytest
from galaxy_edge.training.formats.preview import (
    COLOURS,
    GAP,
    HEADER_HEIGHT,
    SIDE,
    choose_images,
    draw_sheet,
    write_sheet,
)
from galaxy_edge.training.formats.writing import WriteError
from helpers.labels import awkward_set, single_image_set


def tile(encoded_image):
    return encoded_image[HEADER_HEIGHT : HEADER_HEIGHT + SIDE, GAP : GAP + SIDE]


def drawn(encoded_image, colour):
    return np.argwhere((encoded_image == np.array(colour)).all(axis=2))


@pytest.mark.parametrize("difficult", [False, True])
def test_a_box_is_drawn_where_it_is(tmp_path, difficult):
    # 64 pixels become 300: the box from 16, 8 to 48, 40 is drawn from 75, 38 to 225, 188.
    labels = single_image_set(tmp_path, [[16, 8, 48, 40]], difficult=[difficult])
    found = drawn(tile(draw_sheet(labels.images, labels.classes)), COLOURS[0])
    assert found.min(axis=0).tolist() == pytest.approx([38, 75], abs=4)
    assert found.max(axis=0).tolist() == pytest.approx([188, 225], abs=4)
    around = 2 * (150 + 150)
    assert len(found) / around == pytest.approx(0.5 if difficult else 1.0, abs=0.06)


def test_classes_have_their_colours(tmp_path):
    labels = single_image_set(tmp_path, [[5, 5, 20, 20], [30, 5, 50, 20]], ["galaxy", "star"])
    encoded_image = tile(draw_sheet(labels.images, labels.classes))
    assert drawn(encoded_image, COLOURS[0])[:, 1].max() < drawn(encoded_image, COLOURS[1])[:, 1].min()


def test_unusual_boxes_names_and_many_classes_are_drawn(tmp_path):
    labels = awkward_set(tmp_path)
    encoded_image = draw_sheet(labels.images, labels.classes)
    assert encoded_image.dtype == np.uint8 and encoded_image.shape == (
        HEADER_HEIGHT + 3 * (SIDE + 26) + GAP,
        3 * (SIDE + GAP) + GAP,
        3,
    )
    assert draw_sheet(labels.images[:1], [*labels.classes, *map(str, range(20))]).shape[1] == SIDE + 2 * GAP


def test_the_draw_is_seeded(tmp_path):
    labels = awkward_set(tmp_path)
    names = [[image.file for image in choose_images(labels, 4, seed)] for seed in (1, 1, 2)]
    assert names[0] == names[1] != names[2] and len(names[0]) == 4
    assert len(choose_images(labels, 400, 1)) == len(labels.images)


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"no picture"), lambda path: path.unlink()])
def test_broken_image_is_replaced_by_its_error(tmp_path, spoil):
    # One bad file of a thousand must not keep the others from being looked at.
    labels = single_image_set(tmp_path, [[5, 20, 20, 40]])
    whole = draw_sheet(labels.images, labels.classes)
    spoil(tmp_path / "m31.png")
    broken = draw_sheet(labels.images, labels.classes)
    assert broken.shape == whole.shape and tile(broken)[:80].max() > 200
    assert len(drawn(tile(broken), COLOURS[0])) > 200


def test_an_older_sheet_is_replaced_but_no_folder(tmp_path):
    for level in (10, 20):
        write_sheet(tmp_path / "a" / "sheet.png", np.full((8, 8, 3), level, np.uint8))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["sheet.png"]
    (tmp_path / "b.png").mkdir()
    (tmp_path / "b.png" / "x").write_text("")
    with pytest.raises(WriteError, match="exists already"):
        write_sheet(tmp_path / "b.png", np.zeros((8, 8, 3), np.uint8))
