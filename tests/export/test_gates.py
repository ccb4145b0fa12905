"""Gates: each fails on the defect that it checks for, and reports its findings."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from galaxy_edge.export.calibration_images import load_calibration_images
from galaxy_edge.export.chance import PairedCounts
from galaxy_edge.export.errors import ExportError
from galaxy_edge.export.evaluation import classifier_agreement, detector_agreement
from galaxy_edge.export.gates import accuracy_gate, contract_gate, int8_gate, parity_gate
from galaxy_edge.export.tflite.calibration_ranges import measure_ranges
from galaxy_edge.export.tflite.convert import input_is_raw
from galaxy_edge.export.tflite.quantise import quantise
from galaxy_edge.export.tflite.reader import read_tflite
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.detection_metrics import DetectionTruth, loss_chance
from galaxy_edge.models.metrics import ClassificationMetrics, DetectionMetrics
from helpers.tflite import float_tensors


@pytest.fixture(scope="module")
def fp32(tiny_models):
    return Bundle.load(tiny_models / "galaxy-detector").read("fp32.tflite")


def test_int8_is_int8_and_float_is_not(tiny_models, fp32):
    for name in ("galaxy-detector", "galaxy-classifier"):
        bundle = Bundle.load(tiny_models / name)
        assert float_tensors(bundle.read("int8.tflite")) == [] and input_is_raw(bundle.read("int8.tflite"))
        assert int8_gate("int8", bundle.read("int8.tflite")).passed
    gate = int8_gate("int8", fp32)
    assert not gate.passed and "float tensors: serving_default_image:0" in gate.measured and "CONV_2D" in gate.measured


def test_int8_with_float_inside_is_named(fp32, tiny_runs):
    # The classic lie: weights of 8 bits, while everything is computed in float.
    from ai_edge_quantizer import quantizer, recipe

    made = quantizer.Quantizer(bytearray(fp32), recipe.weight_only_wi8_afp32()).quantize(enable_progress_report=False)
    gate = int8_gate("int8", bytes(made.quantized_model))
    assert not gate.passed and "float operators: " in gate.measured and "CONV_2D -> " in gate.measured


def test_sixteen_bits_pass_only_where_they_were_asked_for(tiny_models, tiny_runs):
    images = np.load(tiny_runs / "classifier" / "calibration.npz")["images"]
    fp32 = Bundle.load(tiny_models / "galaxy-classifier").read("fp32.tflite")
    graph = read_tflite(fp32).graph
    layers = [graph.tensors[op.outputs[0]].name for op in graph.ops if op.name == "FULLY_CONNECTED"]
    wide = quantise(fp32, measure_ranges(fp32, images), wide=layers)
    assert not int8_gate("int8", wide).passed and "16-bit tensors" in int8_gate("int8", wide).measured
    assert int8_gate("int8", wide, wide=True).passed


def test_input_that_needs_arithmetic_is_not_a_raw_input(fp32, tiny_runs):
    images = np.load(tiny_runs / "detector" / "calibration.npz")["images"]
    ranges = measure_ranges(fp32, images) | {"serving_default_image:0": (0.0, 200.0)}
    gate = int8_gate("int8", quantise(fp32, ranges))
    assert not gate.passed and "raw levels" in gate.measured


def metrics(right, total=100, other=0):
    """Return metrics of two classes with `total` images each.

    Of the first class `right` are right, of the second all but `other`.
    """
    confusion = [[right, total - right], [other, total - other]]
    accuracy, recall = (right + total - other) / (2 * total), {"a": right / total, "b": 1 - other / total}
    return ClassificationMetrics(accuracy, None, None, recall, confusion, None, 2 * total)


@pytest.mark.parametrize(
    ("before", "after", "drop", "passed", "why"),
    [
        (metrics(90), metrics(88), 1.0, True, "one point of accuracy"),
        (metrics(90), metrics(87, other=1), 1.0, False, "two points of accuracy"),
        (metrics(90), metrics(87, other=1), 2.0, True, "two points where two were allowed"),
        (metrics(86, other=4), metrics(82, other=0), 1.0, False, "accuracy is kept, a class's recall fell by 4 points"),
        (metrics(86, other=4), metrics(83, other=1), 1.0, True, "a class's recall fell by 3 points"),
        (metrics(18, 20, 1), metrics(17, 20, 0), 1.0, True, "one image of twenty is five points, but within chance"),
        (metrics(18, 20, 3), metrics(15, 20, 0), 1.0, False, "three of twenty are not"),
        (metrics(60, 63, 1), metrics(59, 63, 0), 1.0, True, "one image of 63 is 1.59 points"),
        (metrics(60, 63, 2), metrics(58, 63, 0), 1.0, True, "two images of 63 are 3.17 points, within chance"),
        (metrics(80), metrics(90), 0.0, True, "better"),
    ],
)
def test_accuracy_and_recall_that_fell_close_the_gate(before, after, drop, passed, why):
    assert accuracy_gate("int8", before, after, drop).passed == passed, why


def test_gate_reports_images_and_points():
    gate = accuracy_gate("int8", metrics(60, 63, 2), metrics(58, 63, 1), 1.0)
    assert gate.measured == (
        "accuracy 0.9603 float32 (121 of 126 images), 0.9524 here (120), at most 1 points less; "
        "recall down: a by 3.17 points (2 of 63 images, 0.17 too much, within chance), at most 3 points"
    )
    # Where all gates pass, the largest drop is reported too.
    assert (
        "recall down: a by 1.59 points (1 of 63 images), at most 3 points"
        in accuracy_gate("int8", metrics(60, 63, 2), metrics(59, 63, 1), 1.0).measured
    )
    assert "no class's recall is down" in accuracy_gate("int8", metrics(60), metrics(60), 1.0).measured


def test_paired_images_show_whether_a_loss_is_chance():
    """A class of 33 images must not fail by one, nor pass a loss that is real."""
    before, after = metrics(30, 33, 1), metrics(29, 33, 1)
    assert accuracy_gate("int8", before, after, 1.0, PairedCounts((1, 0), (0, 0))).passed
    before, after = metrics(70, other=4), metrics(66, other=4)  # 2 points of accuracy, 4 of a class's recall
    shuffled = accuracy_gate("int8", before, after, 1.0, PairedCounts((14, 0), (10, 0)))
    assert shuffled.passed and "1.00 points too much, within chance" in shuffled.measured
    lost = accuracy_gate("int8", before, after, 1.0, PairedCounts((5, 0), (1, 0)))
    assert not lost.passed and "4 of 100 images, 1.00 too much, more than chance" in lost.measured
    large = accuracy_gate("int8", metrics(7000, 10000), metrics(6500, 10000), 1.0, PairedCounts((800, 0), (300, 0)))
    assert not large.passed, "many changes do not hide a real loss"


def test_a_drop_of_map_in_few_frames_is_chance():
    """One of twelve frames lost may be the choice of frames, six are not."""
    box = np.array([[0, 0, 10, 10]], float)
    found, missed = (DetectionTruth(box), box, np.array([0.9])), (DetectionTruth(box), np.zeros((0, 4)), np.zeros(0))
    before = [found] * 12
    few, many = loss_chance(before, [missed, *before[1:]]), loss_chance(before, [missed] * 6 + before[6:])
    assert 0.2 < few < 0.5 and many < 0.01
    assert accuracy_gate("int8", precision(1.0), precision(0.92), 1.0, few).passed
    gate = accuracy_gate("int8", precision(1.0), precision(0.5), 1.0, many)
    assert not gate.passed and "0.4900 too much, more than chance" in gate.measured


def precision(map50):
    """Metrics of a detector with this average precision."""
    return DetectionMetrics(map50, None, None, None, None, None, None, frames=1, boxes=1)


def test_map_that_fell_closes_the_gate():
    rows = [(0.90, 0.895, True), (0.90, 0.89, True), (0.90, 0.885, False)]
    for before, after, passed in rows:
        assert accuracy_gate("int8", precision(before), precision(after), 1.0).passed == passed
    assert not accuracy_gate("int8", precision(None), precision(None), 1.0).passed
    assert not accuracy_gate("int8", None, None, 1.0).passed, "without labels"


def test_agreement_of_names():
    before = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    after = np.array([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    alike = classifier_agreement(before, after)
    assert alike.agreement == 0.75 and alike.max_difference == pytest.approx(0.2)
    assert parity_gate("int8", replace(alike, agreement=0.96)).passed
    assert "too few, within chance" in parity_gate("int8", replace(alike, agreement=31 / 33, images=33)).measured
    for share, images, passed in ((31 / 33, 33, True), (29 / 33, 33, False), (0.94, 1000, False)):
        assert parity_gate("int8", replace(alike, agreement=share, images=images)).passed == passed


def test_agreement_of_boxes():
    # Two of the three that are reported are found again, one of them under the threshold; each box is used once.
    frame = DetectionTruth()
    first = (
        frame,
        np.array([[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60], [0, 0, 9, 9]], float),
        np.array([0.9, 0.8, 0.7, 0.1]),
    )
    second = (frame, np.array([[1, 0, 11, 10], [20, 20, 30, 30]], float), np.array([0.85, 0.2]))
    alike = detector_agreement([first], [second], 0.5)
    assert alike.boxes == 3 and alike.matched == pytest.approx(2 / 3)
    assert alike.max_difference == pytest.approx(0.6) and alike.score_correlation == pytest.approx(1.0)
    assert not parity_gate("int8", alike).passed
    assert not parity_gate("int8", detector_agreement([], [], 0.5)).passed, "nothing was compared"


def test_agreement_is_judged_both_ways():
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], float)
    first = [(DetectionTruth(), boxes, np.array([0.9, 0.7]))] * 8
    same = detector_agreement(first, first, 0.5)
    assert parity_gate("int8", same).passed and same.added == 0.0
    # The same boxes and one that the float network knows nothing of; the same boxes with a tenth of their scores.
    more = [(DetectionTruth(), np.vstack([boxes, [[40, 40, 60, 60]]]), np.array([0.9, 0.7, 0.99]))] * 8
    added = detector_agreement(first, more, 0.5)
    assert added.matched == 1.0 and added.added == pytest.approx(1 / 3)
    assert not parity_gate("int8", added).passed
    dim = detector_agreement(first, [(DetectionTruth(), boxes, np.array([0.09, 0.07]))] * 8, 0.5)
    assert dim.matched == 1.0 and dim.score_correlation == pytest.approx(1.0)
    assert not parity_gate("int8", dim).passed


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('tensor = "', 'tensor = "Other', "no output tensor 'Other"),
        ('dtype = "float32"', 'dtype = "int8"', "is not int8"),
        ("width = 64", "width = 65", "not one input"),
    ],
)
def test_a_manifest_that_says_other_than_the_file_breaks_the_contract(tiny_models, tmp_path, old, new, reason):
    copy = shutil.copytree(tiny_models / "galaxy-detector", tmp_path / "bundle")
    assert contract_gate(Bundle.load(copy)).passed
    text = (copy / "bundle.toml").read_text()
    (copy / "bundle.toml").write_text(text.replace(old, new, 1))
    gate = contract_gate(Bundle.load(copy))
    assert not gate.passed and reason in gate.measured


def test_outputs_are_distinguished_by_name_not_by_shape(tiny_models, tmp_path):
    # Boxes and scores swapped in the manifest: shapes no longer fit, and nothing is put right in silence.
    copy = shutil.copytree(tiny_models / "galaxy-detector", tmp_path / "bundle")
    text = (copy / "bundle.toml").read_text()
    first, second = (spec.tensor for spec in Bundle.load(copy).variant("int8").outputs)
    swapped = text.replace(f'"{first}"', '"X"').replace(f'"{second}"', f'"{first}"').replace('"X"', f'"{second}"')
    (copy / "bundle.toml").write_text(swapped)
    assert not contract_gate(Bundle.load(copy)).passed


MODEL = {"input": {"width": 16, "height": 16}, "preprocess": {"kind": "crop", "margin": 0.25}}


def test_calibration_images_of_a_folder_are_drawn_evenly(tmp_path):
    from helpers.images import encode

    for name, level, count in (("a", 50, 6), ("b", 200, 2)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.png").write_bytes(encode(np.full((32, 32, 3), level + number, np.uint8)))
    first = load_calibration_images(tmp_path, MODEL, "classify", 4, seed=1)
    assert first.shape == (4, 16, 16, 3) and sorted(int(image.max()) // 100 for image in first) == [0, 0, 2, 2]
    np.testing.assert_array_equal(first, load_calibration_images(tmp_path, MODEL, "classify", 4, seed=1))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"images": np.zeros((5, 16, 16, 3), np.uint8)}, "only black ones"),
        ({"images": np.zeros((0, 16, 16, 3), np.uint8)}, "no images"),
        ({"images": np.ones((5, 8, 8, 3), np.uint8)}, r"not uint8 \(n, 16, 16, 3\)"),
        ({"images": np.ones((5, 16, 16, 3), np.float32)}, "are float32"),
        ({"pictures": np.ones(3)}, "has no array 'images'; it has pictures"),
    ],
)
def test_invalid_calibration_images_are_refused(tmp_path, arrays, reason):
    np.savez_compressed(tmp_path / "calibration.npz", **arrays)
    with pytest.raises(ExportError, match=reason):
        load_calibration_images(tmp_path / "calibration.npz", MODEL, "classify", None, 1)


def test_calibration_files_that_cannot_be_read(tmp_path):
    import zipfile

    (tmp_path / "empty").mkdir()
    with pytest.raises(ExportError, match="no images"):
        load_calibration_images(tmp_path / "empty", MODEL, "classify", None, 1)
    (tmp_path / "x.npz").write_bytes(b"not a zip")
    with pytest.raises(ExportError, match="cannot be read"):
        load_calibration_images(tmp_path / "x.npz", MODEL, "classify", None, 1)
    with pytest.raises(ExportError, match="cannot be read"):
        load_calibration_images(tmp_path / "nothing.npz", MODEL, "classify", None, 1)
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("images.npy", "w") as file,
    ):
        for _ in range(5):
            file.write(bytes(2**20))
    content = bytearray((tmp_path / "bomb.npz").read_bytes())
    directory = content.rindex(
        b"PK\x01\x02"
    )  # the directory says what a bomb of 5 GB would: nothing is unpacked to see
    content[directory + 24 : directory + 28] = (0xFFFFFFFE).to_bytes(4, "little")
    (tmp_path / "bomb.npz").write_bytes(content)
    with pytest.raises(ExportError, match=r"cannot be read|would unpack|has no array"):
        load_calibration_images(tmp_path / "bomb.npz", MODEL, "classify", None, 1)


def test_methods_choose_other_ranges(fp32, tiny_runs):
    images = np.load(tiny_runs / "detector" / "calibration.npz")["images"]
    ranges = {method: measure_ranges(fp32, images, method) for method in ("min-max", "percentile", "mse")}
    for found in ranges.values():
        assert found["serving_default_image:0"] == (0.0, 255.0)
        assert all(low <= 0.0 <= high for low, high in found.values())
        for name, (low, high) in found.items():
            assert ranges["min-max"][name][0] <= low and high <= ranges["min-max"][name][1]
