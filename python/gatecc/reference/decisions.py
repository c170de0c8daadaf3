# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Ops that decide: top-k, routing, partition. Ties take the lower index; NaN ranks after
# every number, NaNs among themselves by index; -0 equals +0.
import numpy as np

from .plan import Plan


def order(x, largest=True, ties_high=False):
    """Indices that sort the last axis, best first."""
    x = np.asarray(x)
    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    key = np.where(nan, 0, x)
    if largest:
        key = ~key if key.dtype.kind in "iu" else -key
    index = np.broadcast_to(np.arange(x.shape[-1]), x.shape)
    return np.lexsort((-index if ties_high else index, key, nan), axis=-1)


def topk(x, k, largest=True):
    """(values, indices) [..., k] of the k best along the last axis, best first."""
    x = np.asarray(x)
    indices = order(x, largest)[..., :k]
    return np.take_along_axis(x, indices, -1), indices


def softmax(x, axis=-1):
    with np.errstate(invalid="ignore"):  # inf - inf
        e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
        return e / e.sum(axis, keepdims=True)


def route(
    logits,
    top_k,
    score="softmax",
    normalize=False,
    scale=1.0,
    drop_nonpositive=False,
    ties_high=False,
    mixing=None,
    sum_offset=None,
    sum_min=-np.inf,
):
    """Router logits [T,G] -> plan: each row goes to its top_k groups.

    With mixing [T,G] the logits only choose, and the weights are its elements. With
    sum_offset they are divided by max(sum + sum_offset, sum_min), whatever that is.
    """
    logits = np.asarray(logits, np.float64)
    if score == "softmax":
        s = softmax(logits)
    elif score == "sigmoid":
        s = 1 / (1 + np.exp(-logits))
    elif score in ("identity", "softmax_selected"):
        s = logits
    else:
        raise ValueError(f"score {score!r}")
    # Sigmoids that round to one number leave the choice to the logits.
    ids = order(logits if score == "sigmoid" else s, ties_high=ties_high)[:, :top_k]
    weight = np.take_along_axis(s if mixing is None else mixing, ids, 1)
    if score == "softmax_selected":
        weight = softmax(weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        if normalize:
            total = weight.sum(1, keepdims=True)
            if sum_offset is None:
                weight = np.where(total == 0, 0, weight / total)
            else:
                weight = weight / np.maximum(total + sum_offset, sum_min)
    weight = scale * weight
    dropped = weight <= 0 if drop_nonpositive else np.zeros(weight.shape, bool)
    return Plan.build(np.where(dropped, -1, ids), logits.shape[1], weight)


def partition(selector, groups=2):
    """Predicate [T] -> group 0 where true, group 1 where not; or group ids [T]."""
    selector = np.asarray(selector).reshape(-1)
    if selector.dtype == np.bool_:
        selector = np.where(selector, 0, 1)
    return Plan.build(selector[:, None], groups)


def assign(ids, groups, weights=None):
    """Choices [T,k] made elsewhere, perhaps with weights [T,k], as a plan."""
    return Plan.build(ids, groups, weights)


def margin(logits, k):
    """[T]: relative gap between the last chosen and the first dropped logit of a row.

    A decision is compared exactly where this is above 1e-3. Infinite where all are
    chosen; 0 in rows that hold NaN or infinities.
    """
    logits = np.asarray(logits, np.float64)
    if k >= logits.shape[-1]:
        return np.full(logits.shape[:-1], np.inf)
    best = -np.sort(-logits, axis=-1)
    last, dropped = best[..., k - 1], best[..., k]
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = (last - dropped) / np.maximum(np.abs(last), np.abs(dropped))
    return np.where(np.isfinite(logits).all(-1), np.nan_to_num(gap, nan=0.0), 0.0)
