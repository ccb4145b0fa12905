"""The feature pyramid of EfficientDet-Lite: BiFPN with plain sums.

See Tan et al. 2020, arXiv:1911.09070.

The Lite networks omit what integer accelerators lack: squeeze-and-excite, swish, and learnt weights of the sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def bifpn(
    shapes: Mapping[str, tuple[int, int, int]], max_level: int, filters: int, repeats: int, synchronized: bool = False
) -> Any:
    """Build the feature pyramid.

    Args:
        shapes: level -> (height, width, channels) of the backbone's features, without gaps.
        max_level: last output level; levels past the backbone's last are pooled from it.
        filters: channels of every output level.
        repeats: number of top-down and bottom-up passes.
        synchronized: normalise by the whole batch if it is divided among workers.

    Returns:
        tf_keras model from the backbone's features, a dict by level, to a dict with every level to `max_level`.
    """
    import tf_keras
    from tf_keras import layers

    def normalise(x: Any) -> Any:
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-3, synchronized=synchronized)(x)

    def merge(*features: Any) -> Any:
        x = layers.ReLU(6.0)(layers.Add()(list(features)))
        return normalise(layers.SeparableConv2D(filters, 3, padding="same")(x))

    def enlarge(x: Any, like: Any) -> Any:
        # If the larger level has an odd side, the smaller one was rounded up from it.
        x = layers.UpSampling2D(2)(x)
        excess = tuple((0, x.shape[axis] - like.shape[axis]) for axis in (1, 2))
        return layers.Cropping2D(excess)(x) if any(pixels for _, pixels in excess) else x

    def shrink(x: Any) -> Any:
        return layers.MaxPooling2D(3, 2, padding="same")(x)

    inputs = {level: tf_keras.Input(shape) for level, shape in shapes.items()}
    order = sorted(inputs, key=int)
    levels = [normalise(layers.Conv2D(filters, 1)(inputs[level])) for level in order]
    while int(order[0]) + len(levels) <= max_level:
        levels.append(shrink(levels[-1]))
    for _ in range(repeats):
        down = [levels[-1]]
        for level in levels[-2::-1]:
            down.insert(0, merge(level, enlarge(down[0], level)))
        up = [down[0]]
        for number in range(1, len(levels)):
            inputs_of_level = (levels[number], down[number]) if number < len(levels) - 1 else (levels[number],)
            up.append(merge(*inputs_of_level, shrink(up[-1])))
        levels = up
    return tf_keras.Model(inputs, {str(int(order[0]) + number): level for number, level in enumerate(levels)})
