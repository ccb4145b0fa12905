"""An engine plug-in: ncnn, on the processor, in float32.

``python -m galaxy_edge_ncnn BUNDLE... OUT`` writes copies of bundles with a variant for it. A network goes through ONNX
and pnnx, and must give the outputs of ONNX Runtime on the bundle's golden inputs.
"""

import argparse
import importlib.util
import io
import subprocess
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.manifest import Variant
from galaxy_edge.runtime.inference.engine import RawTensor

PARAM, BIN = "network.param", "network.bin"
"""The two files of a network, which a variant has in one zip."""
VARIANT = "ncnn"
TOLERANCE = 1e-4
"""Largest difference from ONNX Runtime, as a share of the largest output."""


class NcnnEngine:
    """Runs the variant ``ncnn`` of a bundle."""

    name = "ncnn"

    def __init__(self, bundle: Bundle, variant: Variant, threads: int) -> None:
        import ncnn

        self._ncnn, self._specs = ncnn, variant.outputs
        self._net = net = ncnn.Net()
        net.opt.num_threads = threads
        # Half floats, the default on Arm, are faster; the outputs would not be those of float32.
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        with zipfile.ZipFile(io.BytesIO(bundle.read(variant.file))) as archive, tempfile.TemporaryDirectory() as folder:
            archive.extract(PARAM, folder)
            archive.extract(BIN, folder)
            if net.load_param(f"{folder}/{PARAM}") or net.load_model(f"{folder}/{BIN}"):
                raise ValueError("ncnn cannot load it")

    def __call__(self, batch: np.ndarray) -> dict[str, RawTensor]:
        extractor = self._net.create_extractor()
        image = np.ascontiguousarray(batch[0], np.float32)
        extractor.input("in0", self._ncnn.Mat(image).clone())  # without clone, ncnn writes into NumPy's memory
        outputs = {}
        for number, spec in enumerate(self._specs):
            failed, values = extractor.extract(f"out{number}")
            if failed:
                raise RuntimeError(f"ncnn cannot compute the output {spec.name}")
            outputs[spec.name] = RawTensor(np.array(values).reshape(spec.shape[1:]), 0.0, 0)
        return outputs


def convert(source: Path, out: Path) -> float:
    """Write a copy of a bundle with a variant for ncnn.

    Returns:
        The largest difference from ONNX Runtime, as a share of the largest output.
    """
    from galaxy_edge.export.bundle_writer import check_target, publish, staging_folder, write_bundle
    from galaxy_edge.export.onnx.convert import tflite_to_onnx

    bundle = Bundle.load(source)
    onnx = tflite_to_onnx(bundle.read(bundle.variant("fp32").file))
    specs = tuple(spec._replace(dtype="float32") for spec in bundle.variant("fp32").outputs)
    variant = Variant(VARIANT, "fp32.ncnn", "plugin:ncnn", specs)
    files = {file: bundle.read(file) for file in bundle.manifest.files} | {variant.file: _to_ncnn(onnx, bundle)}
    target = check_target(out)
    with staging_folder(target) as folder:
        write_bundle(folder, bundle.manifest._replace(variants={**bundle.variants, VARIANT: variant}), files)
        difference = _difference(onnx, Bundle.load(folder))
        if not difference <= TOLERANCE:
            raise SystemExit(f"{source}: the outputs of ncnn differ by {difference:.1e}: nothing is written")
        publish(folder, target)
    return difference


def _to_ncnn(onnx: bytes, bundle: Bundle) -> bytes:
    """Return a zip of the two files that pnnx makes."""
    found = importlib.util.find_spec("pnnx")  # not imported, since that needs torch
    if found is None or found.origin is None:
        raise SystemExit("pnnx is not installed: pip install --no-deps pnnx")
    program = Path(found.origin).with_name("pnnx")
    width, height = bundle.input_size
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "network.onnx").write_bytes(onnx)
        # fp16=0: the weights stay float32.
        command = [str(program), "network.onnx", f"inputshape=[1,{height},{width},3]", "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        made = [Path(folder) / f"network.ncnn{suffix}" for suffix in (".param", ".bin")]
        if done.returncode or not all(path.is_file() for path in made):
            raise SystemExit(f"pnnx failed: {(done.stderr or done.stdout).strip()[-300:]}")
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, path in zip((PARAM, BIN), made, strict=True):
                archive.writestr(name, path.read_bytes())
    return stream.getvalue()


def _difference(onnx: bytes, bundle: Bundle) -> float:
    """Return the largest difference from ONNX, as a share of the largest output."""
    from galaxy_edge.runtime.inference.onnx_engine import session

    variant = bundle.variant(VARIANT)
    engine, reference = NcnnEngine(bundle, variant, 1), session(onnx, variant.file)
    largest = 0.0
    for image in bundle.golden()["inputs"]:
        found = engine(image[None])
        tensors = [spec.tensor for spec in variant.outputs]
        expected = reference.run(tensors, {reference.get_inputs()[0].name: image[None].astype(np.float32)})
        for spec, values in zip(variant.outputs, expected, strict=True):
            error = np.abs(found[spec.name].values - values[0]).max() / np.abs(values).max()
            largest = max(largest, float(error))
    return largest


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write copies of bundles with a variant for ncnn.")
    parser.add_argument("bundles", type=Path, nargs="+", help="Folders of bundles with a variant fp32.")
    parser.add_argument("out", type=Path, help="Folder that gets the copies.")
    given = parser.parse_args()
    for bundle in given.bundles:
        out = given.out / bundle.name
        difference = convert(bundle, out)
        print(f"{out}: on the golden inputs, ncnn differs from ONNX Runtime by {difference:.1e} of the largest output")


if __name__ == "__main__":
    main()
