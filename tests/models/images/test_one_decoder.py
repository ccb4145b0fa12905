"""Training, label tools, export and runtime see the same pixels of the same file."""

import io
from pathlib import Path

import numpy as np
import pytest
from galaxy_edge.models.images.decoder import decode_image
from galaxy_edge.models.images.exif import apply_orientation, read_orientation
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.training.classifier.dataset_files import load_dataset
from galaxy_edge.training.data.sample import Sample
from galaxy_edge.training.formats.images import decode, image_size
from helpers.images import add_exif_orientation, encode, encode_palette_png, encode_tiff, render

WIDTH, HEIGHT = 96, 64
SKY = render([(60, 20, 6)], WIDTH, HEIGHT)
SKY[..., 1] //= 2
GREY = SKY[..., 0]
RAW = GREY.astype(np.uint16) * 40 + 1000
RAW_COLOUR = SKY.astype(np.uint16) * 40 + 1000
ALPHA = np.repeat(np.linspace(0, 255, HEIGHT).astype(np.uint8)[:, None], WIDTH, axis=1)

TURNED = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: np.swapaxes(stored, 0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.swapaxes(stored[::-1, ::-1], 0, 1),
    8: lambda stored: np.rot90(stored),
}
"""What each value of the tag means (Exif 2.32, 4.6.4), in numpy."""


def fits_file(data):
    fits = pytest.importorskip("astropy.io.fits", reason="needs astropy (the fits extra)")
    stream = io.BytesIO()
    fits.PrimaryHDU(data).writeto(stream)
    return stream.getvalue()


