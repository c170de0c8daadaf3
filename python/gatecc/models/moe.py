# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Generates mixture-of-experts networks of any size with random weights:
# layers of x + MoE(LayerNorm(x)), in the forms in which such networks are written.
from functools import partial

import numpy as np

from . import blocks, forms, stacked
from .graph import Graph

ACTIVATIONS = ("silu", "relu", "gelu")
FORMS = {
    "contrib": blocks.contrib_experts,
    "qmoe": blocks.quantized_experts,
    "unrolled": forms.unrolled,
    "dense": forms.dense,
    "gathered": stacked.gathered,
    "grouped": stacked.grouped,
    "sliced": stacked.sliced,
    "batched": stacked.batched,
}


def random_block(rng, dim, hidden, experts, activation):
    """The weights of one block, scaled so that values keep their size."""

    def dense(*shape):
        scale = np.float32(1 / np.sqrt(shape[-2]))
        return rng.standard_normal(shape, np.float32) * scale

    weights = {
        "norm_scale": 1 + 0.1 * rng.standard_normal(dim, np.float32),
        "norm_bias": 0.1 * rng.standard_normal(dim, np.float32),
        "router": dense(dim, experts),
        "up": dense(experts, dim, hidden),
        "down": dense(experts, hidden, dim),
    }
    if activation == "silu":
        weights["gate"] = dense(experts, dim, hidden)
    return weights


def network(
    dim,
    hidden,
    experts,
    top_k,
    activation="silu",
    form="contrib",
    layers=1,
    seed=0,
    bits=4,
    block=32,
    bare=False,
):
    """A graph with input "x" f32 [B,dim] and output "y" f32 [B,dim].

    silu stands for SwiGLU: silu(x gate) * (x up); relu and gelu have no gate.
    bits and block are for the form qmoe. bare: a layer is router and experts alone,
    without the norm and the residual.
    """
    if not 1 <= top_k <= experts:
        raise ValueError(f"top_k is {top_k}; it must be from 1 to {experts}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation {activation!r} is none of {ACTIVATIONS}")
    if form not in FORMS:
        raise ValueError(f"form {form!r} is none of {tuple(FORMS)}")
    write = FORMS[form]
    if form == "qmoe":
        if bits not in (4, 8):
            raise ValueError(f"bits is {bits}; it must be 4 or 8")
        if block < 0:
            raise ValueError(f"block is {block}; it must not be negative")
        write = partial(write, bits=bits, block=block)
    rng = np.random.default_rng(seed)
    g = Graph(f"moe-{dim}-{hidden}-{experts}-{top_k}")
    y = g.input("x", ["B", dim])
    for i in range(layers):
        weights = random_block(rng, dim, hidden, experts, activation)
        layer = blocks.moe_layer if bare else blocks.moe_block
        y = layer(g, y, f"layer{i}", weights, top_k, activation, write)
    g.rename_result("y")
    g.output("y", ["B", dim])
    return g


def make_inputs(batch, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, dim), np.float32)
