"""What to do after a failed export."""

from galaxy_edge.cli.terminal.advice import gate_advice
from galaxy_edge.models.manifest import Gate


def test_each_kind_of_failure_has_its_advice():
    passed = Gate("contract", "64x64 RGB in", True)
    lost, nothing = Gate("accuracy: int8", "too much", False), Gate("parity: int8", "float32 finds nothing in", False)
    assert gate_advice([passed]) == []
    assert "--fallback auto" in gate_advice([passed, lost])[0]
    assert "train longer" in gate_advice([lost, nothing])[0]
    assert gate_advice([lost], 0.01)[0].startswith("this network finds nothing yet (mAP@0.5 0.010): train longer")
    assert "8 bits" in gate_advice([Gate("really int8: int8", "3 float tensors", False)])[0]
