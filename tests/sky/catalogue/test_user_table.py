"""Users' own catalogues: the formats of astropy, and tables that cannot be used."""

import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.sky.catalogue.combined import open_catalogue
from galaxy_edge.sky.catalogue.objects import CatalogueObject
from galaxy_edge.sky.catalogue.user_table import UserTable, merge_tables

table = pytest.importorskip("astropy.table", reason="needs the sky extra")
pytest.importorskip("pyongc", reason="needs the sky extra")


def write(folder, text, name="mine.csv"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("suffix", ["ecsv", "fits", "vot"])
def test_tables_with_units_are_read_in_every_format(tmp_path, suffix):
    """Hours and arcminutes are converted."""
    path = tmp_path / f"mine.{suffix}"
    rows = table.Table({"Name": ["SN host", "b"], "RA": [12.0, 1.0], "DEC": [41.0, -5.0], "size": [2.0, 1.0]})
    for column, unit in (("RA", "hourangle"), ("DEC", "deg"), ("size", "arcmin")):
        rows[column].unit = "deg" if suffix != "ecsv" and unit == "hourangle" else unit
    if suffix != "ecsv":
        rows["RA"] *= 15.0  # FITS and VOTable have no unit for hours
    rows.write(path, format={"vot": "votable", "ecsv": "ascii.ecsv"}.get(suffix))
    found = UserTable(path).find("sn HOST")
    assert (found.ra, found.dec, found.major_arcsec) == pytest.approx((180.0, 41.0, 120.0))
    assert found.kind == "object" and found.is_galaxy


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("\ufeffra_deg,dec_deg,name,kind,size_arcmin", "192.5,-41.25,X,reflection nebula,2"),  # a spreadsheet's UTF-8
        ("ra_deg;dec_deg;name;kind;size_arcmin", "192.5;-41.25;X;reflection nebula;2"),
        ("ra_hours,dec_deg,name,kind,size_arcmin", "12:50:00,-41:15:00,X,reflection nebula,2"),
        ("name,ra_deg,dec_deg,size_arcmin,kind", "X,192.5,-41.25,2,reflection nebula"),
        ("id,RA_hours,DEC_deg,diameter_arcsec,type", "X,12.833333333,-41.25,120,reflection nebula"),
        ("object,raj2000,dej2000,size_arcmin,kind", "X,12h50m00s,-41d15m00s,2,reflection nebula"),
    ],
)
def test_csv_names_its_units_in_its_header(tmp_path, header, row):
    found = UserTable(write(tmp_path, f"{header}\n{row}\n")).find("x")
    assert (found.ra, found.dec, found.major_arcsec) == pytest.approx((192.5, -41.25, 120.0))
    assert found.kind == "reflection nebula" and not found.is_galaxy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,ra,dec\nX,12.5,41\n", "the column 'ra' has no unit: name it ra_deg"),
        ("name,ra,dec\nX,12:50:00,41:00:00\n", "the column 'ra' has no unit"),
        ("name,ra_deg,dec_deg,size\nX,12.5,41,3\n", "the column 'size' has no unit: name it size_arcmin"),
        ("name,ra_deg,dec_deg\nX,12.5,91\n", "row 1: ra 12.5, dec 91 degrees are not on the sky"),
        ("name,ra_deg,dec_deg\nX,1,2\nY,,3\n", "row 2: ra or dec is missing"),
        ("name,ra_deg,dec_deg\nX,east,2\n", "the column 'ra_deg' does not hold angles"),
        ("name,x,y\nX,1,2\n", "has no column ra and dec"),
        ("ra_deg,dec_deg\n1,2\n", "has no column name"),
        ("", "cannot be read as a table"),
        ("\x00\x01\x02", "cannot be read as a table"),
    ],
)
def test_tables_that_cannot_be_used_are_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(UsageError) as caught:
        UserTable(write(tmp_path, text))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_missing_table_and_wrong_unit(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        UserTable(tmp_path / "none.csv")
    rows = table.Table({"name": ["a"], "ra": [1.0], "dec": [2.0]})
    rows["ra"].unit, rows["dec"].unit = "m", "deg"
    rows.write(tmp_path / "metres.ecsv")
    with pytest.raises(UsageError, match="'ra' does not hold angles"):
        UserTable(tmp_path / "metres.ecsv")


def test_own_name_comes_before_the_catalogues_and_keeps_its_size(tmp_path):
    """An object of both is listed once."""
    path = write(tmp_path, "name,ra_deg,dec_deg\nmy favourite,192.7212,41.1203\nempty sky,193.5,41.5\n")
    found = open_catalogue(path).within(192.72, 41.12, 1.0)
    names = [item.name for item in found]
    assert "M 94" not in names and {"my favourite", "empty sky"} < set(names) and len(found) > 5
    favourite = found[names.index("my favourite")]
    assert favourite.kind == "galaxy" and favourite.major_arcsec == pytest.approx(464.4) and "M 94" in favourite.aliases
    assert open_catalogue(path).find("My Favourite").name == "my favourite"
    assert open_catalogue(path).find("M 94").name == "M 94"


def test_two_objects_of_one_name_stay_two(tmp_path, caplog):
    """By equal names, events of both would be of one object."""
    rows = ["galaxy,10,5", "galaxy,20,5", "galaxy (2),30,5", ",40,5"]
    found = UserTable(write(tmp_path, "\n".join(["name,ra_deg,dec_deg", *rows]))).within(20, 5, 90)
    assert sorted(item.name for item in found) == ["galaxy", "galaxy (2)", "galaxy (3)", "row 4"]
    assert "several rows are named galaxy" in caplog.text


@pytest.mark.parametrize("size", ["inf", "1e300", "-1", "nan", "0"])
def test_an_impossible_size_is_none(tmp_path, size):
    """An infinite object would be all of the sky, and its logarithm end the run."""
    (found,) = UserTable(write(tmp_path, f"name,ra_deg,dec_deg,size_deg\nX,10,5,{size}")).within(10, 5, 1)
    assert found.major_arcsec is None


def test_an_object_of_the_catalogue_is_joined_with_one_of_the_table_only():
    own = [CatalogueObject(name, (), "object", 10.0, 5.0 + offset) for name, offset in (("A", 0.0), ("B", 0.0005))]
    known = [CatalogueObject("NGC 1", (), "galaxy", 10.0, 5.0, 60.0), CatalogueObject("NGC 2", (), "galaxy", 11.0, 5.0)]
    merged = merge_tables(own, known)
    assert [item.name for item in merged] == ["A", "B", "NGC 2"]
    assert (merged[0].aliases, merged[0].kind, merged[1].kind) == (("NGC 1",), "galaxy", "object")
    assert merge_tables([], known) == known and merge_tables(own, []) == own
