"""A user's labels as training samples.

Errors stop the training, or are skipped and counted.
"""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from galaxy_edge.training.data.catalogues import LABELLED
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.formats.registry import read_labels, write_labels
from galaxy_edge.training.formats.samples import read_samples, sample_from_annotation
from helpers.command_line import galaxy_edge_in_process
from helpers.log_records import recorded

XML = """<annotation><filename>{name}</filename><size><width>{width}</width><height>48</height><depth>3</depth></size>
<object><name>galaxy</name><difficult>0</difficult><bndbox><xmin>{x0}</xmin><ymin>5</ymin><xmax>30</xmax><ymax>25</ymax>
</bndbox></object></annotation>"""


@pytest.fixture
def labelled(tmp_path):
    """Return six images labelled in Pascal VOC, three of them with a fault.

    A box is inside out, a size is wrong, and an image is broken.
    """
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(6):
        name = f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), pixels)
        text = XML.format(name=name, x0=40 if number == 1 else 10, width=80 if number == 2 else 64)
        (folder / f"{number}.xml").write_text(text)
    (folder / "3.png").write_bytes(b"no picture")
    return folder


def test_faults_end_the_command_with_a_remedy(labelled):
    with pytest.raises(DataError) as caught:
        read_samples(labelled)
    message = str(caught.value)
    assert message.startswith(f"{labelled}: 3.png: ") or "1.png" in message or "2.png" in message
    assert "and 2 more errors" in message and "data check" in message and "correct or remove them" in message


@pytest.mark.parametrize(
    ("command", "skips"), [("eval detector", False), ("eval classifier", False), ("train detector", True)]
)
def test_only_commands_that_can_skip_faults_suggest_it(labelled, tmp_path, command, skips):
    """Whoever measures is not sent to a flag that this command does not have."""
    if skips:
        pytest.importorskip("official", reason="needs the detector extra")
    done = galaxy_edge_in_process(*command.split(), "--data", labelled, *(["--out", tmp_path / "run"] if skips else []))
    assert done.returncode == 2 and "and 2 more errors" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert ("--skip-invalid" in done.stderr) == skips and "train detector" not in done.stderr


def test_faults_are_left_out_and_counted(labelled):
    with recorded("galaxy_edge.training.formats") as records:
        samples = read_set(labelled, skip_invalid=True)
    assert [sample.file for sample in samples] == ["0.png", "4.png", "5.png"]
    (record,) = records
    assert record.levelname == "WARNING"
    line = record.getMessage()
    assert "left out 3 of 6" in line
    for kind in ("box without area (1)", "size differs (1)", "broken picture (1)"):
        assert kind in line


def test_labels_that_cannot_be_read_are_faults_too(labelled):
    for number in (1, 2, 3):
        (labelled / f"{number}.xml").unlink()
    (labelled / "4.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match=r"4\.xml"):
        read_samples(labelled)
    with recorded("galaxy_edge.training.formats") as records:
        assert len(read_samples(labelled, skip_invalid=True)) == 2
    assert "unreadable label (1)" in records[0].getMessage()


def test_skipping_every_image_is_an_error(labelled):
    for path in labelled.glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="data check"):
        read_samples(labelled, skip_invalid=True)


def test_a_set_without_faults_logs_nothing(labelled):
    for number in (1, 2, 3):
        (labelled / f"{number}.xml").unlink()
    with recorded("galaxy_edge.training.formats") as records:
        assert len(read_samples(labelled, skip_invalid=True)) == 3
    assert not records


def test_a_class_that_is_not_in_the_list_is_a_fault(labelled):
    for number in (1, 2, 3):
        (labelled / f"{number}.xml").unlink()
    (labelled / "classes.txt").write_text("galaxy\n")
    (labelled / "4.xml").write_text((labelled / "4.xml").read_text().replace("<name>galaxy", "<name>galxy"))
    with pytest.raises(DataError, match=r"4\.png: unknown class: 'galxy' is not in the set's list of classes"):
        read_set(labelled)
    with recorded("galaxy_edge.training.formats") as records:
        assert len(read_set(labelled, skip_invalid=True)) == 2
    assert "unknown class (1)" in records[0].getMessage()


def test_faults_in_tables_of_our_own_layout_are_refused_too(labelled, tmp_path):
    for number in (1, 2, 3):
        (labelled / f"{number}.xml").unlink()
    write_labels(read_labels(labelled), tmp_path / "out", "csv")
    path = tmp_path / "out" / "boxes.csv"
    path.write_text(path.read_text().replace("10,5,30,25", "40,5,30,25", 1))
    with pytest.raises(DataError, match=r"0\.png: box without area: galaxy 40, 5, 30, 25.*data check"):
        read_set(tmp_path / "out")
    with recorded("galaxy_edge.training.formats") as records:
        assert len(read_set(tmp_path / "out", skip_invalid=True)) == 2
    assert "box without area (1)" in records[0].getMessage()


@pytest.mark.parametrize("about", [{"g10": "x"}, {"g10": "3", "g10_p": "sure"}, {"kind": "spiral"}, {"set": "train"}])
def test_properties_of_other_programs_are_not_labels(labelled, about):
    (image,) = (image for image in read_labels(labelled, on_error=lambda fault: None).images if image.file == "0.png")
    sample = sample_from_annotation(replace(image, about=about))
    assert (sample.label, sample.kind, sample.set) == (-1, "galaxy", LABELLED)  # of no set, none would train on it
    assert (
        sample_from_annotation(
            replace(image, about=about, boxes=np.zeros((0, 4)), classes=(), difficult=(), extras=())
        ).kind
        == "negative"
    )
