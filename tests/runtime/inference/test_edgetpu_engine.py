"""The Edge TPU engine with stand-ins for its library.

One that works, refuses, crashes, and loses its device.
"""

import hashlib
import logging
import shutil
import tomllib
import weakref

import numpy as np
import pytest
import tomli_w
from galaxy_edge.devices import edgetpu, edgetpu_check
from galaxy_edge.devices.engines import is_installed
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.inference import edgetpu_engine
from galaxy_edge.runtime.inference.edgetpu_engine import EdgeTPUEngine, why_unusable
from galaxy_edge.runtime.inference.load import load_engine
from helpers.delegate import attach_device, build_delegate

BATCH = np.random.default_rng(5).integers(0, 256, (1, 69, 69, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("delegates")
    built = {behaviour: build_delegate(folder, behaviour) for behaviour in ("works", "refuses", "crashes", "hangs")}
    if None in built.values():
        pytest.skip("needs gcc")
    return built


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The shipped classifier with a variant for the Edge TPU.

    The stand-ins run the uncompiled network.
    """
    folder = shutil.copytree(
        shipped_bundle_path("galaxy-classifier"), tmp_path_factory.mktemp("bundle") / "galaxy-classifier"
    )
    shutil.copy(folder / "int8.tflite", folder / "int8_edgetpu.tflite")
    manifest = tomllib.loads((folder / "bundle.toml").read_text(encoding="utf-8"))
    manifest["variants"]["edgetpu"] = manifest["variants"]["int8"] | {
        "file": "int8_edgetpu.tflite",
        "runtime": "edgetpu",
    }
    manifest["files"]["int8_edgetpu.tflite"] = hashlib.sha256((folder / "int8.tflite").read_bytes()).hexdigest()
    (folder / "bundle.toml").write_text(tomli_w.dumps(manifest), encoding="utf-8")
    (folder / "bundle.sig").unlink(missing_ok=True)
    return Bundle.load(folder)


@pytest.fixture
def use(monkeypatch, libraries):
    """A function that makes one of the libraries the Edge TPU's."""
    monkeypatch.setattr(edgetpu_engine, "_engines", weakref.WeakSet())  # no device of another test is held
    return lambda behaviour: monkeypatch.setenv(edgetpu.LIBRARY_VARIABLE, str(libraries[behaviour]))


def values(engine):
    return next(iter(engine(BATCH).values())).values


def test_device_is_used(bundle, use):
    use("works")
    engine = load_engine(bundle, engine="edgetpu")
    assert engine.name == "edgetpu" and is_installed("edgetpu")
    assert not np.array_equal(values(engine), values(load_engine(bundle))), "the stand-in leaves an operator out"


def test_second_network_does_not_probe_a_device_that_the_first_holds(bundle, use, monkeypatch):
    """Another process could not open it.

    A child process would report that it refuses.
    """
    use("works")
    first = load_engine(bundle, engine="edgetpu")
    monkeypatch.setattr(edgetpu_engine, "why_unusable", lambda *_: "in use")
    second = load_engine(bundle, engine="edgetpu")
    assert (first.name, second.name) == ("edgetpu", "edgetpu")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [("refuses", "no Edge TPU is attached"), ("crashes", "its version does not fit"), ("hangs", "did not answer")],
)
def test_unusable_device_costs_one_line_and_the_processor_is_used(
    bundle, use, monkeypatch, caplog, behaviour, reason, tmp_path
):
    use(behaviour)
    monkeypatch.setattr(edgetpu_engine, "PROBE_SECONDS", 3.0)
    processor = load_engine(bundle)
    with caplog.at_level(logging.WARNING):
        engine = EdgeTPUEngine(bundle, bundle.variant("edgetpu"), processor, 1, tmp_path)
    assert [reason in record.message for record in caplog.records] == [True]
    assert engine.name == "litert"
    np.testing.assert_array_equal(values(engine), values(processor))


def test_lost_device_is_replaced_by_the_processor_and_used_again_when_it_is_back(
    bundle, use, monkeypatch, caplog, tmp_path
):
    """A reset of the USB port loses no frame, and each change is logged once."""
    use("works")
    attach_device(tmp_path)
    gone = tmp_path / "gone"
    monkeypatch.setenv("STAND_IN_LOST", str(gone))
    monkeypatch.setattr(edgetpu_engine, "RETRY_SECONDS", 0.0)
    processor = load_engine(bundle)
    engine = EdgeTPUEngine(bundle, bundle.variant("edgetpu"), processor, 1, tmp_path)
    assert not np.array_equal(values(engine), values(processor))
    with caplog.at_level(logging.WARNING):
        gone.touch()
        np.testing.assert_array_equal(values(engine), values(processor))
        assert engine.name == "litert"
        engine(BATCH)
        engine._probe.join(30)
        engine(BATCH)
        assert engine.name == "litert", "it is still gone"
        gone.unlink()
        for _ in range(100):
            engine(BATCH)
            if engine.name == "edgetpu":
                break
            engine._probe.join(30)
    # An operator that is left out leaves what was in memory: two loads of the stand-in need not agree.
    assert engine.name == "edgetpu" and not np.array_equal(values(engine), values(processor))
    assert [record.message.partition("(")[0] for record in caplog.records] == [
        "galaxy-classifier: the Edge TPU was lost ",
        "galaxy-classifier: the Edge TPU is back",
    ]


def test_bundle_without_a_variant_for_the_device_runs_on_the_processor(caplog):
    with caplog.at_level(logging.WARNING):
        engine = load_engine(Bundle.load(shipped_bundle_path("galaxy-classifier")), engine="edgetpu")
    assert engine.name == "litert"
    assert [record.message for record in caplog.records] == [
        "galaxy-classifier has no variant for the Edge TPU and runs on the processor (litert): "
        "export it with --formats tflite-int8,edgetpu"
    ]


def test_reason_names_library_device_and_group(tmp_path, monkeypatch):
    """The library itself gives no reason, so the files of the system are read."""
    monkeypatch.delenv(edgetpu.LIBRARY_VARIABLE, raising=False)
    assert edgetpu_check.missing_requirement(tmp_path) == (
        "the library libedgetpu.so.1 is not installed (package libedgetpu1-std)"
    )
    library = tmp_path / "usr/lib/aarch64-linux-gnu/libedgetpu.so.1"
    library.parent.mkdir(parents=True)
    library.touch()
    assert edgetpu_check.missing_requirement(tmp_path).startswith("no Edge TPU is attached (none of usb:1a6e:089a, ")
    device = attach_device(tmp_path)
    assert edgetpu_check.missing_requirement(tmp_path) == ""
    monkeypatch.setattr(edgetpu_check.os, "access", lambda path, mode: False)
    assert edgetpu_check.missing_requirement(tmp_path) == (
        f"{device} may not be opened by this user: sudo usermod -aG plugdev $USER, then log in again"
    )
    device.unlink()
    assert "plug it in again" in edgetpu_check.missing_requirement(tmp_path)
    (tmp_path / "sys/bus/usb/devices/2-1/busnum").unlink()  # as when it is lost between two looks
    assert edgetpu_check.missing_requirement(tmp_path).startswith("no Edge TPU is attached")


def test_named_library_that_is_missing_is_said(monkeypatch):
    monkeypatch.setenv(edgetpu.LIBRARY_VARIABLE, "/nowhere/libedgetpu.so.1")
    assert why_unusable(b"") == "GALAXY_EDGE_EDGETPU_LIBRARY names /nowhere/libedgetpu.so.1, which is not a file"
    assert not is_installed("edgetpu")
