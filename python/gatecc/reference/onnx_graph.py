# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Runs an ONNX network in float64, node by node, every branch of it; also tells what was
# decided at each mixture of experts. In a network of f16 or bf16 each node's result is
# rounded to that type, as ONNX says, so that decisions are those of the rounded values.
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper

from . import moe, quantized, tensor_ops


@dataclass
class Run:
    """`values`: every named value; `plans`: MoE node name -> (plan, margins [T]).

    `roundings`: node name -> [rows], how far a quantised row is from being rounded
    another way; 0.5 where nothing is quantised.
    """

    values: dict
    outputs: dict = field(default_factory=dict)
    plans: dict = field(default_factory=dict)
    roundings: dict = field(default_factory=dict)
    precision: dict = field(default_factory=dict)


class Values(dict):
    """Arrays by name, floats as f64; `narrow`: name -> f16 or bf16, of those values."""

    def __init__(self, arrays=()):
        super().__init__()
        self.narrow = {}
        for name, array in dict(arrays).items():
            self.add(name, np.asarray(array))

    def add(self, name, array):
        if _is_narrow(array.dtype):
            self.narrow[name] = array.dtype
        self[name] = widen(array)

    def copy_to(self, other, name, new_name):
        other[new_name] = self[name] if name else None
        if name in self.narrow:
            other.narrow[new_name] = self.narrow[name]


def _is_narrow(dtype):
    return dtype == np.float16 or dtype.name == "bfloat16"


def widen(array):
    """Floats as f64, everything else as it is."""
    array = np.asarray(array)
    inexact = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return array.astype(np.float64) if inexact else array


def run_onnx(model, inputs, experts="f32", block=32, zero_points=False, bf16_rows=False):
    """Run `model` (a path or a ModelProto) on `inputs` (name -> array).

    `experts`, `block` and `zero_points` are the options of the compiler. `bf16_rows`: rows
    are rounded like weights of bf16, as on CPUs with an instruction for such products.
    """
    if not isinstance(model, onnx.ModelProto):
        model = onnx.load(model)
    functions = {(f.domain, f.name): f for f in model.functions}
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    values = Values(arrays | inputs)
    precision = {"experts": experts, "block": block, "zero_points": zero_points}
    run = Run(values, precision=precision | {"bf16_rows": bf16_rows})
    with np.errstate(all="ignore"):
        _nodes(model.graph.node, values, {}, functions, run)
    run.outputs = {v.name: values[v.name] for v in model.graph.output}
    return run


def _nodes(nodes, values, bound, functions, run):
    for node in nodes:
        inputs = [values[i] if i else None for i in node.input]
        attributes = _attributes(node, bound)
        if (node.domain, node.op_type) in functions:
            function = functions[node.domain, node.op_type]
            _call(function, node, values, attributes, functions, run)
            continue
        if node.domain == "com.microsoft" and node.op_type == "MoE":
            result, plan, margins, roundings = moe.experts(
                *inputs, **attributes, **run.precision
            )
            run.plans[node.name] = plan, margins
            run.roundings[node.name] = roundings
            results = (result,)
        elif node.domain == "com.microsoft" and node.op_type == "QMoE":
            result, plan, margins, roundings = moe.qmoe(*inputs, **attributes)
            run.plans[node.name] = plan, margins
            run.roundings[node.name] = roundings
            results = (result,)
        elif node.domain == "com.microsoft" and node.op_type == "MatMulNBits":
            result, run.roundings[node.name] = quantized.matmul_nbits(
                *inputs, **attributes
            )
            results = (result,)
        else:
            results = standard(node.op_type, inputs, attributes, len(node.output))
        narrow = _type_of_results(node, values)
        for name, result in zip(node.output, results):
            if narrow is not None and result.dtype.kind == "f":
                result = result.astype(narrow)
            values.add(name, result)


def _type_of_results(node, values):
    """f16 or bf16 if the node's floats have that type, else None."""
    given = [a.t.data_type for a in node.attribute if a.type == AttributeProto.TENSOR]
    if node.op_type == "Cast":
        given = [a.i for a in node.attribute if a.name == "to"]
    if given:
        dtype = helper.tensor_dtype_to_np_dtype(given[0])
        return dtype if _is_narrow(dtype) else None
    types = [values.narrow[i] for i in node.input if i in values.narrow]
    return types[0] if types else None


def standard(op, inputs, attributes, num_outputs):
    """The results of a standard ONNX operator, as a tuple."""
    if op == "Constant":
        (value,) = attributes.values()
        return (widen(value),)
    if op not in tensor_ops.OPS:
        raise NotImplementedError(f"the reference has no {op}")
    if op == "Split":
        attributes = attributes | {"_outputs": num_outputs}
    results = tensor_ops.OPS[op](*inputs, **attributes)
    results = results if isinstance(results, tuple) else (results,)
    return tuple(np.asarray(r) for r in results)


def _attributes(node, bound):
    result = {}
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name in bound:
                result[attribute.name] = bound[attribute.ref_attr_name]
            continue
        value = helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.TENSOR:
            value = widen(numpy_helper.to_array(value))
        elif attribute.type == AttributeProto.FLOAT:
            value = float(np.float32(value))
        elif attribute.type == AttributeProto.STRING:
            value = value.decode()
        result[attribute.name] = value
    return result


def _call(function, node, values, attributes, functions, run):
    defaults = {a.name: helper.get_attribute_value(a) for a in function.attribute_proto}
    local = Values()
    for name in ("", *function.input):
        local[name] = None
    for name, given in zip(function.input, node.input):
        values.copy_to(local, given, name)
    _nodes(function.node, local, defaults | attributes, functions, run)
    for name, made in zip(node.output, function.output):
        local.copy_to(values, made, name)
