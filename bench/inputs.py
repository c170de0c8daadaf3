# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Inputs of a layer whose router decides as a routing wants it: to random rows a direction
# is added that moves the logits by a given bias, so every system sees the same, and one
# model serves all routings.
import numpy as np

from gatecc import reference

POOL = 16  # different inputs, so that no token keeps its experts in the cache
POOL_BYTES = 64 << 20  # fewer of them (8 at least) beyond this
ZIPF = 1.25
AWAY = 12.0  # bias in standard deviations of a logit; nobody else is chosen


def pool_size(tokens, dim, quick=False):
    if quick:
        return 8
    return int(np.clip(POOL_BYTES // (4 * tokens * dim), 8, POOL))


def make(layer, router, tokens, routing, count, seed=0):
    """[count] arrays f32 [tokens,dim]; router: [dim,experts]."""
    rng = np.random.default_rng([seed, tokens])
    inputs = rng.standard_normal((count, tokens, layer.dim), np.float32)
    if routing in ("skewed", "same"):
        solve = router @ np.linalg.inv(
            router.T @ router
        )  # moves logits by the identity
        popular = rng.permutation(layer.experts)
        for i in range(count):
            if routing == "skewed":
                bias = -ZIPF * np.log1p(np.argsort(popular))
            else:
                bias = np.zeros(layer.experts)
                bias[rng.choice(layer.experts, layer.top_k, replace=False)] = AWAY
            inputs[i] += (solve @ bias).astype(np.float32)
    return list(inputs)


def plan_of(layer, router, x):
    """(plan, margins [T]) of the float64 reference."""
    logits = x.astype(np.float64) @ router.astype(np.float64)
    plan = reference.route(logits, layer.top_k, normalize=True, drop_nonpositive=True)
    return plan, reference.margin(logits, layer.top_k)


def expected(layer, weights, x):
    """(result [T,D], margins [T]) in float64, one expert's weights widened at a time."""
    plan, margins = plan_of(layer, weights["router"], x)
    params = [weights[n] for n in ("gate", "up", "down") if n in weights]
    slots = reference.apply(plan, [x.astype(np.float64)], params, expert)
    return reference.combine(slots, plan), margins


def expert(rows, *matrices):
    """One expert's result in float64; with a gate it is SwiGLU, else ReLU."""
    *first, down = (m.astype(np.float64) for m in matrices)
    if len(first) == 2:
        gate = rows @ first[0]
        h = gate / (1 + np.exp(-gate)) * (rows @ first[1])
    else:
        h = np.maximum(rows @ first[0], 0)
    return h @ down
