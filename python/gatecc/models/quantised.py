# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A mixture of experts as com.microsoft.QMoE: weights of 8 or 4 bits in blocks along K,
# each with one f32 scale and the zero point in the middle; activations of 8 bits.
import numpy as np

from . import blocks

BLOCK = 32
EIGHT_BIT_ACTIVATIONS = 4  # accuracy_level


def quantise(weights, bits, block=BLOCK):
    """weights [E,N,K] -> (uint8 [E,N,K*bits/8], low nibble first; f32 [E,N,K/block])"""
    experts, rows, width = weights.shape
    if width % block or bits not in (4, 8):
        raise ValueError(
            f"{bits} bits in blocks of {block} do not fit a width of {width}"
        )
    zero = 1 << (bits - 1)
    packed = np.empty((experts, rows, width * bits // 8), np.uint8)
    scales = np.empty((experts, rows, width // block), np.float32)
    for e in range(experts):  # one at a time: the copies are as large as the weights
        w = np.ascontiguousarray(weights[e]).reshape(rows, width // block, block)
        scale = np.abs(w).max(2) / np.float32(zero - 1)
        scale[scale == 0] = 1
        q = (
            (np.rint(w / scale[:, :, None]) + zero)
            .astype(np.uint8)
            .reshape(rows, width)
        )
        packed[e] = q if bits == 8 else q[:, 0::2] | q[:, 1::2] << 4
        scales[e] = scale
    return packed, scales


def experts_of(bits):
    """The writer of a mixture with weights of `bits` bits, for blocks.moe_block."""

    def experts(g, x, logits, name, weights, top_k, activation):
        inputs = [x, logits]
        for local, rows in zip(("fc1", "fc2"), blocks.as_rows(weights, activation)):
            packed, scales = quantise(rows, bits)
            inputs += [
                g.weight(f"{name}.{local}", packed),
                g.weight(f"{name}.{local}_scales", scales),
                "",
            ]
        return g.node(
            "QMoE",
            inputs[:-1],
            name,
            domain="com.microsoft",
            expert_weight_bits=bits,
            block_size=BLOCK,
            accuracy_level=EIGHT_BIT_ACTIVATIONS,
            **blocks.contrib_attributes(top_k, activation),
        )

    return experts
