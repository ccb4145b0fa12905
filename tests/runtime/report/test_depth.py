"""The depth of a night in its report."""

import pytest
from galaxy_edge.runtime.events.depth_tables import COMPLETENESS_FILE, DEPTH_FILE
from galaxy_edge.runtime.report.page import night_report
from helpers.sky_nights import sky_night

HEAD = "time,run,frame,limiting_magnitude,star_fwhm,star_elongation,sky_brightness,transparency"
GALAXIES = "time,run,name,magnitude,surface_brightness,sigmas,expected,found"


@pytest.fixture
def folder(tmp_path):
    return sky_night(tmp_path / "out")


def write(folder, depth, galaxies):
    (folder / DEPTH_FILE).write_text("\n".join([HEAD, *depth, ""]))
    (folder / COMPLETENESS_FILE).write_text("\n".join([GALAXIES, *galaxies, ""]))


def test_curves_and_galaxies_expected_but_missed_are_shown(folder):
    """A galaxy is counted once, those of another night are not."""
    write(
        folder,
        [f"2026-11-22T21:0{n}:00.000Z,1,{n},{13 + n / 10},8.5,1.1,,0.9" for n in range(5)],
        [
            "2026-11-22T21:00:00.000Z,1,M 94,8.2,21.5,15,0,1", "2026-11-22T21:01:00.000Z,1,M 94,8.2,21.5,60,1,0",
            "2026-11-22T21:01:00.000Z,1,NGC <b>,11.8,22.1,23,1,0", "2026-11-22T21:01:00.000Z,1,faint,15.8,24,1,0,0",
            "2026-11-24T21:01:00.000Z,1,NGC 9,11.8,22.1,23,1,0",
        ],
    )  # fmt: skip
    _, page = night_report(folder)
    assert "<dt>limiting magnitude</dt><dd>13.4<" in page and "limiting magnitude in mag, over UTC" in page
    assert "sky brightness" not in page and "transparency in share" in page
    assert "1 of 2 catalogued galaxies that these frames should show were found." in page
    assert "<th>8 to 9</th>" in page and "<td>1 of 1</td>" in page and "<td>0 of 1</td>" in page
    assert "<tr><td>NGC &lt;b&gt;</td><td>11.8</td><td>22.1</td><td>23</td></tr>" in page
    assert "faint" not in page and "NGC 9" not in page


def test_damaged_rows_are_left_out(folder):
    """A power failure cuts the last line short, or leaves zeros."""
    write(
        folder,
        ["2026-11-22T21:00:00.000Z,1,0,13.5,8.5,1.1,20.1,1.0", "2026-11-22T21:01:00.000Z,1,1,1e999,8,1,20,1", "\0\0"],
        ["2026-11-22T21:01:00.000Z,1,NGC 1,11.8,22.1,23,1,0", "2026-11-22T21:02:00.000Z,1,NGC 2,11.8,2"],
    )
    _, page = night_report(folder)
    assert "<dt>limiting magnitude</dt><dd>13.5<" in page and "0 of 1 catalogued" in page and "NGC 2" not in page


def test_a_night_without_depth_has_neither_section(folder):
    _, page = night_report(folder)
    assert 'id="depth"' not in page and 'id="completeness"' not in page and "limiting magnitude" not in page


def test_a_clock_that_was_wrong_has_a_night_of_its_own(folder):
    """A board without a battery begins in 1970, until the network sets its clock."""
    line = (folder / "frames-0001.jsonl").read_text().splitlines()[0]
    early = line.replace("2026-11-22", "1970-01-01")
    (folder / "frames-0001.jsonl").write_text(f"{early}\n{line}\n")
    write(folder, ["1970-01-01T21:00:00.000Z,1,0,9.9,8,1,,1", "2026-11-22T21:00:00.000Z,1,1,13.5,8,1,,1"], [])
    night, page = night_report(folder)
    assert night.name == "2026-11-22" and "<dt>limiting magnitude</dt><dd>13.5<" in page
    night, page = night_report(folder, "1970-01-01")
    assert "<dt>frames</dt><dd>1<" in page and "<dt>limiting magnitude</dt><dd>9.9<" in page
