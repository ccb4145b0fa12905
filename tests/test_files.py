"""Files that are written atomically by several processes, and locks between them."""

import os

import pytest
from galaxy_edge.files import atomic_path, is_free, try_lock, write_atomic


def test_processes_that_write_the_same_file_have_temporary_files_of_their_own(tmp_path):
    """Workers of a search compute the same cached array.

    One must not rename the half of another's.
    """
    path = tmp_path / "array.npy"
    with atomic_path(path, shared=True) as mine:
        mine.write_bytes(b"mine")
        (tmp_path / ".1.array.npy").write_bytes(b"half of ano")  # of process 1
    assert path.read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == [".1.array.npy", "array.npy"]


def test_a_failed_write_leaves_the_previous_file(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("before")
    with pytest.raises(RuntimeError), atomic_path(path, shared=True) as staged:
        staged.write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path) == ["labels.csv"] and path.read_text() == "before"


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path):
    """A folder may come from anyone.

    A link in it must not decide what is overwritten.
    """
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".bundle.sig").symlink_to(tmp_path / "precious")
    write_atomic(tmp_path / "bundle.sig", b"signed")
    assert (tmp_path / "precious").read_text() == "kept" and (tmp_path / "bundle.sig").read_bytes() == b"signed"


def test_a_lock_is_held_until_its_file_is_closed(tmp_path):
    path = tmp_path / "lock"
    with path.open("wb") as first, path.open("r+b") as second:
        assert try_lock(first.fileno())
        assert not try_lock(second.fileno()) and not is_free(second.fileno())
    with path.open("r+b") as third:
        assert is_free(third.fileno()) and try_lock(third.fileno())
