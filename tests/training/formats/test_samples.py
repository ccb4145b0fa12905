"""What a user labelled, on its way into a training: faults end it, or are left out and counted."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from galaxy_edge.training.data.sample import LABELLED, DataError, read_set
from galaxy_edge.training.formats.registry import read_labels, write_labels
from galaxy_edge.training.formats.samples import read_samples, sample_of
from helpers.command_line import galaxy_edge

XML = """<annotation><filename>{name}</filename><size><width>{width}</width><height>48</height><depth>3</depth></size>
<object><name>galaxy</name><difficult>0</difficult><bndbox><xmin>{x0}</xmin><ymin>5</ymin><xmax>30</xmax><ymax>25</ymax>
</bndbox></object></annotation>"""


@pytest.fixture
def labelled(tmp_path):
    """Six pictures labelled in Pascal VOC, of which one has a box inside out, one another size, and one is broken."""
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


def test_faults_end_the_work_and_say_how_to_go_on(labelled):
    with pytest.raises(DataError) as caught:
        read_samples(labelled)
    message = str(caught.value)
    assert message.startswith(f"{labelled}: 3.png: ") or "1.png" in message or "2.png" in message
    assert "and 2 more faults" in message and "data check" in message and "mend or remove them" in message


@pytest.mark.parametrize(
    ("command", "skips"), [("eval detector", False), ("eval classifier", False), ("train detector", True)]
)
def test_only_a_command_that_can_leave_faults_out_says_so(labelled, tmp_path, command, skips):
    """Whoever measures is not sent to a flag that this command does not have."""
    if skips:
        pytest.importorskip("official", reason="needs the detector extra")
    done = galaxy_edge(*command.split(), "--data", labelled, *(["--out", tmp_path / "run"] if skips else []))
    assert done.returncode == 2 and "and 2 more faults" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert ("--skip-invalid" in done.stderr) == skips and "train detector" not in done.stderr


def test_faults_are_left_out_and_counted(labelled):
    said = []
    samples = read_set(labelled, said.append)
    assert [sample.file for sample in samples] == ["0.png", "4.png", "5.png"]
    (line,) = said
    assert "left out 3 of 6" in line
    for kind in ("box without area (1)", "size differs (1)", "broken picture (1)"):
        assert kind in line


def test_labels_that_cannot_be_read_are_faults_too(labelled):
    for number in (1, 2, 3):
        (labelled / f"{number}.xml").unlink()
    (labelled / "4.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match=r"4\.xml"):
        read_samples(labelled)
    said = []
    assert len(read_samples(labelled, said.append)) == 2
    assert "unreadable label (1)" in said[0]


def test_nothing_left_is_an_error_even_then(labelled):
    for path in labelled.glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="data check"):
        read_samples(labelled, lambda _: None)


def test_a_set_without_faults_says_nothing(labelled):
    for number in (1, 2, 3):
        (labelled / f"{number}.xml").unlink()
    said = []
    assert len(read_samples(labelled, said.append)) == 3 and not said


def test_a_class_that_is_not_in_the_list_is_a_fault(labelled):
    for number in (1, 2, 3):
        (labelled / f"{number}.xml").unlink()
    (labelled / "classes.txt").write_text("galaxy\n")
    (labelled / "4.xml").write_text((labelled / "4.xml").read_text().replace("<name>galaxy", "<name>galxy"))
    with pytest.raises(DataError, match=r"4\.png: unknown class: 'galxy' is not in the set's list of classes"):
        read_set(labelled)
    said = []
    assert len(read_set(labelled, said.append)) == 2 and "unknown class (1)" in said[0]


def test_faults_in_tables_of_our_own_layout_are_refused_too(labelled, tmp_path):
    for number in (1, 2, 3):
        (labelled / f"{number}.xml").unlink()
    write_labels(read_labels(labelled), tmp_path / "out", "csv")
    path = tmp_path / "out" / "boxes.csv"
    path.write_text(path.read_text().replace("10,5,30,25", "40,5,30,25", 1))
    with pytest.raises(DataError, match=r"0\.png: box without area: galaxy 40, 5, 30, 25.*data check"):
        read_set(tmp_path / "out")
    said = []
    assert len(read_set(tmp_path / "out", said.append)) == 2 and "box without area (1)" in said[0]


@pytest.mark.parametrize("about", [{"g10": "x"}, {"g10": "3", "g10_p": "sure"}, {"kind": "spiral"}, {"set": "train"}])
def test_another_programs_properties_are_no_labels_of_ours(labelled, about):
    (one,) = (one for one in read_labels(labelled, complain=lambda fault: None).pictures if one.file == "0.png")
    sample = sample_of(replace(one, about=about))
    assert (sample.label, sample.kind, sample.set) == (-1, "galaxy", LABELLED)  # of no set, none would train on it
    assert (
        sample_of(replace(one, about=about, boxes=np.zeros((0, 4)), classes=(), difficult=(), extras=())).kind
        == "negative"
    )
