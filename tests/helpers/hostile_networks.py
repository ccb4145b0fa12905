"""Networks that do damage when they are loaded or run."""

import hashlib
import shutil

import onnx
import tensorflow as tf
import tomli_w
from galaxy_edge.models.bundle import Bundle

SIZE = 64


class Hostile(tf.Module):
    """A detector with a side effect at the position that `kind` names."""

    def __init__(self, kind, path):
        super().__init__()
        self.kind, self.path = kind, str(path)
        self.scale = tf.Variable(1.0)
        if kind == "initialiser":
            self.resource = _Resource(self.path)

    def act(self):
        """Build the operator that must be refused."""
        if self.kind == "read":
            return tf.strings.length(tf.io.read_file(self.path))
        if self.kind == "python":
            return tf.py_function(lambda: 1, [], tf.int32)
        if self.kind == "save":
            tf.raw_ops.SaveV2(prefix=self.path, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.zeros(1)])
        elif self.kind == "merge":
            tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[self.path], destination_prefix=self.path + "2")
        elif self.kind == "print":
            tf.print("x", output_stream=f"file://{self.path}")
        elif self.kind not in ("plain", "initialiser"):
            tf.io.write_file(self.path, "x")
        return tf.constant(1)

    @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="image")])
    def __call__(self, image):
        if self.kind == "nested":
            number = tf.function(lambda: tf.function(self.act)())()
        elif self.kind == "branch":
            number = tf.cond(tf.reduce_sum(image) > 1e9, self.act, lambda: tf.constant(1))
        else:
            number = self.act()
        values = tf.cast(number, tf.float32) * self.scale * tf.ones((1, 64, 4)) * tf.reduce_mean(image)
        return {"boxes": values, "scores": values[:, :, 0]}


class _Resource(tf.saved_model.experimental.TrackableResource):
    """Something that a SavedModel makes when it is loaded."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="hostile", container="")

    def _initialize(self):
        tf.io.write_file(self.path, "x")


def write_saved_model(folder, kind, path):
    """Write a SavedModel whose side effect touches `path`.

    `kind` says where: signature, nested, initialiser ...
    """
    model = Hostile(kind, path)
    if kind == "initialiser":
        model.resource.resource_handle  # noqa: B018 - made when it is first read
        model.resource._initialize = tf.function(model.resource._initialize)
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.__call__})
    if path.exists():
        path.unlink()


def giant_onnx(size, count):
    """Return an ONNX detector that computes scores from a tensor of `count` bytes.

    Its input is (1, H, W, 3) uint8.
    """
    helper, proto = onnx.helper, onnx.TensorProto
    shape = helper.make_tensor("shape", proto.INT64, [1], [max(1, count // 4)])
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("ConstantOfShape", ["shape"], ["giant"]),
        helper.make_node("ReduceMean", ["giant"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["image"], ["pixels"], to=proto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["level"], keepdims=0),
        helper.make_node("Add", ["mean", "level"], ["both"]),
        helper.make_node("Expand", ["both", "boxes_shape"], ["boxes"]),
        helper.make_node("Expand", ["both", "scores_shape"], ["scores"]),
    ]
    weights = [
        helper.make_tensor("boxes_shape", proto.INT64, [3], [1, 64, 4]),
        helper.make_tensor("scores_shape", proto.INT64, [2], [1, 64]),
    ]
    inputs = [helper.make_tensor_value_info("image", proto.UINT8, (1, *size, 3))]
    outputs = [
        helper.make_tensor_value_info("boxes", proto.FLOAT, (1, 64, 4)),
        helper.make_tensor_value_info("scores", proto.FLOAT, (1, 64)),
    ]
    graph = helper.make_graph(nodes, "giant", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def with_giant_variant(source, folder):
    """Copy a bundle with a float ONNX file that takes 24 GB when it is run."""
    shutil.copytree(source, folder)
    content = giant_onnx((SIZE, SIZE), 24 * 2**30)
    (folder / "fp32.onnx").write_bytes(content)
    manifest = Bundle.load(source).manifest
    files = {**manifest.files, "fp32.onnx": hashlib.sha256(content).hexdigest()}
    (folder / "bundle.toml").write_text(tomli_w.dumps(manifest._replace(files=files).to_dict()))
    assert manifest.input.width == SIZE
    return folder
