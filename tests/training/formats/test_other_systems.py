"""Labels as other systems and programs write them.

Byte-order marks, paths of another computer, 16 bits, FITS.
"""

import codecs
import json

import cv2
import numpy as np
import pytest
from astropy.io import fits
from galaxy_edge.models.images.decoder import decode_image
from galaxy_edge.training.formats.annotation import LabelError
from galaxy_edge.training.formats.check import check
from galaxy_edge.training.formats.class_names import parse_yaml_names
from galaxy_edge.training.formats.images import load_image
from galaxy_edge.training.formats.preview import draw_sheet
from galaxy_edge.training.formats.registry import read_labels, write_labels
from galaxy_edge.training.formats.samples import read_samples
from galaxy_edge.training.formats.tfrecord import _read_label_map
from helpers.labels import encoded_image, single_image_set, write_images
from helpers.mosaics import fits_file, mosaic_of, scene

BOX = [4, 5, 30, 31]


def coco(folder, names, images, encoding="utf-8", where=""):
    """Write a COCO file with one box in each named image, and images of other names."""
    write_images(folder, images)
    images = [{"id": number, "file_name": name, "width": 64, "height": 48} for number, name in enumerate(names)]
    bbox = [BOX[0], BOX[1], BOX[2] - BOX[0], BOX[3] - BOX[1]]
    boxes = [{"id": number, "image_id": number, "category_id": 1, "bbox": bbox} for number in range(len(names))]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "galaxy"}]}
    (folder / where).mkdir(exist_ok=True)
    (folder / where / "annotations.json").write_bytes(json.dumps(content).encode(encoding))
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "images\\m31.png",
        "C:\\Users\\me\\sky\\m31.png",
        "D:/sky/m31.png",
        "\\\\server\\share\\m31.png",
        "/home/me/sky/m31.png",
        "../../upload/4/m31.png",
        "http://localhost:8080/data/upload/1/m31.png",
        "file:///home/me/m31.png",
        "/data/local-files/?d=sky/m31.png",
        "https://example.org/m31.png?token=a/b",
        "C:\\sky\\M31.PNG",
    ],
)
@pytest.mark.parametrize("path", ["images/m31.png", "m31.png", "deep/er/m31.png"])
def test_an_image_of_another_computers_path_is_found_by_its_name(tmp_path, name, path):
    """In COCO and VOC files, a path is reduced to the name of the file here."""
    coco(tmp_path / "coco", [name], [path])
    (image,) = read_labels(tmp_path / "coco", "coco").images
    assert image.file == path.removeprefix("images/") and image.archive and image.boxes.tolist() == [BOX]
    write_images(tmp_path / "voc", [path])
    values = "".join(f"<{s}>{v}</{s}>" for s, v in zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True))
    box = f"<object><name>galaxy</name><bndbox>{values}</bndbox></object>"
    (tmp_path / "voc" / "label.xml").write_text(
        f"<annotation><filename>{name}</filename><size><width>64</width><height>48</height></size>{box}</annotation>"
    )
    (image,) = read_labels(tmp_path / "voc", "voc").images
    assert image.file == path and image.archive


def test_images_of_equal_name_are_distinguished_by_folder_or_refused(tmp_path):
    """Guessing would put the boxes of one night on the image of another."""
    folder = coco(tmp_path / "two", ["C:\\x\\one\\m31.png", "C:\\x\\two\\m31.png"], ["one/m31.png", "two/m31.png"])
    assert [image.file for image in read_labels(folder, "coco").images] == ["one/m31.png", "two/m31.png"]
    folder = coco(tmp_path / "which", ["C:\\x\\m31.png"], ["one/m31.png", "two/m31.png"])
    with pytest.raises(LabelError, match=r"several images are called m31\.png \(here: one/m31\.png, two/m31\.png\)"):
        read_labels(folder, "coco")
    folder = coco(tmp_path / "same", ["C:\\a\\m31.png", "C:\\b\\m31.png"], ["m31.png"])
    with pytest.raises(LabelError, match=r"several images are called m31\.png"):
        read_labels(folder, "coco")
    folder = coco(tmp_path / "none", ["C:\\a\\m51.png"], ["m31.png"])
    with pytest.raises(LabelError, match=r"no image here is called m51\.png: put the images next to the labels"):
        read_labels(folder, "coco")
    (folder / "label.xml").write_text("<annotation><filename>C:\\a\\m51.png</filename></annotation>")
    with pytest.raises(LabelError, match=r"no image here is called m51\.png"):
        read_labels(folder, "voc")


