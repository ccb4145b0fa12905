"""An engine plug-in: LiteRT with its slow, plain reference kernels.

An accelerator can be compared with it.
"""

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.manifest import Variant
from galaxy_edge.runtime.inference.engine import RawTensor


class ReferenceEngine:
    """Runs the TFLite variants of a bundle."""

    name = "litert-reference"
    runtime = "tflite"

    def __init__(self, bundle: Bundle, variant: Variant, threads: int) -> None:
        self._interpreter = Interpreter(
            model_content=bundle.read(variant.file),  # the bytes whose hash was checked, not the file as it is now
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            num_threads=threads,
        )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        tensors = {tensor["name"]: tensor for tensor in self._interpreter.get_output_details()}
        self._outputs = [(spec.name, tensors[spec.tensor]) for spec in variant.outputs]

    def __call__(self, batch: np.ndarray) -> dict[str, RawTensor]:
        self._interpreter.set_tensor(self._input, batch)
        self._interpreter.invoke()
        outputs = {}
        for name, tensor in self._outputs:
            scale, zero_point = tensor["quantization"]
            outputs[name] = RawTensor(self._interpreter.get_tensor(tensor["index"])[0], scale, zero_point)
        return outputs
