"""Read encoded images and CSV tables from folders, zips and TFRecord files."""

from __future__ import annotations

import csv
import math
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from .errors import DataError
from .tfrecord_files import read_record_image


def read_member(archive: Path, member: str) -> bytes:
    """Read the bytes of an encoded image.

    Args:
        archive: a zip, a folder, or a TFRecord file.
        member: its name in the archive; in a TFRecord file ``@`` and the byte where its record begins.

    Raises:
        DataError: it does not exist, or cannot be read.
    """
    try:
        if archive.is_dir():
            return (archive / member).read_bytes()
        if member.startswith("@") and not zipfile.is_zipfile(archive):
            return read_record_image(archive, int(member[1:]))
        return open_zip(archive).read(member)
    except (KeyError, FileNotFoundError):
        raise DataError(f"{archive} has no image '{member}', which its label names") from None
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"the image '{member}' in {archive} cannot be read: {error}") from None


@lru_cache(maxsize=32)
def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip archive, or return it if it is already open.

    The last 32 archives stay open, as images are read from them one by one.

    Raises:
        DataError: the file does not exist or is not a zip.
    """
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except zipfile.BadZipFile:
        raise DataError(f"{path} is not a zip file") from None


def read_csv_rows(path: Path, required: Iterable[str] = ()) -> list[dict[str, str]]:
    """Read the rows of a CSV table as dictionaries by column name.

    Args:
        required: names of required columns.

    Raises:
        DataError: the file is not UTF-8 text, lacks a required column, or a row has more or fewer columns than the
            header.
    """
    rows, ragged_lines = [], []
    # Spreadsheets write a byte order mark, which is not part of the first column's name.
    with path.open(newline="", encoding="utf-8-sig") as stream:
        table = csv.DictReader(stream)
        try:
            for row in table:
                rows.append(row)
                if None in row or None in row.values():
                    ragged_lines.append(str(table.line_num))
        except csv.Error as error:
            raise DataError(f"{path}, line {table.line_num}: {error}") from None
        except UnicodeDecodeError:
            raise DataError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    if rows and (missing := [column for column in required if column not in rows[0]]):
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))}, which its layout needs: does its first line hold "
            "the names of the columns, separated by commas?"
        )
    if ragged_lines:
        raise DataError(
            f"{path}, line {', '.join(ragged_lines)}: the number of columns differs from the header; is the file "
            "truncated?"
        )
    return rows


def read_number(row: Mapping[str, str], column: str) -> float:
    """Read a number from a row of a table.

    Raises:
        DataError: the column is missing, or holds no finite number; the message names the row's file.
    """
    text = row.get(column, "")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{row.get('file', 'a row')}: {column} is '{text}', not a number")
    return number
