"""Pascal VOC as labelImg 1.8 reads and writes it, and other XML files."""

import re

import numpy as np
import pytest
from galaxy_edge.training.formats.annotation import LabelError
from galaxy_edge.training.formats.registry import detect, read_labels, write_labels
from galaxy_edge.training.formats.voc import to_xml
from helpers.labels import awkward_set, encoded_image, single_image_set, write_images

# As labelImg 1.8.6 saves it, letter by letter: no declaration, tabs, the path of the machine it was drawn on. The first
# box was drawn from outside the upper left corner (labelImg writes at least 1), so that it counts as truncated.
LABELIMG = """<annotation verified="yes">
	<folder>night 1</folder>
	<filename>m31.png</filename>
	<path>/home/somebody/night 1/m31.png</path>
	<source>
		<database>Unknown</database>
	</source>
	<size>
		<width>64</width>
		<height>48</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
	<object>
		<name>galaxy</name>
		<pose>Unspecified</pose>
		<truncated>1</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>1</xmin>
			<ymin>1</ymin>
			<xmax>31</xmax>
			<ymax>24</ymax>
		</bndbox>
	</object>
	<object>
		<name>star</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>1</difficult>
		<bndbox>
			<xmin>40</xmin>
			<ymin>10</ymin>
			<xmax>52</xmax>
			<ymax>22</ymax>
		</bndbox>
	</object>
</annotation>
"""


def label(folder, text=LABELIMG, name="m31.xml", images=("m31.png",)):
    write_images(folder, images)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def read_as_labelimg(path):
    """Read a label as labelImg's reader does.

    The file's name, then int(float()) of each side and int() of the flag.
    """
    etree = pytest.importorskip("lxml.etree", reason="labelImg's own XML reader")
    root = etree.parse(path, etree.XMLParser(encoding="utf-8")).getroot()
    return root.find("filename").text, [
        (
            thing.find("name").text,
            bool(int(thing.find("difficult").text)),
            *(int(float(thing.find("bndbox").find(side).text)) for side in ("xmin", "ymin", "xmax", "ymax")),
        )
        for thing in root.findall("object")
    ]


def test_labelimg_and_this_package_read_and_write_the_same(tmp_path):
    """LabelImg's file is written again letter by letter, except for the path.

    LabelImg reads what is written.
    """
    own = read_labels(label(tmp_path / "night 1"))
    (annotation,) = own.images
    assert (annotation.file, annotation.width, annotation.height) == ("m31.png", 64, 48)
    assert annotation.boxes.tolist() == [[1, 1, 31, 24], [40, 10, 52, 22]]  # as they stand: 0-based edges, whole pixels
    assert annotation.classes == ("galaxy", "star") and annotation.difficult.tolist() == [False, True]
    assert annotation.about == {"verified": True} and annotation.extras == ({}, {})
    assert annotation.read_bytes() == encoded_image(0)
    assert to_xml(annotation, "night 1") == LABELIMG.replace("/home/somebody/night 1/m31.png", "m31.png")
    for source in (own, awkward_set(tmp_path / "p")):
        out = tmp_path / f"out-{len(source.images)}"
        write_labels(source, out, "voc")
        for image in source.images:
            boxes = zip(image.classes, image.difficult.tolist(), image.boxes.tolist(), strict=True)
            expected = [(name, flag, *map(int, box)) for name, flag, box in boxes]
            assert read_as_labelimg((out / image.file).with_suffix(".xml")) == (image.file.split("/")[-1], expected)


def test_truncated_is_set_as_by_labelimg(tmp_path):
    boxes = [[1, 5, 9, 9], [5, 1, 9, 9], [5, 5, 64, 9], [5, 5, 9, 48], [5, 5, 9, 9], [0, 0, 9, 9]]
    xml = to_xml(single_image_set(tmp_path, boxes).images[0])
    assert re.findall(r"<truncated>(\d)", xml) == ["1", "1", "1", "1", "0", "0"]


@pytest.mark.parametrize(
    "xml, image",
    [
        ("Annotations/m31.xml", "JPEGImages/m31.png"),
        ("annotations/m31.xml", "images/m31.png"),
        ("labels/m31.xml", "m31.png"),
        ("labels/m31.xml", "night 1/m31.png"),
        ("a/b/m31.xml", "a/b/m31.png"),
    ],
)
def test_image_is_found_in_common_folders(tmp_path, xml, image):
    (found,) = read_labels(label(tmp_path, name=xml, images=[image])).images
    assert found.file == image
    assert found.read_bytes() == encoded_image(0)


@pytest.mark.parametrize("named", ["old name.png", "m31"])
def test_a_renamed_image_is_found_by_its_label(tmp_path, named):
    # labelImg goes by the name of the XML; very old versions wrote the file's name without its ending.
    text = LABELIMG.replace("<filename>m31.png", f"<filename>{named}")
    assert read_labels(label(tmp_path, text)).images[0].file == "m31.png"


def test_an_image_without_xml_is_not_yet_labelled(tmp_path):
    labels = read_labels(label(tmp_path, images=["m31.png", "new.png"]))
    assert [image.file for image in labels.images] == ["m31.png"]
    assert "without an XML, omitted: 1" in labels.notes[0] and "new.png" in labels.notes[0]


