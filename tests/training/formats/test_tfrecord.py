"""TFRecord: TensorFlow reads ours; others' records and truncated ones are read."""

import json
import re

import numpy as np
import pytest
from helpers.command_line import galaxy_edge_in_process

tf = pytest.importorskip("tensorflow", reason="needs the train extra")

from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.data.tfrecord_files import read_record_image
from galaxy_edge.training.formats.annotation import LabelError
from galaxy_edge.training.formats.registry import read_labels, write_labels
from galaxy_edge.training.formats.samples import sample_from_annotation
from galaxy_edge.training.formats.tfrecord import FILE, OWN_FEATURE
from helpers.labels import awkward_set, encoded_image, plain_values, single_image_set


def records(path):
    return list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())


def example(**changes):
    """Return a record as another program writes it: no name and no class text."""

    def feature(value):
        value = value if isinstance(value, list) else [value]
        if value and isinstance(value[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
        if value and isinstance(value[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=value))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

    features = {
        "image/encoded": encoded_image(0),
        "image/format": b"png",
        "image/source_id": b"17",
        "image/width": 64,
        "image/height": 48,
        "image/object/bbox/xmin": [10 / 64, 0.1],
        "image/object/bbox/xmax": [31 / 64, 0.5],
        "image/object/bbox/ymin": [7 / 48, 0.2],
        "image/object/bbox/ymax": [41 / 48, 0.3],
        "image/object/class/label": [1, 2],
        "image/object/is_crowd": [0, 1],
    } | changes
    return tf.train.Example(
        features=tf.train.Features(
            feature={key: feature(value) for key, value in features.items() if value is not None}
        )
    ).SerializeToString()


def put(folder, *content, name="data.tfrecord-00000-of-00001"):
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / name)) as writer:
        for record in content:
            writer.write(record)
    return folder


