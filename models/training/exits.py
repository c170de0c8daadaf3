# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# digits-exit: four residual MLP stages on the 64 pixels, a head after each; an image
# leaves at the first head whose largest softmax probability reaches its threshold.
import numpy as np

from gatecc.models import blocks
from gatecc.models.graph import Graph

from . import digits, tape
from .tape import Value

DIM, HIDDEN, STAGES, CLASSES = 64, 128, 4, 10
EPOCHS, BATCH, RATE, DECAY = 60, 64, 3e-3, 0.02
HEAD_LOSS = (0.05, 0.3, 0.6, 1.0)  # weight of each head's loss
AIM = (0.96, 0.95, 0.93)  # thresholds are the widest gap near these
AIM_WIDTH = 0.015


def initial(rng):
    def dense(*shape, scale=1.0):
        return Value(rng.normal(size=shape) * scale / np.sqrt(shape[0]))

    p = {}
    for s in range(STAGES):
        p[f"{s}.norm_scale"] = Value(np.ones(DIM))
        p[f"{s}.norm_bias"] = Value(np.zeros(DIM))
        p[f"{s}.up"] = dense(DIM, HIDDEN, scale=np.sqrt(2))
        p[f"{s}.up_bias"] = Value(np.zeros(HIDDEN))
        p[f"{s}.down"] = dense(HIDDEN, DIM, scale=0.5)
        p[f"{s}.down_bias"] = Value(np.zeros(DIM))
        p[f"{s}.head"] = dense(DIM, CLASSES, scale=0.1)
        p[f"{s}.head_bias"] = Value(np.zeros(CLASSES))
    return p


def forward(p, x):
    """The logits of every head."""
    h = Value(x)
    heads = []
    for s in range(STAGES):
        y = tape.layer_norm(h, p[f"{s}.norm_scale"], p[f"{s}.norm_bias"])
        y = tape.relu(tape.add(tape.matmul(y, p[f"{s}.up"]), p[f"{s}.up_bias"]))
        y = tape.add(tape.matmul(y, p[f"{s}.down"]), p[f"{s}.down_bias"])
        h = tape.add(h, y)
        heads.append(tape.add(tape.matmul(h, p[f"{s}.head"]), p[f"{s}.head_bias"]))
    return heads


def train(seed, log):
    x, labels, _, _ = digits.split()
    rng = np.random.default_rng(seed)
    p = initial(rng)
    adam = tape.Adam(p.values(), DECAY)
    for epoch in range(EPOCHS):
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        for bx, blabels in digits.batches(x, labels, BATCH, rng):
            loss = Value(0.0)
            for logits, share in zip(forward(p, bx), HEAD_LOSS, strict=True):
                error = tape.cross_entropy(logits, blabels, smoothing=0.02)
                loss = tape.add(loss, tape.mul(error, share))
            tape.differentiate(loss)
            adam.step(rate)
        if epoch % 10 == 9:
            log(f"digits-exit: epoch {epoch + 1}: loss {loss.data:.4f}")
    return {name: v.data.astype(np.float32) for name, v in p.items()}


def confidences(weights, x):
    """[3, B]: the largest softmax probability at each head but the last."""
    heads = forward({n: Value(w) for n, w in weights.items()}, x)
    return np.array([tape.softmax(h).data.max(-1) for h in heads[:-1]])


def thresholds(weights, x):
    """Per exit the middle of the widest gap between confidences near AIM.

    So no image of `x` is a close call, and every correct implementation takes the
    same decisions on them.
    """
    chosen = []
    for values, aim in zip(confidences(weights, x), AIM, strict=True):
        low, high = aim - AIM_WIDTH, aim + AIM_WIDTH
        near = np.sort(values[(values > low) & (values < high)])
        near = np.concatenate([[low], near, [high]])
        widest = np.argmax(np.diff(near))
        chosen.append(np.float32((near[widest] + near[widest + 1]) / 2))
    return np.array(chosen)


def graph(weights, limits):
    g = Graph("digits-exit")
    x = g.input("x", ["B", 64])
    stages, heads = [], []
    for s in range(STAGES):
        stage = {
            name.split(".", 1)[1]: w
            for name, w in weights.items()
            if name.startswith(f"{s}.")
        }
        heads.append({"weight": stage.pop("head"), "bias": stage.pop("head_bias")})
        stages.append(stage)
    blocks.exit_chain(g, x, stages, heads, limits, "running", output="logits")
    g.output("logits", ["B", CLASSES])
    return g


def smallest_margin(weights, x, limits):
    """Smallest relative distance of a confidence from its threshold."""
    away = np.abs(confidences(weights, x) - limits[:, None]) / limits[:, None]
    return away.min()
