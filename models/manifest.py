"""The manifest of a bundle, ``bundle.toml``, as a record.

`manifest_check` reads and checks the file.

The records are NamedTuples: every start of a run defines these classes, and a frozen dataclass takes seven times as
long to define. Their annotations are evaluated, because NamedTuple compiles each annotation that is text. Values are
kept as read, so that writing a manifest gives back what was read.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from ..errors import UserError
from .raw.stretch import Stretch

FORMAT = 1
TASKS = ("classify", "detect")
RUNTIMES = ("tflite", "onnx", "edgetpu")
MANIFEST = "bundle.toml"
GOLDEN = "golden.npz"

DECODED = "detection_boxes"
"""Output of a network that decodes its boxes itself, see `runtime.inference.detector`."""


class BundleError(UserError):
    """A bundle that cannot be used; the message says what is wrong and where."""


class NoBundleError(BundleError):
    """There is no bundle where one is named."""

    exit_code = 2


class InputFormat(NamedTuple):
    """The network's input: size in pixels, type of levels, order of colours."""

    width: int
    height: int
    dtype: str = "uint8"
    colour: str = "RGB"


class Preprocess(NamedTuple):
    """How an image becomes the network's input.

    Attributes:
        kind: ``crop`` of a classifier, ``letterbox`` of a detector.
        margin: of a crop: total share of the box's longer side that is added.
        fill: of a letterbox: level of the borders, 0..255.
        stretch: of images of more than 8 bits; None where the network was trained without such images.
    """

    kind: str
    margin: float = 0.0
    fill: int = 0
    stretch: Stretch | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the table ``[preprocess]``."""
        value: dict[str, Any] = {"margin": self.margin} if self.kind == "crop" else {"fill": self.fill}
        return {"kind": self.kind, **value} | ({"stretch": self.stretch.manifest()} if self.stretch else {})

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Read a checked table."""
        stretch = {"stretch": Stretch.from_manifest(table["stretch"])} if "stretch" in table else {}
        return cls(**{**table, **stretch})


class Anchors(NamedTuple):
    """The anchor grid of a detector, and the weights of its box code.

    See `decode.anchor_grid`.
    """

    min_level: int
    max_level: int
    anchor_size: float
    scales_per_octave: int
    aspect_ratios: tuple[float, ...]
    box_weights: tuple[float, ...]


class DetectorDecode(NamedTuple):
    """How a detector's outputs become boxes.

    Attributes:
        score_threshold: operating threshold of the score in a whole frame, 0..1.
        nms_iou: IoU above which the lower of two boxes is dropped, 0..1.
        max_detections: maximum number of boxes in a frame.
        anchors: None where the network decodes its boxes itself.
        tile_threshold: operating threshold in a tile of a large frame; None: the same as in a whole frame.
        galaxy_class: index of the class that are galaxies; None where it is the only one or has that name.
    """

    score_threshold: float
    nms_iou: float
    max_detections: int
    anchors: Anchors | None = None
    tile_threshold: float | None = None
    galaxy_class: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the table ``[decode]``."""
        anchors = {} if self.anchors is None else self.anchors._asdict()
        lists = {key: list(value) if isinstance(value, tuple) else value for key, value in anchors.items()}
        return lists | {key: value for key, value in self._asdict().items() if key != "anchors" and value is not None}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Read a checked table."""
        if "min_level" not in table:
            return cls(**table)
        grid = {key: table[key] for key in Anchors._fields}
        anchors = Anchors(**grid | {key: tuple(grid[key]) for key in ("aspect_ratios", "box_weights")})
        return cls(**{key: value for key, value in table.items() if key not in grid}, anchors=anchors)