def test_an_encoded_name_is_decoded_where_no_image_has_it(tmp_path):
    """M%20100.png is M 100.png, unless there is a file of just that name."""
    folder = coco(tmp_path / "encoded", ["M%20100.png"], ["M 100.png"])
    assert [image.file for image in read_labels(folder, "coco").images] == ["M 100.png"]
    folder = coco(tmp_path / "plain", ["M%20100.png"], ["M%20100.png", "M 100.png"])
    assert [image.file for image in read_labels(folder, "coco").images] == ["M%20100.png"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["yolo", "coco"])
def test_byte_order_marks_are_skipped(tmp_path, name, encoding):
    """Windows editors write them before JSON, YAML, lines and lists of classes."""
    labels = single_image_set(tmp_path / "from", [BOX])
    write_labels(labels, tmp_path / "to", name)
    for path in (tmp_path / "to").rglob("*"):
        if path.suffix in (".json", ".yaml", ".txt") and not (name == "coco" and encoding == "utf-16"):
            path.write_bytes(path.read_text().encode(encoding))
    (image,) = read_labels(tmp_path / "to").images
    assert image.boxes.tolist() == [BOX] and image.classes == labels.images[0].classes


def test_a_label_map_with_a_byte_order_mark(tmp_path):
    """The first item of the map must not be lost, nor the map."""
    text = 'item {\n  id: 1\n  name: "galaxy"\n}\n'
    (tmp_path / "label_map.pbtxt").write_bytes(codecs.BOM_UTF8 + text.encode())
    assert _read_label_map(tmp_path, []) == {1: "galaxy"}
    (tmp_path / "label_map.pbtxt").write_bytes(text.encode("utf-16"))
    assert _read_label_map(tmp_path, []) == {1: "galaxy"}


@pytest.mark.parametrize(
    "text",
    [
        "names: [galaxy, 'star']  # two\nnc: '2'\n",
        'names:\n  "0": galaxy  # the first\n  \'1\': "star"\n',
        "# by hand\nnc: 2 # two\nnames: # below\n- galaxy\n\n- star # last\n",
        "%YAML 1.2\n---\nnames: {0: galaxy, 1: star}\n...\n",
        "names: &n\r\n  - galaxy\r\n  - star\r\nothers: *n\r\n",
    ],
)
def test_yaml_of_class_names_in_common_styles(text):
    """Comments, quotes, quoted numbers, anchors and line ends of Windows."""
    assert parse_yaml_names(text, "data.yaml") == ["galaxy", "star"]


@pytest.mark.parametrize("kind", ["png", "tif", "fits", "fits.gz", "fit"])
def test_16_bit_images_and_fits_are_decoded_as_in_a_run(tmp_path, kind):
    """Training and evaluation need the same stretch as a run at the telescope."""
    grey = cv2.cvtColor(cv2.imdecode(np.frombuffer(encoded_image(1, 64, 48), np.uint8), 1), cv2.COLOR_BGR2GRAY)
    deep = grey.astype(np.uint16) * 90 + 1200
    path = tmp_path / f"a.{kind}"
    if kind.startswith("fit"):
        fits.PrimaryHDU(deep).writeto(path)
    else:
        cv2.imwrite(str(path), deep)
    coco(tmp_path, [path.name], [])
    labels, found = check(tmp_path)
    assert not found and labels.images[0].file == path.name
    expected = decode_image(path.read_bytes(), path.name).pixels
    np.testing.assert_array_equal(load_image(labels.images[0]), expected)
    (sample,) = read_samples(tmp_path)  # as training and evaluation read it
    np.testing.assert_array_equal(sample.load(), expected)
    assert sample.boxes.tolist() == [BOX]


@pytest.mark.parametrize(("scale", "size"), [(1, (63, 48)), (2, (126, 96))])
def test_boxes_on_a_bayer_mosaic_are_in_pixels_of_the_file(tmp_path, scale, size):
    """A labelling program shows the file.

    A network is trained on superpixels of half the size, as a run sees them.
    """
    (tmp_path / "a.fits").write_bytes(fits_file(mosaic_of(scene(96, 126)), BAYERPAT="GRBG"))
    coco(tmp_path, ["a.fits"], [])
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["images"][0] |= {"width": size[0], "height": size[1]}
    content["annotations"][0]["bbox"] = [scale * value for value in content["annotations"][0]["bbox"]]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    labels, found = check(tmp_path)
    assert not found and labels.images[0].width == size[0]
    (sample,) = read_samples(tmp_path)
    assert sample.load().shape == (48, 63, 3) and sample.boxes.tolist() == [BOX]
    del content["images"][0]["width"], content["images"][0]["height"]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert read_labels(tmp_path, "coco").images[0].width == 126, "without a size, the file's pixels are meant"
    assert draw_sheet(labels.images, ["galaxy"]).shape[2] == 3
