"""Exported tables, read back by the programs that astronomers use."""

import shutil
import subprocess
from dataclasses import replace

import pytest
from galaxy_edge.runtime.events import event_row
from galaxy_edge.runtime.events.queries import Query, query_events
from galaxy_edge.runtime.events.table_columns import COLUMNS
from galaxy_edge.runtime.events.table_formats import ds9_regions, table_bytes
from helpers.command_line import galaxy_edge_in_process
from helpers.sky_nights import sky_night

tables = pytest.importorskip("astropy.table", reason="needs the fits extra")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sky_night(tmp_path_factory.mktemp("sky"))


def exported(folder, name):
    done = galaxy_edge_in_process("events", "export", "--in", folder, folder / name)
    assert done.returncode == 0 and "4 events" in done.stdout, done.stderr
    return folder / name


def test_tables_have_the_columns_of_csv():
    assert tuple(column.name for column in COLUMNS) == event_row.COLUMNS


def test_every_ucd_is_of_the_controlled_vocabulary():
    from astropy.io.votable.ucd import check_ucd

    assert [c.name for c in COLUMNS if not check_ucd(c.ucd, check_controlled_vocabulary=True)] == []


@pytest.mark.parametrize(("name", "format"), [("n.ecsv", "ascii.ecsv"), ("n.vot", "votable"), ("n.parquet", "parquet")])
def test_astropy_reads_values_units_and_ucds(folder, name, format):
    if format == "parquet":
        pytest.importorskip("pyarrow", reason="needs the tables extra")
    table = tables.Table.read(exported(folder, name), format=format)
    assert table.colnames == [column.name for column in COLUMNS] and len(table) == 4
    assert table["ra"].unit == "deg" and table["size_arcsec"].unit == "arcsec"
    assert table["dec"].meta["ucd"] == "pos.eq.dec;meta.main"
    assert table["ra"][0] == 192.7213 and table["object_name"][1] == "M 94" and table["frames"][0] == 1
    assert bool(table["ra"].mask[3]) and table["sky_note"][3] == "no sky position: too few stars"


def test_stilts_reads_the_votable_and_finds_no_error(folder):
    if shutil.which("stilts") is None:
        pytest.skip("needs stilts (apt install stilts)")
    path = exported(folder, "stilts.vot")
    checks = (
        ["votlint", "ucd=true", "unit=true", path],
        ["tpipe", f"in={path}", "cmd=keepcols 'ra size_arcsec'", "ofmt=csv"],
    )
    lint, csv = (subprocess.run(["stilts", *map(str, check)], capture_output=True, text=True) for check in checks)
    assert "ERROR" not in lint.stdout and lint.returncode == 0, lint.stdout
    assert csv.stdout.splitlines()[:2] == ["ra,size_arcsec", "192.7213,240.0"]


def test_regions_are_read_by_the_parser_of_ds9_regions(folder):
    regions = pytest.importorskip("regions", reason="needs regions (the dev extra)")
    path = exported(folder, "n.reg")
    found = regions.Regions.read(path, format="ds9")
    assert [type(region).__name__ for region in found] == ["CircleSkyRegion"] * 3
    assert found[0].center.ra.deg == pytest.approx(192.7213) and found[0].radius.to_value("arcsec") == 120.0
    assert found[0].meta["text"] == "M 94"


def test_events_without_a_position_are_named_when_regions_leave_them_out(folder):
    done = galaxy_edge_in_process("events", "export", "--in", folder, folder / "n.reg")
    assert "1 of them have no position on the sky" in done.stdout


def test_braces_and_line_ends_in_names_do_not_end_a_region(folder):
    event = query_events(folder, Query())[0]
    text = ds9_regions([replace(event, sky=replace(event.sky, object_name="a} # {b\ncircle(0,0,1)"))])
    assert text.count("\n") == 4 and "text={a) # (b\\x0acircle(0,0,1)}" in text


def test_no_events_make_an_empty_table(folder):
    assert table_bytes([], "ecsv").count(b"\n- ") == 0 and b"<FIELD" in table_bytes([], "votable")
