# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Work on the rows of a plan, the contraction, and the ops that bring slots back to rows.
import numpy as np


def apply(plan, inputs, params, body, first=0, last=None):
    """Slots [S, ...] of `body(*rows, *slices)` for each group in [first, last).

    inputs: arrays [T, ...], of which the body gets the group's rows; params: arrays
    [last-first, ...], of which it gets the group's slice. Slots of other groups are NaN.
    """
    last = plan.groups if last is None else last
    slots = None
    for group in range(first, last):
        rows = plan.rows_of(group)
        result = body(*(x[rows] for x in inputs), *(p[group - first] for p in params))
        if slots is None:
            slots = np.full((plan.slots, *result.shape[1:]), np.nan)
        slots[plan.offsets[group] : plan.offsets[group + 1]] = result
    return slots


def combine(slots, plan):
    """Each row's slots times their weights, summed in choice order; +0 with none."""
    rows, choices = plan.inverse.shape
    out = np.zeros((rows, *slots.shape[1:]))
    for j in range(choices):
        slot = plan.inverse[:, j]
        here = slot >= 0
        weight = np.ones(rows) if plan.weight is None else plan.weight[:, j]
        out[here] += weight[here, None] * slots[slot[here]]
    return out


def merge(slots, plan, base, first=0, last=1):
    """Each row from its slot if its group is in [first, last), else from `base`."""
    group, slot = plan.ids()[:, 0], plan.inverse[:, 0]
    out = np.array(base, copy=True)
    here = (group >= first) & (group < last)
    out[here] = slots[slot[here]]
    return out


def contract(rows, weights, epilogue=None, extras=(), plan=None, gathered=False):
    """epilogue(rows @ w_0, rows @ w_1, ..., *extras), dense or grouped by a plan.

    Grouped, the weights are [G,K,N] and the result has a row for each slot; with
    `gathered` rows are [T,K] and slot s reads row source[s], else rows are [S,K].
    Extras broadcast against the result.
    """
    rows = np.asarray(rows, np.float64)
    if plan is None:
        products = [rows @ np.asarray(w, np.float64) for w in weights]
    else:
        if gathered:
            rows = rows[plan.source]
        products = []
        for w in weights:
            w = np.asarray(w, np.float64)
            product = np.empty((plan.slots, w.shape[2]))
            for g in range(plan.groups):
                part = slice(plan.offsets[g], plan.offsets[g + 1])
                product[part] = rows[part] @ w[g]
            products.append(product)
    return epilogue(*products, *extras) if epilogue else products[0]
