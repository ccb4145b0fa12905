"""What to do after a training or an export that did not give a usable network."""

from __future__ import annotations

from collections.abc import Iterable

from ...models.manifest import Gate

FINDS_NOTHING = 0.05
"""mAP@0.5 below which a detector finds next to nothing."""


def nothing_found(map50: float | None) -> str | None:
    """Return what to do with a detector that finds next to nothing, else None.

    Args:
        map50: mAP@0.5 on images that it was not trained on, 0..1; None if it could not be measured.
    """
    if map50 is None or map50 >= FINDS_NOTHING:
        return None
    return (
        f"this network finds nothing yet (mAP@0.5 {map50:.3f}): train longer (train detector --resume with more "
        "--epochs, or more --images)"
    )


def gate_advice(gates: Iterable[Gate], map50: float | None = None) -> list[str]:
    """Return what to do about the gates that failed, one sentence for each kind.

    Args:
        gates: of an export.
        map50: of a detector, mAP@0.5 of its float32 variant, 0..1.
    """
    failed = [gate for gate in gates if not gate.passed]
    if not failed:
        return []
    if finding := nothing_found(map50):
        return [finding]
    kinds = {gate.name.partition(":")[0] for gate in failed}
    advice = []
    if any("finds nothing" in gate.measured for gate in failed):
        advice.append("float32 finds nothing: train longer, or check that the images show galaxies")
    elif any("no labelled images" in gate.measured for gate in failed):
        advice.append("without labelled images no loss can be measured: name some with --evaluation")
    elif kinds & {"accuracy", "parity"}:
        advice.append(
            "int8 lost too much: --fallback auto tries other calibrations, then 16-bit activations; --debug-layers "
            "names the layers that lose most; --max-drop allows more"
        )
    if "really int8" in kinds:
        advice.append("a file has parts that are not 8 bits: the report names them; a device would run them in float")
    if "contract" in kinds:
        advice.append("a file does not give what its manifest says: check --decode and --labels, or train again")
    return advice
