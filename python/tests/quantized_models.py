# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Small networks of one quantised operator whose rows, logits and weights of the chosen
# are inputs, so that nothing before the operator is rounded.
import numpy as np

from gatecc.models.graph import Graph
from gatecc.reference import quantized


def integers(rng, shape, bits, block, zeros=False):
    """Values, scales and zero points (or None) of weights [.., N, K], as in a file.

    block 0: a scale for each whole column, and zero points packed across columns.
    """
    *outer, n, k = shape
    blocks = -(-k // block) if block else 1
    q = rng.integers(0, 1 << bits, shape)
    scales = rng.uniform(0.5, 1.5, (*outer, n, blocks)) / (1 << bits - 2) / np.sqrt(k)
    scales = scales.astype(np.float32)
    z = rng.integers(1 << bits - 2, 3 << bits - 2, (*outer, n, blocks))
    if not block:
        scales, z = scales[..., 0], z[..., 0]
    return quantized.pack(q, bits), scales, quantized.pack(z, bits) if zeros else None


class QMoE:
    """The weights of com.microsoft.QMoE, and graphs of it."""

    def __init__(self, dim, hidden, experts, bits, block, **options):
        rng = np.random.default_rng(options.get("seed", 0))
        self.sizes = dim, hidden, experts
        self.bits, self.block = bits, block
        self.activation = options.get("activation", "swiglu")
        self.fusion = options.get("fusion", 1 if self.activation == "swiglu" else 0)
        third = options.get("third", self.activation == "swiglu" and not self.fusion)
        rows = hidden * (2 if self.fusion else 1)
        shapes = [(rows, dim), (dim, hidden)] + [(hidden, dim)] * third
        self.parts = []
        for n, k in shapes:
            zeros = options.get("zeros", False)
            part = integers(rng, (experts, n, k), bits, block, zeros)
            bias = None
            if options.get("bias", False):
                bias = rng.normal(0, 0.3, (experts, n)).astype(np.float32)
            self.parts.append((*part, bias))

    def graph(self, top_k=2, mixing=False, **attributes):
        dim, _, experts = self.sizes
        g = Graph("qmoe")
        inputs = [""] * 15
        inputs[0] = g.input("x", ["B", dim])
        inputs[1] = g.input("logits", ["B", experts])
        for i, (values, scales, zeros, bias) in enumerate(self.parts):
            inputs[2 + 3 * i] = g.weight(f"fc{i}", values)
            inputs[3 + 3 * i] = g.weight(f"fc{i}.scales", scales)
            if bias is not None:
                inputs[4 + 3 * i] = g.weight(f"fc{i}.bias", bias)
            if zeros is not None:
                inputs[11 + i] = g.weight(f"fc{i}.zeros", zeros)
        if mixing:
            inputs[14] = g.input("mixing", ["B", experts])
        while not inputs[-1]:
            inputs.pop()
        attributes = {
            "k": top_k,
            "activation_type": self.activation,
            "expert_weight_bits": self.bits,
            **({"block_size": self.block} if self.block else {}),
            **({"swiglu_fusion": self.fusion} if self.fusion else {}),
            **attributes,
        }
        g.node("QMoE", inputs, "experts", ["y"], "com.microsoft", **attributes)
        g.output("y", ["B", dim])
        return g

    def inputs(self, batch, mixing=False, seed=1):
        dim, _, experts = self.sizes
        rng = np.random.default_rng(seed)
        result = {
            "x": rng.standard_normal((batch, dim), np.float32),
            "logits": rng.standard_normal((batch, experts), np.float32),
        }
        if mixing:
            result["mixing"] = rng.random((batch, experts), np.float32)
        return result


def gate_up_layouts():
    """One QMoE with gate and up interleaved, one after the other, and as two weights."""
    for fusion in (1, 2, 0):
        model = QMoE(32, 48, 4, 4, 16, zeros=True, bias=True, fusion=1)
        fc1, fc2 = model.parts
        gate, up = ([a[:, i::2] for a in fc1] for i in (0, 1))
        model.fusion = fusion
        if fusion == 2:
            model.parts = [[np.concatenate(p, 1) for p in zip(gate, up)], fc2]
        elif fusion == 0:
            model.parts = [gate, fc2, up]
        yield model


def matmul(k, n, bits, block, zeros=False, bias=False, seed=0, **attributes):
    """com.microsoft.MatMulNBits on x [B, k]; K is padded to whole blocks."""
    rng = np.random.default_rng(seed)
    blocks = -(-k // block)
    values, scales, z = integers(rng, (n, blocks * block), bits, block, zeros)
    g = Graph("matmul")
    inputs = [
        g.input("x", ["B", k]),
        g.weight("w", values.reshape(n, blocks, -1)),
        g.weight("w.scales", scales),
        g.weight("w.zeros", z) if zeros else "",
        "",
        g.weight("b", rng.standard_normal(n, np.float32)) if bias else "",
    ]
    while not inputs[-1]:
        inputs.pop()
    attributes |= {"K": k, "N": n, "bits": bits, "block_size": block}
    g.node("MatMulNBits", inputs, "product", ["y"], "com.microsoft", **attributes)
    g.output("y", ["B", n])
    return g
