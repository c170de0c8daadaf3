# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A small writer of ONNX graphs: every node is named, initializers are NumPy
# arrays, and weights beyond 2 GB go to one external data file beside the model. A graph
# that was written in f32 can be turned into one in f16 or bf16.
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

OPSET = 21
IR_VERSION = 10
EMBED_LIMIT = 2_000_000_000  # bytes; a protobuf message ends at 2 GiB
EXTERNAL_ALIGNMENT = 4096  # bytes; lets a reader map single tensors
TYPES = {
    "f32": TensorProto.FLOAT,
    "f16": TensorProto.FLOAT16,
    "bf16": TensorProto.BFLOAT16,
}


class Graph:
    """Collects nodes and weights; `node` returns the name of its first output."""

    def __init__(self, name):
        self.name = name
        self.nodes = []
        self.weights = {}
        self.inputs = []
        self.outputs = []
        self.domains = {""}

    def input(self, name, shape, dtype=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name, shape, dtype=TensorProto.FLOAT):
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def weight(self, name, array):
        if name in self.weights:
            raise ValueError(f"weight {name!r} is defined twice")
        self.weights[name] = np.asarray(array, order="C")
        return name

    def node(self, op, inputs, name, outputs=None, domain="", **attributes):
        outputs = outputs or [name + "/out"]
        node = helper.make_node(
            op, inputs, outputs, name=name, domain=domain, **attributes
        )
        self.nodes.append(node)
        self.domains.add(domain)
        return outputs[0]

    def in_type(self, dtype):
        """This graph with all of its f32 in another type, as models of half precision
        are exported; `dtype` is a key of TYPES."""
        kind = TYPES[dtype]
        element = helper.tensor_dtype_to_np_dtype(kind)
        for name, array in self.weights.items():
            if array.dtype == np.float32:
                self.weights[name] = array.astype(element)
        for value in (*self.inputs, *self.outputs):
            if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                value.type.tensor_type.elem_type = kind
        for node in self.nodes:
            if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT:
                node.attribute[0].i = kind
            if node.op_type == "ConstantOfShape" and not node.attribute:
                zero = onnx.numpy_helper.from_array(np.zeros(1, element))
                node.attribute.append(helper.make_attribute("value", zero))
        return self

    def rename_result(self, name):
        """Give the last node's output another name, that of a graph output."""
        self.nodes[-1].output[0] = name

    def save(self, path):
        """Write the model; returns the paths of all files written."""
        path = Path(path)
        total = sum(a.nbytes for a in self.weights.values())
        if total < EMBED_LIMIT:
            tensors = [_embedded(n, a) for n, a in self.weights.items()]
            written = [path]
        else:
            data = path.with_name(path.name + ".data")
            tensors = _write_external(data, self.weights)
            written = [path, data]
        graph = helper.make_graph(
            self.nodes, self.name, self.inputs, self.outputs, tensors
        )
        versions = {"": OPSET, "com.microsoft": 1}
        imports = [helper.make_opsetid(d, versions[d]) for d in sorted(self.domains)]
        model = helper.make_model(
            graph,
            opset_imports=imports,
            ir_version=IR_VERSION,
            producer_name="gatecc.models",
        )
        path.write_bytes(model.SerializeToString(deterministic=True))
        return written


def _embedded(name, array):
    return onnx.numpy_helper.from_array(array, name)


def _write_external(path, weights):
    """Stream the weights to `path`; returns tensors that point into it."""
    tensors = []
    with open(path, "wb") as out:
        for name, array in weights.items():
            out.write(b"\0" * (-out.tell() % EXTERNAL_ALIGNMENT))
            tensor = TensorProto(
                name=name,
                data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
                dims=array.shape,
                data_location=TensorProto.EXTERNAL,
            )
            where = {
                "location": path.name,
                "offset": str(out.tell()),
                "length": str(array.nbytes),
            }
            for key, value in where.items():
                tensor.external_data.add(key=key, value=value)
            tensors.append(tensor)
            out.write(array.reshape(-1).view(np.uint8).data)
    return tensors