def masked_crc(content):
    """CRC-32C, bit by bit, masked as TFRecord has it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % (1 << 32)


def test_tensorflow_parses_what_we_write(tmp_path):
    source = awkward_set(tmp_path / "p")
    write_labels(source, tmp_path / "out", "tfrecord")
    many, text = tf.io.VarLenFeature(tf.float32), tf.io.FixedLenFeature((), tf.string)
    spec = {f"image/object/bbox/{side}": many for side in ("xmin", "ymin", "xmax", "ymax")} | {
        "image/object/area": many,
        "image/object/class/text": tf.io.VarLenFeature(tf.string),
        "image/encoded": text,
        "image/filename": text,
        "image/format": text,
        "image/source_id": text,
        "image/height": tf.io.FixedLenFeature((), tf.int64),
        "image/width": tf.io.FixedLenFeature((), tf.int64),
        **{f"image/object/{key}": tf.io.VarLenFeature(tf.int64) for key in ("class/label", "difficult", "is_crowd")},
    }
    read = [tf.io.parse_single_example(record, spec) for record in records(tmp_path / "out" / FILE)]
    assert [image["image/filename"].numpy().decode() for image in read] == [image.file for image in source.images]
    for parsed, annotation in zip(read, source.images, strict=True):
        column = {
            key: tf.sparse.to_dense(value).numpy() for key, value in parsed.items() if key.startswith("image/object")
        }
        assert parsed["image/encoded"].numpy() == annotation.read_bytes()
        assert parsed["image/format"].numpy().decode() == {"png": "png", "jpg": "jpeg"}[annotation.file.rsplit(".")[-1]]
        assert (parsed["image/width"].numpy(), parsed["image/height"].numpy()) == (annotation.width, annotation.height)
        assert int(parsed["image/source_id"].numpy()) > 0  # what official.vision turns into a number
        for side_index, (side, length) in enumerate(
            zip(("xmin", "ymin", "xmax", "ymax"), (64, 48, 64, 48), strict=True)
        ):
            assert np.array_equal(
                column[f"image/object/bbox/{side}"], (annotation.boxes[:, side_index] / length).astype(np.float32)
            )
        assert tuple(text.decode() for text in column["image/object/class/text"]) == annotation.classes
        assert [source.classes[label - 1] for label in column["image/object/class/label"]] == list(annotation.classes)
        assert column["image/object/difficult"].tolist() == annotation.difficult.astype(int).tolist()
        area = (annotation.boxes[:, 2] - annotation.boxes[:, 0]) * (annotation.boxes[:, 3] - annotation.boxes[:, 1])
        assert np.allclose(column["image/object/area"], area, rtol=1e-6)


def test_the_decoder_of_official_vision_reads_what_we_write(tmp_path):
    decoder = pytest.importorskip("official.vision.dataloaders.tf_example_decoder", reason="needs the detector extra")
    source = awkward_set(tmp_path / "p")
    write_labels(source, tmp_path / "out", "tfrecord")
    decode = decoder.TfExampleDecoder().decode
    for record, image in zip(records(tmp_path / "out" / FILE), source.images, strict=True):
        decoded = decode(record)
        assert decoded["image"].shape == (image.height, image.width, 3)
        boxes = decoded["groundtruth_boxes"].numpy()[:, [1, 0, 3, 2]] * np.array([64, 48, 64, 48], np.float32)
        assert np.allclose(boxes, image.boxes, atol=1e-4)
        assert [source.classes[label - 1] for label in decoded["groundtruth_classes"].numpy()] == list(image.classes)
        flags = [
            bool(extra["coco"].get("iscrowd", flag)) if "coco" in extra else flag
            for extra, flag in zip(image.extras, image.difficult.tolist(), strict=True)
        ]
        assert decoded["groundtruth_is_crowd"].numpy().tolist() == flags


def test_record_of_another_program_is_read(tmp_path):
    labels = read_labels(put(tmp_path / "out", example()))
    (image,) = labels.images
    assert (image.file, image.width, image.height) == ("17.png", 64, 48)
    # float32 shares of 64 pixels: the whole pixels that were meant, and 6.4 and 32 for 0.1 and 0.5.
    assert image.boxes.tolist() == [[10, 7, 31, 41], [6.4, 9.6, 32, 14.4]]
    assert image.classes == ("class 1", "class 2") and image.difficult.tolist() == [False, True]
    assert image.read_bytes() == encoded_image(0)


@pytest.mark.parametrize("seed", range(3))
def test_whole_pixels_come_back_from_float32_shares(tmp_path, seed):
    rng = np.random.default_rng(seed)
    width, height = rng.integers(200, 8000, 2).tolist()
    boxes = rng.integers(0, [width, height, width, height], (40, 4))
    content = example(
        **{
            "image/width": width,
            "image/height": height,
            "image/object/class/label": [1] * 40,
            "image/object/is_crowd": None,
            **{
                f"image/object/bbox/{side}": (boxes[:, side_index] / length).tolist()
                for side_index, (side, length) in enumerate(
                    zip(("xmin", "ymin", "xmax", "ymax"), (width, height) * 2, strict=True)
                )
            },
        }
    )
    (image,) = read_labels(put(tmp_path / "out", content)).images
    assert image.boxes.tolist() == boxes.tolist()


def test_a_label_map_names_classes_and_their_order(tmp_path):
    put(tmp_path / "out", example())
    (tmp_path / "out" / "map.pbtxt").write_text(
        '# classes\nitem {\n  name: \'star\'\n  id: 2\n}\nitem {id: 1 name: "galaxy, {any}" display_name: "x"}\n'
    )
    labels = read_labels(tmp_path / "out")
    assert labels.classes == ("galaxy, {any}", "star") == labels.images[0].classes


def test_shards_are_one_set(tmp_path):
    for shard in range(3):
        put(
            tmp_path / "out",
            example(**{"image/filename": f"{shard}.png".encode()}),
            name=f"d.tfrecord-0000{shard}-of-00003",
        )
    assert [image.file for image in read_labels(tmp_path / "out").images] == ["0.png", "1.png", "2.png"]


def test_edited_record_overrides_the_stored_values(tmp_path):
    source = single_image_set(tmp_path / "p", [[1 / 3, 2, 30, 20.1], [5, 6, 50, 40]], difficult=[True, False])
    write_labels(source, tmp_path / "out", "tfrecord")
    read = tf.train.Example.FromString(records(tmp_path / "out" / FILE)[0])
    read.features.feature["image/object/bbox/xmin"].float_list.value[1] = 0.25
    read.features.feature["image/object/difficult"].int64_list.value[0] = 0
    read.features.feature["image/object/is_crowd"].int64_list.value[0] = 0
    (image,) = read_labels(put(tmp_path / "new", read.SerializeToString())).images
    assert image.boxes[1].tolist() == [16, 6, 50, 40]
    assert image.difficult.tolist() == [False, False]
    assert np.abs(image.boxes[0] - source.images[0].boxes[0]).max() < 1e-5  # no longer known to the last bit


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"image/object/class/label": [1]}, "differing numbers"),
        ({"image/object/bbox/xmin": [0.1]}, "differing numbers"),
        ({"image/object/bbox/xmin": [float("nan"), 0.1]}, "cannot be a position in an image"),
        ({"image/filename": b"../../x.png"}, "leads out of the data set"),
        ({"image/filename": b"\xff.png"}, "byte 0"),
        ({"image/encoded": b"no picture", "image/width": None}, "not a PNG, JPEG, TIFF, BMP or FITS image"),
        ({"image/encoded": None, "image/width": None}, "empty"),
        ({OWN_FEATURE: b"{"}, "record 'galaxy_edge/label' of 17.png is damaged"),
        ({OWN_FEATURE: json.dumps({"file": "x"}).encode()}, "damaged"),
    ],
)
def test_broken_records_say_what_is_wrong_and_where(tmp_path, changes, message):
    with pytest.raises(LabelError, match=message) as caught:
        read_labels(put(tmp_path / "out", example(**changes)))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_an_example_are_refused(tmp_path):
    with pytest.raises(LabelError, match=r"data\.tfrecord.*, record 1 at byte 0: is not an Example"):
        read_labels(put(tmp_path / "out", b"\xff" * 40))


@pytest.mark.parametrize("left", [-1, -60, 11, 5, 1])
def test_a_file_that_is_cut_short(tmp_path, left):
    # TensorFlow itself says nothing of a file that ends in the first 12 bytes of a record.
    write_labels(awkward_set(tmp_path / "p"), tmp_path / "out", "tfrecord")
    file = tmp_path / "out" / FILE
    content = file.read_bytes()
    first, second = (len(record) + 16 for record in records(file)[:2])
    end = first + (left if left > 0 else second + left)
    file.write_bytes(content[:end])
    faults = []
    assert len(read_labels(tmp_path / "out", on_error=faults.append).images) == 1
    assert [str(fault) for fault in faults] == [
        f"pictures.tfrecord: is cut short or damaged in record 2, after byte {first}: the last {end - first} bytes, and the "
        "records in them, cannot be read"
    ]


def test_truncated_is_taken_from_the_xml(tmp_path):
    # labelImg says so of what touches an edge, and another program may say it of anything.
    boxes = [[1, 2, 30, 40], [5, 2, 30, 40], [5, 2, 30, 40], [1, 2, 30, 40]]
    extras = ({}, {}, {"truncated": "1"}, {"truncated": "0"})
    write_labels(single_image_set(tmp_path / "p", boxes, extras=extras), tmp_path / "voc", "voc")
    text = (tmp_path / "voc" / "m31.xml").read_text()
    assert re.findall("<truncated>(.)", text) == ["1", "0", "1", "0"]
    write_labels(read_labels(tmp_path / "voc"), tmp_path / "out", "tfrecord")
    found = tf.train.Example.FromString(records(tmp_path / "out" / FILE)[0])
    assert list(found.features.feature["image/object/truncated"].int64_list.value) == [1, 0, 1, 0]
    del found.features.feature[OWN_FEATURE]
    write_labels(read_labels(put(tmp_path / "others", found.SerializeToString())), tmp_path / "again", "voc")
    assert re.findall("<truncated>(.)", (tmp_path / "again" / "m31.xml").read_text()) == ["1", "0", "1", "0"]


@pytest.mark.parametrize("length", [1 << 20, 1 << 62, (1 << 64) - 1])
def test_record_with_an_absurd_length_is_refused(tmp_path, length):
    # With the checksum of its length right, TensorFlow believes it, and ends the process for want of memory.
    write_labels(single_image_set(tmp_path / "p", [[1, 2, 30, 40]]), tmp_path / "out", "tfrecord")
    head = length.to_bytes(8, "little")
    with (tmp_path / "out" / FILE).open("ab") as stream:
        stream.write(head + masked_crc(head).to_bytes(4, "little") + bytes(100))
    done = galaxy_edge_in_process("data", "check", tmp_path / "out", "--json")
    assert done.returncode == 1, done.stderr
    (found,) = json.loads(done.stdout)["findings"]
    assert found["kind"] == "file cut short" and "damaged in record 2" in found["detail"]


def test_a_changed_byte_is_noticed(tmp_path):
    write_labels(awkward_set(tmp_path / "p"), tmp_path / "out", "tfrecord")
    file = tmp_path / "out" / FILE
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(LabelError, match="cut short or damaged"):
        read_labels(tmp_path / "out")


def test_samples_read_their_image_out_of_the_record(tmp_path):
    source = awkward_set(tmp_path / "p")
    write_labels(source, tmp_path / "out", "tfrecord")
    for read, image in zip(read_labels(tmp_path / "out").images, source.images, strict=True):
        assert sample_from_annotation(read).read_bytes() == image.read_bytes()
    with pytest.raises(OSError, match="is truncated"):
        read_record_image(tmp_path / "out" / FILE, 5)


def test_images_cannot_be_left_out(tmp_path):
    with pytest.raises(DataError, match="--images copy"):
        write_labels(awkward_set(tmp_path / "p"), tmp_path / "out", "tfrecord", images="none")
    assert not (tmp_path / "out").exists()


def test_file_read_and_written_again_is_unchanged(tmp_path):
    source = awkward_set(tmp_path / "p")
    write_labels(source, tmp_path / "out", "tfrecord")
    write_labels(read_labels(tmp_path / "out"), tmp_path / "again", "tfrecord")
    assert plain_values(read_labels(tmp_path / "again")) == plain_values(source)
    assert (
        records(tmp_path / "again" / FILE)[0]
        and (tmp_path / "again" / "pictures.pbtxt").read_bytes() == (tmp_path / "out" / "pictures.pbtxt").read_bytes()
    )
