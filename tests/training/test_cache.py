"""Cached arrays: computed once, computed again for other weights.

Incomplete files are ignored.
"""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from galaxy_edge.training.cache import CacheError, cache_folder, cache_key, cached_array, cached_rows


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def network(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])


def test_features_are_made_once():
    calls = []

    def make():
        calls.append(1)
        return np.arange(6, dtype=np.float16).reshape(2, 3)

    first, second = cached_array("x", "a" * 64, make), cached_array("x", "a" * 64, make)
    assert len(calls) == 1 and np.array_equal(first, second) and second.dtype == np.float16


def test_other_weights_or_images_are_another_key():
    assert cache_key("x", network=network(1)) == cache_key("x", network=network(1))
    assert cache_key("x", network=network(1)) != cache_key("x", network=network(2))
    assert cache_key("x", network=network(1)) != cache_key("y", network=network(1))


def test_a_damaged_file_is_made_again():
    cached_array("x", "b" * 64, lambda: np.ones(3))
    (path,) = cache_folder().glob("*.npy")
    path.write_bytes(path.read_bytes()[:40])
    assert np.array_equal(cached_array("x", "b" * 64, lambda: np.full(3, 2.0)), [2, 2, 2])


def test_cache_folder_without_space_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(CacheError, match="set XDG_CACHE_HOME"):
        cached_array("x", "c" * 64, lambda: np.ones(3))
    assert not list(tmp_path.glob("**/*.part"))


def test_rows_are_shared_by_data_sets_that_overlap():
    """Features of folds take minutes each.

    An interrupted computation continues after its last chunk.
    """
    made = []

    def make_from(ids):
        def make(indices):
            if len(made) == 3:
                raise KeyboardInterrupt
            made.append([ids[index] for index in indices])
            return np.array([[ord(ids[index]), 0.5] for index in indices], np.float16)

        return make

    ids = ["c", "a", "c", "b"]
    assert cached_rows("x", "d" * 64, ids, make_from(ids), 2)[:, 0].tolist() == [ord(name) for name in ids]
    assert made == [["c", "a"], ["b"]]
    ids = ["b", "e", "a", "f"]
    with pytest.raises(KeyboardInterrupt):
        cached_rows("x", "d" * 64, ids, make_from(ids), 1)
    assert made[2:] == [["e"]]
    made.clear()
    found = cached_rows("x", "d" * 64, ids, make_from(ids), 1)
    assert made == [["f"]] and found.dtype == np.float16
    assert found[:, 0].tolist() == [ord(name) for name in ids]
    (path,) = cache_folder().glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    made.clear()
    cached_rows("x", "d" * 64, ids, make_from(ids))
    assert made == [ids]
