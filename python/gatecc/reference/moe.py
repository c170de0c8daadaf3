# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# com.microsoft.MoE and QMoE as ONNX Runtime documents and runs them, but for ties, which
# take the lower expert. MoE: softmax over all logits, top k, routes of weight <= 0
# dropped. QMoE: softmax over the k chosen logits, or the weights of another input.
import numpy as np

from . import quantized, tensor_ops
from .decisions import margin, route
from .work import apply, combine


class Floats:
    """Weights [E, N, K] in the precision that they have."""

    def __init__(self, weights):
        self.rows = weights.shape[1]
        self.arrays = [weights]

    def product(self, rows, weights):
        return rows @ weights.T, np.full(len(rows), 0.5)


class Bf16Rows(Floats):
    """Weights in bf16, for rows that are rounded to bf16 as well."""

    def product(self, rows, weights):
        rows, margins = quantized.round_rows(rows)
        return rows.astype(np.float64) @ weights.T, margins


class Integers:
    """Integers [E, N, K] whose zero point is 0, with scales [E, N, J]."""

    def __init__(self, q, scales, block):
        self.rows = q.shape[1]
        self.arrays = [q, scales]
        self.block = block

    def product(self, rows, q, scales):
        return quantized.contract_quantized(rows, q, scales, self.block)


def in_format(weights, name, block, zero_points=False, bf16_rows=False):
    """The weights [E, N, K] as --experts=NAME has them, or None."""
    if weights is None or name == "f32":
        return weights if weights is None else Floats(weights)
    if name == "bf16":
        kind = Bf16Rows if bf16_rows else Floats
        return kind(quantized.round_bf16(weights).astype(np.float64))
    bits = {"int8": 8, "int4": 4}[name]
    return Integers(*quantized.quantize_weights(weights, bits, block, zero_points), block)


def experts(
    x,
    router,
    fc1,
    fc1_bias=None,
    fc2=None,
    fc2_bias=None,
    fc3=None,
    fc3_bias=None,
    *,
    k=1,
    normalize_routing_weights=0,
    experts="f32",
    block=32,
    zero_points=False,
    bf16_rows=False,
    **attributes,
):
    """Returns (output, plan, margins [T], rounding margins [T])."""
    plan = route(
        router.reshape(-1, router.shape[-1]),
        k,
        normalize=bool(normalize_routing_weights),
        drop_nonpositive=True,
    )
    options = experts, block, zero_points, bf16_rows
    weights = [in_format(w, *options) for w in (fc1, fc2, fc3)]
    y, roundings = run(x, plan, weights, (fc1_bias, fc2_bias, fc3_bias), **attributes)
    return y, plan, margin(router.reshape(-1, router.shape[-1]), k), roundings


def qmoe(
    x,
    router,
    fc1,
    fc1_scales,
    fc1_bias,
    fc2,
    fc2_scales,
    fc2_bias=None,
    fc3=None,
    fc3_scales=None,
    fc3_bias=None,
    fc1_zeros=None,
    fc2_zeros=None,
    fc3_zeros=None,
    router_weights=None,
    *,
    k=1,
    normalize_routing_weights=0,
    expert_weight_bits=4,
    block_size=0,
    quant_type="int",
    weights_prepacked=-1,
    accuracy_level=0,
    **attributes,
):
    """Returns (output, plan, margins [T], rounding margins [T])."""
    if quant_type != "int" or weights_prepacked > 0:
        raise NotImplementedError("formats other than raw integers")
    bits = expert_weight_bits

    def integers(values, scales, zeros, columns):
        if values is None:
            return None
        count, n = scales.shape[:2]
        if not block_size:
            scales = scales.reshape(count, n, 1)
            if zeros is not None:  # packed across the columns of the weight
                zeros = quantized.unpack(zeros, bits, n)[..., None]
                zeros = quantized.pack(zeros, bits)
        block = block_size or columns
        q = quantized.centered(values, scales, zeros, bits=bits, block=block, k=columns)
        return Integers(q, scales, block)

    hidden = x.shape[-1]
    inner = fc1.shape[1] // (2 if attributes.get("swiglu_fusion") else 1)
    weights = (
        integers(fc1, fc1_scales, fc1_zeros, hidden),
        integers(fc2, fc2_scales, fc2_zeros, inner),
        integers(fc3, fc3_scales, fc3_zeros, hidden),
    )
    router = router.reshape(-1, router.shape[-1])
    plan = route(
        router,
        k,
        score="identity" if router_weights is not None else "softmax_selected",
        mixing=router_weights,
        normalize=bool(normalize_routing_weights),
        drop_nonpositive=True,
    )
    y, roundings = run(x, plan, weights, (fc1_bias, fc2_bias, fc3_bias), **attributes)
    return y, plan, margin(router, k), roundings


def run(
    x,
    plan,
    weights,
    biases,
    activation_type="relu",
    use_sparse_mixer=0,
    swiglu_fusion=0,
    swiglu_limit=np.inf,
    activation_alpha=1.0,
    activation_beta=0.0,
):
    """The experts on the rows of a plan: (output, rounding margins [T])."""
    if use_sparse_mixer:
        raise NotImplementedError("use_sparse_mixer")
    shape = x.shape
    x = x.reshape(-1, shape[-1])

    def activate(h, second):
        if activation_type == "swiglu":
            if swiglu_fusion == 1:
                gate, up = h[:, 0::2], h[:, 1::2]
            elif swiglu_fusion == 2:
                gate, up = np.split(h, 2, axis=1)
            else:
                gate, up = h, second
            gate = np.minimum(gate, swiglu_limit)
            up = np.clip(up, -swiglu_limit, swiglu_limit)
            gate = gate * tensor_ops.sigmoid(activation_alpha * gate)
            return gate * (up + activation_beta)
        if activation_type == "silu":
            h = h * tensor_ops.sigmoid(h)
        elif activation_type == "gelu":
            h = tensor_ops.gelu(h, "tanh")  # the form that ONNX Runtime computes
        elif activation_type == "relu":
            h = np.maximum(h, 0)
        elif activation_type != "identity":
            raise NotImplementedError(f"activation_type {activation_type!r}")
        return h if second is None else h * second

    params, kinds = [], []
    for w, b in zip(weights, biases, strict=True):
        if w is not None:
            kinds.append(w)
            params += [*w.arrays, np.zeros((plan.groups, w.rows)) if b is None else b]

    def body(rows, *slices):
        slices = list(slices)
        parts = []
        for w in kinds:
            parts.append((w, [slices.pop(0) for _ in w.arrays], slices.pop(0)))
        margins = []

        def project(part, rows):
            w, arrays, bias = part
            y, distance = w.product(rows, *arrays)
            margins.append(distance)
            return y + bias

        first, last, *third = parts
        h = project(first, rows)
        second = project(third[0], rows) if third else None
        y = project(last, activate(h, second))
        return np.concatenate([y, np.min(margins, 0)[:, None]], 1)

    slots = apply(plan, [x], params, body)
    roundings = np.full(len(x), 0.5)
    for j in range(plan.inverse.shape[1]):
        slot = plan.inverse[:, j]
        here = slot >= 0
        roundings[here] = np.minimum(roundings[here], slots[slot[here], -1])
    return combine(slots[:, :-1], plan).reshape(shape), roundings
