"""Random weights of a MobileNetV2 with folded normalisation.

Their names are those of the published files.
"""

import numpy as np

STYLES = {
    "keras": ("MobileNetV2/Conv2d_0_0", "MobileNetV2/expanded_conv_{}", "MobileNetV2/Conv2d_18_1", 1),
    "slim": ("MobilenetV2/Conv", "MobilenetV2/expanded_conv_{}", "MobilenetV2/Conv_1", 0),
    "detection": ("FeatureExtractor/MobilenetV2/Conv", "FeatureExtractor/MobilenetV2/expanded_conv_{}",
                  "FeatureExtractor/MobilenetV2/Conv_1", 0),
}  # fmt: skip


def folded(network, style, rng):
    """Name random weights for a network's convolutions as a style does.

    Tensors, and (kernel, bias) by layer.
    """
    stem, block, top, first = STYLES[style]
    convolutions = [layer for layer in network.layers if "conv2d" in layer.name]
    names, number = [stem], first
    for layer in convolutions[1:-1]:
        part = "depthwise" if "depthwise" in layer.name else "expand" if layer.filters > layer.kernel.shape[2] else ""
        if (part == "expand" and names[-1].endswith("depthwise")) or not part:
            part = "project"
        names.append(f"{block.format(number).removesuffix('_0')}/{part}")
        number += part == "project"
    tensors, weights = {}, []
    for name, layer in zip([*names, top], convolutions, strict=True):
        kernel = rng.normal(0, 0.1, layer.kernel.shape).astype(np.float16)
        bias = rng.normal(0, 0.1, layer.bias.shape).astype(np.float32)
        tensors[f"{name}/kernel"] = kernel.transpose(3, 0, 1, 2)
        tensors[f"{name}/bias"] = bias
        weights.append((layer.name, kernel, bias))
    return tensors, weights
