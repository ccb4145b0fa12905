"""Images of labelled sets.

Complete ones are decoded, damaged ones are refused with the reason.
"""

import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from galaxy_edge.training.formats.annotation import LabelError
from galaxy_edge.training.formats.images import BrokenImageError, decode, image_size, list_files
from helpers.labels import encoded_image, write_images


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_size_of_every_kind(suffix):
    assert image_size(encoded_image(1, 40, 30, suffix)) == (40, 30)


def test_images_are_rgb():
    blue = np.zeros((16, 16, 3), np.uint8)
    blue[..., 0] = 200  # OpenCV writes blue first
    assert decode(cv2.imencode(".png", blue)[1].tobytes())[0, 0].tolist() == [0, 0, 200]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.97])
def test_truncated_files_are_broken(suffix, share):
    whole = encoded_image(1, 64, 48, suffix)
    with pytest.raises(BrokenImageError, match="truncated"):
        decode(whole[: int(share * len(whole))])


def test_a_preview_inside_does_not_end_the_image():
    # Cameras put a small JPEG, with its own end mark, before the image.
    small, whole = encoded_image(1, 16, 16, ".jpg"), encoded_image(2, 64, 48, ".jpg")
    block = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    both = whole[:2] + block + whole[2:]
    assert image_size(both) == (64, 48)
    with pytest.raises(BrokenImageError, match="JPEG is truncated"):
        decode(both[:-30])


def test_empty_and_invalid_content_is_refused():
    with pytest.raises(BrokenImageError, match="empty"):
        decode(b"")
    with pytest.raises(BrokenImageError, match="not a PNG, JPEG, TIFF, BMP or FITS image"):
        decode(b"text")


def test_rotated_photograph_has_its_displayed_size():
    # labelImg and OpenCV both turn an image as its EXIF tag says.
    whole = encoded_image(2, 64, 48, ".jpg")
    tag = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    assert image_size(whole[:2] + b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag + whole[2:]) == (48, 64)


def test_hidden_files_are_passed_over(tmp_path):
    for name in ("b/x.png", ".hidden/x.png", "._x.png", "a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for path in list_files(tmp_path)] == ["a.png", "b/x.png"]


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch):
    # os.walk says nothing of it, and a set would be short of what is in it. (Root may read all, hence the patch.)
    write_images(tmp_path, ["a.png", "closed/b.png"])
    scan = os.scandir

    def refusing(path):
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(LabelError, match="closed: the folder cannot be read: Permission denied"):
        list(list_files(tmp_path))
