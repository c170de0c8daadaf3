# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# digits-moe: embedding 64 -> 64, two blocks of LayerNorm + mixture of experts
# (8 SwiGLU experts of width 32, top 2, softmax, renormalised) with residual, head.
import numpy as np

from gatecc.models import blocks
from gatecc.models.graph import Graph

from . import digits, tape
from .tape import Value

DIM, HIDDEN, EXPERTS, TOP_K, BLOCKS, CLASSES = 64, 32, 8, 2, 2, 10
EPOCHS, BATCH, RATE, DECAY = 60, 64, 4e-3, 0.02
BALANCE = 0.02  # weight of the load-balancing loss


def initial(rng):
    def dense(*shape):
        return Value(rng.normal(size=shape) / np.sqrt(shape[-2]))

    p = {"embed": dense(64, DIM), "embed_bias": Value(np.zeros(DIM))}
    for b in range(BLOCKS):
        p[f"{b}.norm_scale"] = Value(np.ones(DIM))
        p[f"{b}.norm_bias"] = Value(np.zeros(DIM))
        p[f"{b}.router"] = dense(DIM, EXPERTS)
        p[f"{b}.gate"] = dense(EXPERTS, DIM, HIDDEN)
        p[f"{b}.up"] = dense(EXPERTS, DIM, HIDDEN)
        p[f"{b}.down"] = dense(EXPERTS, HIDDEN, DIM)
    p["head"] = Value(np.zeros((DIM, CLASSES)))
    p["head_bias"] = Value(np.zeros(CLASSES))
    return p


def selection(logits):
    """Mask [B,E] of the top-k logits per row; ties take the lower index."""
    chosen = np.argsort(-logits, axis=-1, kind="stable")[:, :TOP_K]
    mask = np.zeros(logits.shape, bool)
    np.put_along_axis(mask, chosen, True, axis=-1)
    return mask


def forward(p, x):
    """Returns the logits and, per block, (router logits, selection mask)."""
    h = tape.add(tape.matmul(Value(x), p["embed"]), p["embed_bias"])
    routes = []
    for b in range(BLOCKS):
        norm = tape.layer_norm(h, p[f"{b}.norm_scale"], p[f"{b}.norm_bias"])
        scores = tape.matmul(norm, p[f"{b}.router"])
        mask = selection(scores.data)
        weight = tape.expert_axis_last(tape.softmax(scores, mask))
        gate = tape.silu(tape.matmul(norm, p[f"{b}.gate"]))
        hidden = tape.mul(gate, tape.matmul(norm, p[f"{b}.up"]))
        y = tape.mul(tape.matmul(hidden, p[f"{b}.down"]), weight)
        h = tape.add(h, tape.total(y, 0))
        routes.append((scores, mask))
    return tape.add(tape.matmul(h, p["head"]), p["head_bias"]), routes


def balance(scores, mask):
    """Load-balancing loss of the Switch Transformer: E * sum_e share_e * mean p_e."""
    share = mask.mean(0) / TOP_K
    importance = tape.total(tape.mul(tape.softmax(scores), 1 / len(mask)), 0)
    return tape.total(tape.mul(importance, EXPERTS * share))


def train(seed, log):
    x, labels, _, _ = digits.split()
    rng = np.random.default_rng(seed)
    p = initial(rng)
    adam = tape.Adam(p.values(), DECAY)
    for epoch in range(EPOCHS):
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        for bx, blabels in digits.batches(x, labels, BATCH, rng):
            logits, routes = forward(p, bx)
            loss = tape.cross_entropy(logits, blabels, smoothing=0.05)
            for scores, mask in routes:
                loss = tape.add(loss, tape.mul(balance(scores, mask), BALANCE))
            tape.differentiate(loss)
            adam.step(rate)
        if epoch % 10 == 9:
            log(f"digits-moe: epoch {epoch + 1}: loss {loss.data:.4f}")
    return {name: v.data.astype(np.float32) for name, v in p.items()}


def graph(weights):
    g = Graph("digits-moe")
    x = g.input("x", ["B", 64])
    h = blocks.linear(g, x, "embed", weights["embed"], weights["embed_bias"])
    for b in range(BLOCKS):
        block = {
            name.split(".", 1)[1]: w
            for name, w in weights.items()
            if name.startswith(f"{b}.")
        }
        h = blocks.moe_block(g, h, f"block{b}", block, TOP_K)
    g.node(
        "Gemm",
        [
            h,
            g.weight("head.weight", weights["head"]),
            g.weight("head.bias", weights["head_bias"]),
        ],
        "head",
        outputs=["logits"],
    )
    g.output("logits", ["B", CLASSES])
    return g


def smallest_margin(weights, x):
    """Smallest relative gap between the last chosen and the first dropped expert."""
    _, routes = forward({n: Value(w) for n, w in weights.items()}, x)
    margin = np.inf
    for scores, _ in routes:
        s = -np.sort(-scores.data, axis=-1)
        last, first_dropped = s[:, TOP_K - 1], s[:, TOP_K]
        size = np.maximum(np.abs(last), np.abs(first_dropped))
        margin = min(margin, ((last - first_dropped) / size).min())
    return margin
