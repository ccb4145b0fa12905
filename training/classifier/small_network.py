"""The search space's small networks: description, cost and construction.

Convolution, batch normalisation, ReLU, in that order, so that normalisation can be folded; a stem, then stages that
each halve the image and add residual blocks (He et al. 2016, arXiv:1512.03385), plain or depthwise-separable
(Howard et al. 2017, arXiv:1704.04861). The first shipped network is one of them.

A description is expanded into a list of steps. The cost is computed from it and the network is built from it, so that
the two agree, and the cost of thousands of candidates is known without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import UserError
from ..cost import Cost

if TYPE_CHECKING:
    import keras

KINDS = ("plain", "mixed", "separable")
"""Convolutions of a stage: all plain; the first one plain and the residual blocks separable; all separable."""

POOLINGS = ("average", "both")
"""Global average, or global average and maximum concatenated."""

NORM_MOMENTUM = 0.95
"""With the default 0.99 and 50 steps per epoch the moving averages lag so far that validation stays at chance."""


class NetworkError(UserError):
    """A description of a network that cannot be built; the message names the field."""

    exit_code = 2


@dataclass(frozen=True)
class Stage:
    """A convolution of stride 2, then residual blocks.

    Attributes:
        width: channels, 4..512.
        depth: residual blocks after the first convolution, 0..6.
        kernel: side of the kernels, 3 or 5.
        kind: one of `KINDS`.
    """

    width: int
    depth: int
    kernel: int
    kind: str

    def __post_init__(self) -> None:
        _within("stage width", self.width, 4, 512)
        _within("stage depth", self.depth, 0, 6)
        _one_of("stage kernel", self.kernel, (3, 5))
        _one_of("stage kind", self.kind, KINDS)


@dataclass(frozen=True)
class SmallNetwork:
    """A network of the search space.

    Attributes:
        size: side of the input in pixels, 48..96.
        stem_channels, stem_kernel, stem_stride: the first convolution: 4..128 channels, kernel 3 or 5, stride 1 or 2.
        stages: one to four.
        pooling: one of `POOLINGS`.
        dense: units of a dense layer before the last one, 4..512, or 0 for none.
        dropout: share of the last features dropped in training, 0..0.8.

    Raises:
        NetworkError: a value is out of range.
    """

    size: int
    stem_channels: int
    stem_kernel: int
    stem_stride: int
    stages: tuple[Stage, ...]
    pooling: str
    dense: int
    dropout: float

    def __post_init__(self) -> None:
        _within("size", self.size, 48, 96)
        _within("stem_channels", self.stem_channels, 4, 128)
        _one_of("stem_kernel", self.stem_kernel, (3, 5))
        _one_of("stem_stride", self.stem_stride, (1, 2))
        _within("number of stages", len(self.stages), 1, 4)
        _one_of("pooling", self.pooling, POOLINGS)
        if self.dense != 0:
            _within("dense", self.dense, 4, 512)
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, int | float) or not 0 <= self.dropout <= 0.8:
            raise NetworkError(f"dropout is {self.dropout!r}; it must be a number in 0..0.8")

    def to_dict(self) -> dict[str, Any]:
        """Return the description as plain values, for JSON."""
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SmallNetwork:
        """Create a network from the values that `to_dict` returned.

        Raises:
            NetworkError: a key is unknown or missing, or a value is out of range.
        """
        _check_keys("the network", cls, values)
        if not isinstance(values["stages"], list | tuple):
            raise NetworkError(f"stages is {values['stages']!r}; it must be a list of stages")
        for number, stage in enumerate(values["stages"], 1):
            _check_keys(f"stage {number}", Stage, stage)
        return cls(**{**values, "stages": tuple(Stage(**stage) for stage in values["stages"])})


class Step(NamedTuple):
    """One step of a network.

    ``keep`` and ``add`` start and end a residual block. `before` is the number of input channels, `side` that of the
    output in pixels.
    """

    kind: str
    channels: int = 0
    side: int = 0
    before: int = 0
    kernel: int = 1
    stride: int = 1


def steps(spec: SmallNetwork, classes: int) -> Iterator[Step]:
    """Yield the steps of a network, from input to logits."""
    side, channels = spec.size, 3

    def convolve(width: int, kernel: int, stride: int, kind: str = "conv") -> Step:
        nonlocal side, channels
        side, before, channels = -(-side // stride), channels, width
        return Step(kind, width, side, before, kernel, stride)

    def block(stage: Stage, stride: int, separable: bool) -> Iterator[Step]:
        if separable:
            yield convolve(channels, stage.kernel, stride, "depthwise")
        yield convolve(stage.width, 1 if separable else stage.kernel, 1 if separable else stride)

    yield convolve(spec.stem_channels, spec.stem_kernel, spec.stem_stride)
    for stage in spec.stages:
        yield from block(stage, 2, stage.kind == "separable")
        for _ in range(stage.depth):
            yield Step("keep")
            yield from block(stage, 1, stage.kind != "plain")
            yield Step("add", channels, side)
    yield Step(spec.pooling)
    features = channels * (2 if spec.pooling == "both" else 1)
    if spec.dense:
        yield Step("dense", spec.dense, before=features)
        features = spec.dense
    yield Step("dropout")
    yield Step("logits", classes, before=features)


INT8_BYTES = {"conv": 465, "depthwise": 465, "dense": 465, "logits": 465, "add": 190, "both": 390}
"""Bytes that an operation adds to an int8 TFLite file in addition to its weights: tensors, their names and scales.
Like the next two, fitted to conversions of random networks of the space; a test compares the sum with the converter."""

INT8_BYTES_PER_CHANNEL = {"conv": 24, "depthwise": 24, "dense": 9, "logits": 9}
"""Bias, and scales and zero points of weights and bias, which convolutions have per channel."""

INT8_BYTES_PER_FILE = 1_700
"""Bytes of a file without operations."""


def cost(spec: SmallNetwork, classes: int) -> Cost:
    """Return a network's cost without building it.

    Multiply-adds and parameters are those that `keras_utils.multiply_adds` and Keras count. The bytes of its int8 file
    are an estimate within a few percent.
    """
    macs = parameters = 0
    size = INT8_BYTES_PER_FILE
    for step in steps(spec, classes):
        if step.kind in INT8_BYTES_PER_CHANNEL:
            inputs = 1 if step.kind == "depthwise" else step.before
            weights = step.kernel**2 * inputs * step.channels
            convolution = step.kind in ("conv", "depthwise")
            macs += weights * (step.side**2 if convolution else 1)
            # Batch normalisation has four numbers per channel, and is folded; a dense layer has a bias.
            parameters += weights + (4 if convolution else 1) * step.channels
            size += weights + INT8_BYTES_PER_CHANNEL[step.kind] * step.channels
        size += INT8_BYTES.get(step.kind, 0)
    return Cost(macs, parameters, size)


def build(spec: SmallNetwork, classes: int) -> keras.Model:
    """Build a network with random weights.

    Returns:
        A model from (N, size, size, 3) float32 in 0..255 to (N, classes) float32 logits.
    """
    import keras
    from keras import layers

    def normalise(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.ReLU()(layers.BatchNormalization(momentum=NORM_MOMENTUM)(x))

    image = keras.Input((spec.size, spec.size, 3))
    x = kept = layers.Rescaling(1.0 / 255.0)(image)
    for step in steps(spec, classes):
        if step.kind == "conv":
            convolution = layers.Conv2D(step.channels, step.kernel, step.stride, padding="same", use_bias=False)
            x = normalise(convolution(x))
        elif step.kind == "depthwise":
            x = normalise(layers.DepthwiseConv2D(step.kernel, step.stride, padding="same", use_bias=False)(x))
        elif step.kind == "keep":
            kept = x
        elif step.kind == "add":
            x = layers.Add()([kept, x])
        elif step.kind == "average":
            x = layers.GlobalAveragePooling2D()(x)
        elif step.kind == "both":
            x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
        elif step.kind == "dropout":
            x = layers.Dropout(spec.dropout)(x)
        elif step.kind == "dense":
            x = layers.Dense(step.channels, activation="relu")(x)
        else:
            x = layers.Dense(step.channels, name="logits")(x)
    return keras.Model(image, x)


def _within(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise NetworkError(f"{name} is {value!r}; it must be a whole number in {low}..{high}")


def _one_of(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if type(value) is not type(known[0]) or value not in known:  # neither True for 1 nor 3.0 for 3
        raise NetworkError(f"{name} is {value!r}; it must be one of {', '.join(map(str, known))}")


def _check_keys(description: str, kind: type, values: Any) -> None:
    if not isinstance(values, dict):
        raise NetworkError(f"{description} is {values!r}; it must be a table of names and values")
    known = {field.name for field in fields(kind)}
    if unknown := sorted(values.keys() - known, key=str):
        names = ", ".join(map(str, unknown))
        raise NetworkError(f"{description} has unknown keys: {names}; known are {', '.join(sorted(known))}")
    if missing := sorted(known - values.keys()):
        raise NetworkError(f"{description} has no {', '.join(missing)}")