class ClassifierDecode(NamedTuple):
    """How a classifier's outputs become probabilities.

    Attributes:
        temperature: by which logits are divided, over 0.
        abstain: probability below which a class is a guess, 0..1; None where there is no such threshold.
        domain: limits of the images that the classifier knows, see `runtime.inference.domain.Domain`.
        groups: probability that a coarse group needs to be sure, 0..1, by its name.
    """

    temperature: float
    abstain: float | None = None
    domain: Mapping[str, float] | None = None
    groups: Mapping[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the table ``[decode]``."""
        return {key: value for key, value in self._asdict().items() if value is not None}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Read a checked table."""
        return cls(**table)


class NetworkSize(NamedTuple):
    """Number of parameters and of multiplications for one input.

    Both are 0 where they are not known.
    """

    parameters: int
    macs: int


class TrainingData(NamedTuple):
    """What the network was trained on.

    Attributes:
        hash: SHA-256 (hex) over the hashes of all images; "" where it is not known.
        sets: number of images by data set.
        split: how the held-out images were chosen, see `training.data.splits`.
        sources: of the images, to be credited.
    """

    hash: str
    sets: Mapping[str, int]
    split: Mapping[str, Any]
    sources: tuple[str, ...]


class Gate(NamedTuple):
    """A check of an export: its name, its measurement, and whether it passed."""

    name: str
    measured: str
    passed: bool


class OutputSpec(NamedTuple):
    """An output of a variant: name in the manifest, tensor, shape and dtype."""

    name: str
    tensor: str
    shape: tuple[int, ...]
    dtype: str


class Variant(NamedTuple):
    """A variant: its file, its runtime (in `RUNTIMES`) and its outputs in order."""

    name: str
    file: str
    runtime: str
    outputs: tuple[OutputSpec, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the table ``[variants.NAME]``."""
        outputs = [output._asdict() | {"shape": list(output.shape)} for output in self.outputs]
        return {"file": self.file, "runtime": self.runtime, "outputs": outputs}

    @classmethod
    def from_dict(cls, name: str, table: Mapping[str, Any]) -> Self:
        """Read a checked table."""
        outputs = (OutputSpec(**output | {"shape": tuple(output["shape"])}) for output in table["outputs"])
        return cls(name, table["file"], table["runtime"], tuple(outputs))


class Manifest(NamedTuple):
    """The content of ``bundle.toml``.

    Attributes:
        format: of the file, see `FORMAT`.
        name: of the bundle, e.g. ``galaxy-detector``.
        task: one of `TASKS`.
        version: of galaxy-edge that made it.
        created: UTC time in ISO format, or ``unknown``.
        licence: of the network.
        classes: class names in the order of the outputs.
        decode: of the kind that belongs to the task, see `detector_decode` and `classifier_decode`.
        training: settings of the training, as recorded; any keys.
        data: what the network was trained on.
        export: settings and findings of the export, as recorded; any keys.
        gates: results of the export's checks.
        metrics: by variant or baseline, as recorded; any keys.
        variants: the forms of the network, by name (``int8``, ``fp32``).
        files: SHA-256 (hex) of every file, by its name.
        ungated: whether the bundle was written although a gate failed.
    """

    format: int
    name: str
    task: str
    version: str
    created: str
    licence: str
    classes: tuple[str, ...]
    input: InputFormat
    preprocess: Preprocess
    decode: DetectorDecode | ClassifierDecode
    network: NetworkSize
    training: Mapping[str, Any]
    data: TrainingData
    export: Mapping[str, Any]
    gates: tuple[Gate, ...]
    metrics: Mapping[str, Any]
    variants: Mapping[str, Variant]
    files: Mapping[str, str]
    ungated: bool = False

    @property
    def detector_decode(self) -> DetectorDecode:
        """`decode` of a detector; a `BundleError` for a classifier."""
        if not isinstance(self.decode, DetectorDecode):
            raise BundleError(f"{self.name} is a model for the task '{self.task}', not 'detect'")
        return self.decode

    @property
    def classifier_decode(self) -> ClassifierDecode:
        """`decode` of a classifier; a `BundleError` for a detector."""
        if not isinstance(self.decode, ClassifierDecode):
            raise BundleError(f"{self.name} is a model for the task '{self.task}', not 'classify'")
        return self.decode

    @property
    def fallbacks(self) -> Mapping[str, str]:
        """What replaced a variant that failed a gate, in words, by the variant's name."""
        fallbacks: Mapping[str, str] = self.export.get("rescue", {})
        return fallbacks

    def to_dict(self) -> dict[str, Any]:
        """Return the tables of ``bundle.toml``."""
        tables = self._asdict() | {
            "classes": list(self.classes),
            "input": self.input._asdict(),
            "preprocess": self.preprocess.to_dict(),
            "decode": self.decode.to_dict(),
            "network": self.network._asdict(),
            "data": self.data._asdict() | {"sources": list(self.data.sources)},
            "gates": [gate._asdict() for gate in self.gates],
            "variants": {name: variant.to_dict() for name, variant in self.variants.items()},
        }
        return {key: table for key, table in tables.items() if table or key not in ("export", "ungated")}

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any]) -> Self:
        """Read checked tables, see `manifest_check.parse_manifest`."""
        decode = DetectorDecode if tables["task"] == "detect" else ClassifierDecode
        records = {
            "classes": tuple(tables["classes"]),
            "input": InputFormat(**tables["input"]),
            "preprocess": Preprocess.from_dict(tables["preprocess"]),
            "decode": decode.from_dict(tables["decode"]),
            "network": NetworkSize(**tables["network"]),
            "data": TrainingData(**{**tables["data"], "sources": tuple(tables["data"]["sources"])}),
            "gates": tuple(Gate(**gate) for gate in tables["gates"]),
            "variants": {name: Variant.from_dict(name, table) for name, table in tables["variants"].items()},
        }
        return cls(**{"export": {}, **tables, **records})
