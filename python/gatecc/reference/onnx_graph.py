# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Runs an ONNX network in float64, node by node, every branch of it; also tells what was
# decided at each mixture of experts.
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
    values = {t.name: widen(numpy_helper.to_array(t)) for t in model.graph.initializer}
    values |= {name: widen(value) for name, value in inputs.items()}
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
            results = _call(
                functions[node.domain, node.op_type], inputs, attributes, functions, run
            )
        elif node.domain == "com.microsoft" and node.op_type == "MoE":
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
        values.update(zip(node.output, results))


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


def _call(function, inputs, attributes, functions, run):
    defaults = {a.name: helper.get_attribute_value(a) for a in function.attribute_proto}
    local = dict(zip(function.input, inputs))
    local.setdefault("", None)
    for name in function.input:
        local.setdefault(name, None)
    _nodes(function.node, local, defaults | attributes, functions, run)
    return tuple(local[name] for name in function.output)
