# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The building blocks that the trained and the generated networks share, as ONNX:
# a layer norm, a mixture-of-experts block, a residual MLP stage, an exit.
import numpy as np

from ..reference import quantized

EPSILON = 1e-5


def layer_norm(g, x, name, scale, bias):
    return g.node(
        "LayerNormalization",
        [x, g.weight(f"{name}.scale", scale), g.weight(f"{name}.bias", bias)],
        name,
        axis=-1,
        epsilon=EPSILON,
    )


def linear(g, x, name, weight, bias):
    """x [B,K] @ weight [K,N] + bias [N], as one Gemm."""
    return g.node(
        "Gemm",
        [x, g.weight(f"{name}.weight", weight), g.weight(f"{name}.bias", bias)],
        name,
    )


def interleave(gate, up):
    """Rows of fc1 as com.microsoft.MoE wants them for swiglu_fusion=1.

    gate, up: [E, D, H]; the result is [E, 2H, D] with gate and up rows in turn.
    """
    experts, dim, hidden = gate.shape
    fused = np.empty((experts, 2 * hidden, dim), gate.dtype)
    fused[:, 0::2] = gate.transpose(0, 2, 1)
    fused[:, 1::2] = up.transpose(0, 2, 1)
    return fused


def _fused(weights, top_k, activation):
    """fc1 [E,N,D], fc2 [E,D,H] and the attributes of com.microsoft.MoE."""
    attributes = {"k": top_k, "normalize_routing_weights": 1}
    if activation == "silu":
        fc1 = interleave(weights["gate"], weights["up"])
        attributes |= {
            "activation_type": "swiglu",
            "swiglu_fusion": 1,
            "activation_alpha": 1.0,
            "activation_beta": 0.0,
        }
    else:
        fc1 = weights["up"].transpose(0, 2, 1)
        attributes["activation_type"] = activation
    return fc1, weights["down"].transpose(0, 2, 1), attributes


def contrib_experts(g, x, logits, name, weights, top_k, activation):
    """A mixture of experts as com.microsoft.MoE."""
    fc1, fc2, attributes = _fused(weights, top_k, activation)
    return g.node(
        "MoE",
        [x, logits, g.weight(f"{name}.fc1", fc1), "", g.weight(f"{name}.fc2", fc2)],
        name,
        domain="com.microsoft",
        **attributes,
    )


def quantized_experts(g, x, logits, name, weights, top_k, activation, bits, block):
    """The same as com.microsoft.QMoE, rounded symmetrically to `bits` bits.

    A scale is for `block` elements of a column, or for the whole column if that is 0.
    """
    fc1, fc2, attributes = _fused(weights, top_k, activation)
    attributes["expert_weight_bits"] = bits
    attributes["accuracy_level"] = 4  # rows of 8 bits, the fastest of ONNX Runtime
    if block:
        attributes["block_size"] = block
    inputs = [x, logits]
    for local, weight in (("fc1", fc1), ("fc2", fc2)):
        q, scales = quantized.quantize_weights(weight, bits, block or weight.shape[-1])
        values = quantized.pack(q + (1 << bits - 1), bits)
        scales = scales if block else scales[..., 0]
        inputs.append(g.weight(f"{name}.{local}", values))
        inputs.append(g.weight(f"{name}.{local}_scales", scales))
        inputs.append("")
    return g.node("QMoE", inputs[:-1], name, domain="com.microsoft", **attributes)


def moe_layer(g, x, name, weights, top_k, activation="silu", experts=contrib_experts):
    """MoE(x) with its router; `experts` writes the mixture. Weights: as moe_block."""
    router = g.node(
        "MatMul",
        [x, g.weight(f"{name}/router.weight", weights["router"])],
        f"{name}/router",
    )
    return experts(g, x, router, f"{name}/experts", weights, top_k, activation)


def moe_block(g, x, name, weights, top_k, activation="silu", experts=contrib_experts):
    """x + MoE(LayerNorm(x)); `experts` writes the mixture.

    weights: norm_scale, norm_bias [D], router [D,E], up [E,D,H], down [E,H,D]
    and, for activation "silu" (SwiGLU), gate [E,D,H].
    """
    norm = layer_norm(g, x, f"{name}/norm", weights["norm_scale"], weights["norm_bias"])
    router = g.node(
        "MatMul",
        [norm, g.weight(f"{name}/router.weight", weights["router"])],
        f"{name}/router",
    )
    y = experts(g, norm, router, f"{name}/experts", weights, top_k, activation)
    return g.node("Add", [x, y], f"{name}/residual")


def mlp_stage(g, x, name, weights, activation="relu"):
    """x + W2 act(W1 LayerNorm(x) + b1) + b2; the norm is left out if it has no weights.

    weights: optional norm_scale, norm_bias [D]; up [D,H], up_bias [H],
    down [H,D], down_bias [D].
    """
    y = x
    if "norm_scale" in weights:
        y = layer_norm(
            g, x, f"{name}/norm", weights["norm_scale"], weights["norm_bias"]
        )
    y = linear(g, y, f"{name}/up", weights["up"], weights["up_bias"])
    y = g.node(activation.capitalize(), [y], f"{name}/{activation}")
    y = linear(g, y, f"{name}/down", weights["down"], weights["down_bias"])
    return g.node("Add", [x, y], f"{name}/residual")


def confident(g, logits, name, threshold):
    """max(softmax(logits)) >= threshold, one bit per row: [B,1]."""
    probability = g.node("Softmax", [logits], f"{name}/softmax", axis=-1)
    axes = "last_axis"
    if axes not in g.weights:
        g.weight(axes, np.array([-1], np.int64))
    confidence = g.node(
        "ReduceMax", [probability, axes], f"{name}/confidence", keepdims=1
    )
    limit = g.weight(f"{name}.threshold", np.array(threshold, np.float32))
    return g.node("GreaterOrEqual", [confidence, limit], f"{name}/confident")


def exit_chain(
    g, x, stages, heads, thresholds, style, activation="relu", output="logits"
):
    """Stages with a head after each; a row's result is that of the first confident head.

    style "running": a mask `done` grows with Or and Where keeps what was picked;
    style "nested": Where(c1, l1, Where(c2, l2, ...)). Both compute every stage for
    every row. Returns the name of the picked logits, which is `output`.
    """
    logits, bits = [], []
    for i, (stage, head) in enumerate(zip(stages, heads, strict=True)):
        x = mlp_stage(g, x, f"stage{i}", stage, activation)
        logits.append(linear(g, x, f"head{i}", head["weight"], head["bias"]))
        if i + 1 < len(stages):
            bits.append(confident(g, logits[i], f"exit{i}", thresholds[i]))
    last = len(stages) - 1
    if style == "running":
        picked, done = logits[0], bits[0]
        for i in range(1, last + 1):
            names = [output] if i == last else None
            picked = g.node("Where", [done, picked, logits[i]], f"pick{i}", names)
            if i < last:
                done = g.node("Or", [done, bits[i]], f"done{i}")
        return picked
    picked = logits[last]
    for i in reversed(range(last)):
        names = [output] if i == 0 else None
        picked = g.node("Where", [bits[i], logits[i], picked], f"pick{i}", names)
    return picked
