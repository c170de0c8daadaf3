# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# What is measured: sizes of layers, numbers of tokens, precisions, routings.
from dataclasses import dataclass, replace

TOKENS = (1, 4, 16, 64, 128, 512, 2048)
PRECISIONS = ("f32", "bf16", "int8", "int4")
# random: the router decides as its random weights do. skewed: experts are popular as by
# Zipf. same: all tokens to the same k experts, others for each input. fixed: as random,
# but each run has the same input, so that its experts may stay in the cache.
ROUTINGS = ("random", "skewed", "same", "fixed")

# What a weight takes up: its bits, and its share of an f32 scale for each block of 32.
BLOCK = 32
WEIGHT_BYTES = {"f32": 4, "bf16": 2, "int8": 1 + 4 / BLOCK, "int4": 0.5 + 4 / BLOCK}


# Models with many nodes, to compile: chains of so many, and layers of so many experts.
SCALE_NODES = (1_000, 10_000, 100_000)
SCALE_LAYERS = (48, 128)


@dataclass(frozen=True)
class Layer:
    """A mixture of `experts` experts, of which each token takes `top_k`."""

    name: str
    dim: int
    hidden: int
    experts: int
    top_k: int
    activation: str = "silu"

    @property
    def matrices(self):
        return 3 if self.activation == "silu" else 2

    @property
    def expert_weights(self):
        return self.matrices * self.dim * self.hidden

    def bytes(self, precision):
        """All experts' weights and the router, which is f32 in every precision."""
        experts = self.experts * self.expert_weights * WEIGHT_BYTES[precision]
        return int(experts) + 4 * self.dim * self.experts

    def flops(self, tokens):
        return 2 * tokens * self.top_k * self.expert_weights

    def least_bytes(self, tokens, hit, precision):
        """What must be read and written when `hit` experts have rows."""
        weights = hit * self.expert_weights * WEIGHT_BYTES[precision]
        router = 4 * self.dim * self.experts + 4 * tokens * self.experts
        return weights + router + 2 * tokens * self.dim * 4


LAYERS = {
    layer.name: layer
    for layer in (
        Layer("edge", 256, 512, 16, 2),
        Layer("mixs", 1024, 3584, 8, 2),
        Layer("olmoe", 2048, 1024, 64, 8),
        Layer("fine", 1024, 256, 128, 8),
        Layer("switch", 768, 3072, 8, 1, "relu"),
        # For --quick and the tests.
        Layer("tiny", 64, 96, 8, 2),
        Layer("tinyswitch", 64, 96, 4, 1, "relu"),
    )
}
FULL = ("edge", "mixs", "olmoe", "fine", "switch")
# The forms of a layer as exporters write it (gatecc.models.moe.FORMS), and their numbers in
# the report.
FORMS = {
    "gathered": "F1",
    "grouped": "F2",
    "batched": "F5",
    "unrolled": "F7",
    "sliced": "F8",
}
FORM_LAYERS = ("edge", "mixs", "olmoe")
FORM_TOKENS = (1, 16, 128, 512)
QUICK = ("tiny", "tinyswitch")


def everything(layer):
    """The layer as the dense form has it: every token takes all experts."""
    return replace(layer, top_k=layer.experts)


@dataclass(frozen=True)
class Chain:
    """Dense layers D -> 4D -> D -> 4D -> D with ReLU after the wide ones."""

    name: str
    dim: int
    blocks: int = 2

    @property
    def weights(self):
        return self.blocks * 8 * self.dim * self.dim

    def bytes(self, precision="f32"):
        return int(self.weights * WEIGHT_BYTES[precision])

    def flops(self, tokens):
        return 2 * tokens * self.weights

    def least_bytes(self, tokens, hit=1, precision="f32"):
        return self.bytes(precision) + 2 * tokens * self.dim * 4


CHAINS = {f"chain{d}": Chain(f"chain{d}", d) for d in (64, 512, 1024, 2048)}
CHAIN_TOKENS = (1, 4, 16, 64, 128, 512)
FULL_CHAINS = ("chain512", "chain1024", "chain2048")

EXIT_DIMS = (256, 512)
EXIT_STAGES = 6
EXIT_BATCHES = (1, 64, 512)
EXIT_RATES = (0.0, 0.2, 0.5, 0.8)