def test_an_xml_without_object_is_an_image_without_galaxy(tmp_path):
    text = re.sub(r"\t<object>.*</object>\n", "", LABELIMG, flags=re.S)
    (image,) = read_labels(label(tmp_path, text)).images
    assert image.boxes.shape == (0, 4) and image.classes == ()


def test_size_of_zero_is_read_from_the_image(tmp_path):
    # What scripts write that did not open the image.
    text = LABELIMG.replace("<width>64", "<width>0").replace("<height>48", "<height>0")
    (image,) = read_labels(label(tmp_path, text)).images
    assert (image.width, image.height) == (64, 48)


def test_omitted_elements_are_reported(tmp_path):
    text = LABELIMG.replace("<name>star", "<part><name>arm</name></part><name>star")
    labels = read_labels(label(tmp_path, text))
    assert labels.notes == ("<part> omitted: 1",)


def test_other_xml_is_passed_over(tmp_path):
    label(tmp_path)
    (tmp_path / "project.xml").write_text("<project><annotation/></project>")
    labels = read_labels(tmp_path)
    assert len(labels.images) == 1 and labels.notes[0] == "not a label, as its root is <project>: project.xml"


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><annotation><filename>&c;</filename></annotation>"""
FILE = """<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>"""


@pytest.mark.parametrize(
    "text, message",
    [
        (LABELIMG[:400], "not complete XML"),
        ("", "not complete XML"),
        (BOMB, "document type"),
        (BOMB.replace("utf-8", "utf-16").encode("utf-16"), "document type"),
        (FILE, "document type"),
        ("<?xml version='1.0' encoding='nonsense'?><annotation/>", "not (complete )?XML"),
        (LABELIMG.encode() + b"\xff\xfe", "not complete XML"),
        (LABELIMG.replace("<xmin>40", "<xmin>nan"), "object 2: 'nan' is not a finite number"),
        (LABELIMG.replace("<xmin>40", "<xmin>1e400"), "object 2: .*not a finite"),
        (LABELIMG.replace("<xmin>40", "<xmin>1e12"), "cannot be a position in an image"),
        (LABELIMG.replace("<xmin>40", "<xmin>left"), "object 2: 'left' is not a number"),
        (LABELIMG.replace("<xmin>40</xmin>", ""), "object 2: <bndbox> has no <xmin>"),
        (LABELIMG.replace("bndbox", "robndbox"), "object 1: it has no <bndbox>"),
        (LABELIMG.replace("<difficult>1", "<difficult>maybe"), "<difficult> is 'maybe'"),
        (LABELIMG.replace("<name>star", "<name>"), "name '' in it is empty"),
        (LABELIMG.replace("<filename>m31.png</filename>", ""), "has no <filename>"),
        (LABELIMG.replace("<filename>m31.png", "<filename>"), "<filename> is empty"),
    ],
)
def test_broken_labels_say_what_is_wrong_and_where(tmp_path, text, message):
    label(tmp_path, text)
    with pytest.raises(LabelError, match=message) as caught:
        read_labels(tmp_path, "voc")
    assert "m31" in str(caught.value) and "\n" not in str(caught.value)


def test_folder_named_in_a_label_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    write_images(secret, ["m31.png"])
    text = LABELIMG.replace("<folder>night 1", "<folder>../../secret")
    (image,) = read_labels(label(tmp_path / "set" / "deep", text, images=[])).images
    assert image.archive is None


def test_two_labels_for_one_image(tmp_path):
    label(tmp_path)
    label(tmp_path, name="copy.xml")
    with pytest.raises(LabelError, match=r"m31\.png: two labels"):
        read_labels(tmp_path)


def test_truncated_label_is_recognised_as_voc(tmp_path):
    assert detect(label(tmp_path, LABELIMG[:100])).name == "voc"


def test_numbers_with_decimals_are_written_whole_where_they_are(tmp_path):
    xml = to_xml(single_image_set(tmp_path, [[1, 0.1, 30.5, np.nextafter(40, 0)]]).images[0])
    assert re.findall(r"<[xy]m\w+>([^<]*)", xml) == ["1", "0.1", "30.5", "39.99999999999999"]


def test_images_whose_label_cannot_be_read_do_not_count_as_without_one(tmp_path):
    write_images(tmp_path, ["bad.png", "bare.png"])
    (tmp_path / "bad.xml").write_text("<annotation>")
    labels = read_labels(tmp_path, on_error=lambda fault: None)
    assert labels.notes == ("images without an XML, omitted: 1, e.g. bare.png",)


def test_a_size_beyond_all_images_is_refused(tmp_path):
    write_labels(single_image_set(tmp_path / "p", [[1, 2, 20, 30]]), tmp_path / "out", "voc")
    path = tmp_path / "out" / "m31.xml"
    path.write_text(path.read_text().replace("<width>64", "<width>1e300"))
    message = r"m31\.xml: 1e\+300 cannot be a position in an image; .*data check .* lists all"
    with pytest.raises(LabelError, match=message):
        read_labels(tmp_path / "out")
