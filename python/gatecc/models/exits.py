# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Generates early-exit networks of any size: stages of residual MLPs D -> 4D -> D with
# a head after each, and inputs in which the exit that each sample takes is planted.
#
# Coordinate i < stages-1 of the input is the ticket of exit i. No stage reads or
# writes a ticket, so it passes through the residual connections unchanged; head i adds
# PLANTED * ticket to one logit, and the rest of the head is so small that without the
# ticket no confidence comes near the threshold. So a sample leaves at the first exit
# whose ticket is 1, with a wide margin, and all else in it is free.
import numpy as np

from . import blocks
from .graph import Graph

EXPANSION = 4
CLASSES = 10
THRESHOLD = 0.9
PLANTED = 12.0  # logit of a planted exit
HEAD_SCALE = 0.3  # standard deviation of the other head weights, times sqrt(dim)
STYLES = ("running", "nested")


def random_stage(rng, dim, tickets):
    hidden = EXPANSION * dim
    up = rng.standard_normal((dim, hidden), np.float32) / np.float32(np.sqrt(dim))
    down = rng.standard_normal((hidden, dim), np.float32)
    down *= np.float32(0.5 / np.sqrt(hidden))
    down_bias = 0.1 * rng.standard_normal(dim, np.float32)
    up[:tickets] = 0
    down[:, :tickets] = 0
    down_bias[:tickets] = 0
    return {
        "up": up,
        "up_bias": 0.1 * rng.standard_normal(hidden, np.float32),
        "down": down,
        "down_bias": down_bias,
    }


def random_head(rng, dim, tickets, index):
    scale = np.float32(HEAD_SCALE / np.sqrt(dim))
    weight = rng.standard_normal((dim, CLASSES), np.float32) * scale
    weight[:tickets] = 0
    if index < tickets:
        weight[index, index % CLASSES] = PLANTED
    return {"weight": weight, "bias": scale * rng.standard_normal(CLASSES, np.float32)}


def network(dim, stages, style="running", activation="relu", seed=0):
    """A graph with input "x" f32 [B,dim] and output "logits" f32 [B,10]."""
    if stages < 2 or dim < 2 * stages:
        raise ValueError("an exit network needs 2 or more stages and dim >= 2*stages")
    if style not in STYLES:
        raise ValueError(f"style {style!r} is none of {STYLES}")
    rng = np.random.default_rng(seed)
    tickets = stages - 1
    g = Graph(f"exit-{dim}-{stages}-{style}")
    x = g.input("x", ["B", dim])
    blocks.exit_chain(
        g,
        x,
        [random_stage(rng, dim, tickets) for _ in range(stages)],
        [random_head(rng, dim, tickets, i) for i in range(stages)],
        [THRESHOLD] * tickets,
        style,
        activation,
    )
    g.output("logits", ["B", CLASSES])
    return g


def planned_exits(batch, stages, rate, seed=0):
    """The exit of each sample: exit i takes round(rate_i * samples that reach it).

    rate: one number, or one for each of the stages-1 early exits.
    """
    rates = np.broadcast_to(np.asarray(rate, float), stages - 1)
    if ((rates < 0) | (rates > 1)).any():
        raise ValueError(f"an exit rate is not from 0 to 1: {rates.tolist()}")
    exits = np.full(batch, stages - 1)
    first = 0
    for i, share in enumerate(rates):
        leaving = int(round(share * (batch - first)))
        exits[first : first + leaving] = i
        first += leaving
    return np.random.default_rng(seed).permutation(exits)


def make_inputs(batch, dim, stages, rate, seed=0):
    """f32 [batch,dim] with exit rate `rate` at each exit, and the planned exits."""
    exits = planned_exits(batch, stages, rate, seed)
    x = np.random.default_rng(seed + 1).standard_normal((batch, dim), np.float32)
    x[:, : stages - 1] = exits[:, None] == np.arange(stages - 1)
    return x, exits