FILES = {
    "8bit.png": lambda: encode(SKY),
    "8bit.jpg": lambda: encode(SKY, ".jpg"),
    "8bit.tif": lambda: encode(SKY, ".tif"),
    "8bit.bmp": lambda: encode(SKY, ".bmp"),
    "grey.png": lambda: encode(GREY),
    "grey.jpg": lambda: encode(GREY, ".jpg"),
    "grey.tif": lambda: encode(GREY, ".tif"),
    "16bit.png": lambda: encode(RAW_COLOUR),
    "16bit-grey.png": lambda: encode(RAW),
    "16bit.tif": lambda: encode(RAW_COLOUR, ".tif"),
    "16bit-grey.tif": lambda: encode(RAW, ".tif"),
    "float.tif": lambda: encode(RAW.astype(np.float32) / 65535, ".tif"),
    "rgba.png": lambda: encode(np.dstack([SKY, ALPHA])),
    "rgba-16bit.png": lambda: encode(np.dstack([RAW_COLOUR, ALPHA.astype(np.uint16) * 257])),
    "palette.png": lambda: encode_palette_png(GREY // 64, [(0, 0, 0), (80, 0, 9), (0, 160, 9), (255, 250, 240)]),
    "16bit.fits": lambda: fits_file(RAW),
    "float.fits": lambda: fits_file(RAW.astype(np.float32)),
    **{
        f"exif{tag}.{kind}": lambda tag=tag, kind=kind: add_exif_orientation(encode(SKY, "." + kind), tag)
        for tag in TURNED
        for kind in ("jpg", "png")
    },
    **{f"exif{tag}-16bit.png": lambda tag=tag: add_exif_orientation(encode(RAW), tag) for tag in TURNED},
    **{f"exif{tag}.tif": lambda tag=tag: encode_tiff(SKY, tag) for tag in TURNED},
    **{f"exif{tag}-16bit.tif": lambda tag=tag: encode_tiff(RAW, tag, ">") for tag in TURNED},
}


@pytest.mark.parametrize("name", FILES)
def test_training_and_runtime_see_the_same_pixels(tmp_path, name):
    # A model trained on pixels that differ from those at run time is worse, and no other test would show why.
    content = FILES[name]()
    for folder in ("spiral", "edge_on"):  # a folder of images per class, as the classifier reads it
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    expected = decode_image(content, name).pixels
    (frame,) = open_source(str(tmp_path / "spiral" / name), pytest.fail)
    sample = Sample("set", name, tmp_path, f"spiral/{name}")
    classified, _ = load_dataset(tmp_path, 0.0).readers[0]()
    for pixels in (frame.pixels, sample.load(), classified, decode(content)):
        assert pixels.dtype == np.uint8 and np.array_equal(pixels, expected)
    assert image_size(content) == (frame.pixels.shape[1], frame.pixels.shape[0])


@pytest.mark.parametrize("tag", TURNED)
def test_the_orientation_tag_is_applied_to_every_kind(tag):
    jpeg = encode(SKY, ".jpg")
    for stored, turned in (
        (jpeg, add_exif_orientation(jpeg, tag)),
        (encode(SKY), add_exif_orientation(encode(SKY), tag)),
        (encode(RAW), add_exif_orientation(encode(RAW), tag)),
        (encode_tiff(SKY), encode_tiff(SKY, tag)),
        (encode_tiff(RAW), encode_tiff(RAW, tag)),
        (encode_tiff(RAW_COLOUR), encode_tiff(RAW_COLOUR, tag, ">")),
    ):
        image, reference = decode_image(turned, "x"), decode_image(stored, "x")
        assert read_orientation(turned) == tag
        assert np.array_equal(image.pixels, TURNED[tag](reference.pixels)) and image.pixels.flags.c_contiguous
        assert image.stretch == reference.stretch
        if reference.raw is not None:
            assert np.array_equal(image.raw, TURNED[tag](reference.raw))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_every_depth_can_be_turned(dtype):
    # TIFF comes in all of these, and OpenCV does not turn every type in every version.
    stored = np.arange(20 * 30 * 3).reshape(20, 30, 3).astype(dtype)
    for tag, turn in TURNED.items():
        assert np.array_equal(apply_orientation(stored, tag), turn(stored))
        assert np.array_equal(apply_orientation(stored[..., 0].copy(), tag), turn(stored[..., 0]))


def test_against_pillow():
    """An independent reader turns the same way."""
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow")
    from PIL import ImageOps

    for tag in TURNED:
        for content in (add_exif_orientation(encode(SKY), tag), add_exif_orientation(encode(SKY, ".jpg"), tag)):
            reference = np.asarray(ImageOps.exif_transpose(pillow.open(io.BytesIO(content))))
            difference = np.abs(decode_image(content, "x").pixels.astype(int) - reference)
            assert difference.max() <= 4  # of two JPEG decoders; the turn itself is exact


@pytest.mark.parametrize("tag", [0, 9, 65535])
def test_an_invalid_orientation_is_ignored(tag):
    assert np.array_equal(decode_image(add_exif_orientation(encode(SKY), tag), "x.png").pixels, SKY)


def test_any_damage_to_the_orientation_gives_an_image():
    """A damaged EXIF block is not a reason to lose the image."""
    rng = np.random.default_rng(5)
    for content in (add_exif_orientation(encode(SKY, ".jpg"), 6), encode_tiff(SKY, 6)):
        start = content.index(b"Exif") + 6 if b"Exif" in content else None
        for _ in range(100):
            broken = bytearray(content)
            if start:
                broken[start + rng.integers(0, 26)] = rng.integers(0, 256)
                assert decode_image(bytes(broken), "x").pixels.size == SKY.size
            assert 1 <= read_orientation(bytes(broken[: rng.integers(0, len(broken))])) <= 8


def test_no_other_module_decodes_files():
    """A second decoder would read deep or turned images in another way."""
    import galaxy_edge

    root = Path(galaxy_edge.__file__).parent
    allowed = {
        "models/images/decoder.py",
        "models/images/dng.py",
        "models/images/tiff.py",
        "runtime/recording/contact_sheet.py",  # tiles that it encoded itself
        "runtime/report/gallery.py",  # crops that a run encoded, which may be smaller than any image
        "training/scenes/camera_effects.py",  # the same, to add JPEG noise
        "benchmarks/study/pictures.py",  # sheets that were just written
        "benchmarks/robustness/crash_recovery.py",  # whether a file can be opened at all
    }
    rooms = ("models", "devices", "runtime", "training", "export", "benchmarks", "cli")
    modules = [path for room in rooms for path in (root / room).rglob("*.py")]
    assert len(modules) > 100
    found = {
        path.relative_to(root).as_posix()
        for path in modules
        if any(word in path.read_text() for word in ("imdecode", "imread", "Image.open"))
    }
    assert found <= allowed
