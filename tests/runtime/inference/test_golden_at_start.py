"""Before it begins, a run compares its networks with the bundles' golden outputs."""

import numpy as np
import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.inference.engine import RawTensor
from galaxy_edge.runtime.inference.golden import GoldenMismatch, check_golden_at_start
from galaxy_edge.runtime.inference.load import load_engine
from galaxy_edge.runtime.session import RunConfig, Session


class ChangedEngine:
    """An engine that adds to the first value of its outputs."""

    def __init__(self, engine, amount):
        self.name, self._engine, self._amount = engine.name, engine, amount
        self.calls = 0

    def __call__(self, batch):
        self.calls += 1
        changed = {}
        for name, raw in self._engine(batch).items():
            values = raw.values.copy()
            first = values.reshape(-1)
            first[0] += self._amount * (1 if first[0] < 0 else -1)
            changed[name] = RawTensor(values, raw.scale, raw.zero_point)
        return changed


@pytest.fixture
def bundle():
    return Bundle.load(shipped_bundle_path("galaxy-classifier"))


def test_equal_outputs_log_nothing(bundle, caplog):
    engine = ChangedEngine(load_engine(bundle), 0)
    check_golden_at_start(bundle, "int8", engine)
    assert engine.calls == len(bundle.golden()["inputs"]) and not caplog.messages


def test_another_rounding_is_a_warning(bundle, caplog):
    check_golden_at_start(bundle, "int8", ChangedEngine(load_engine(bundle), 1))
    assert len(caplog.messages) == 1
    assert "rounds differently" in caplog.messages[0]
    assert "output logits of golden input 0 differs by up to 1 (1 of 9 values)" in caplog.messages[0]


@pytest.mark.parametrize(("variant", "amount"), [("int8", 60), ("fp32", 5.0), ("fp32", np.nan)])
def test_another_network_is_refused(bundle, variant, amount):
    with pytest.raises(GoldenMismatch, match=r"output logits of golden input 0 differs by up to [\dn].*1 of 9 values"):
        check_golden_at_start(bundle, variant, ChangedEngine(load_engine(bundle, variant), amount))


def test_a_run_checks_its_networks(monkeypatch, tmp_path):
    """A bad system library or memory must not fill a night with wrong names."""
    from galaxy_edge.runtime.inference import classifier

    load = classifier.load_engine
    monkeypatch.setattr(classifier, "load_engine", lambda *arguments: ChangedEngine(load(*arguments), 60))
    with pytest.raises(GoldenMismatch, match=r"galaxy-classifier: int8 computes other outputs in .* --engine"):
        Session(RunConfig(source="demo", out=tmp_path / "out"))
