# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The ops that index by data, element by element as their descriptions say.
import itertools

import numpy as np

REDUCE = {
    "none": lambda old, new: new,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,  # NaN wins, as it does in ONNX
    "min": np.minimum,
}


def nonzero(x):
    """[rank, n] coordinates of the true elements, in row-major order."""
    x = np.asarray(x)
    places = [p for p in itertools.product(*map(range, x.shape)) if x[p]]
    return np.array(places, np.int64).reshape(len(places), x.ndim).T


def from_either(index, size):
    return index + size if index < 0 else index


def gather_nd(data, indices, batch_dims=0):
    """Slices at index vectors; what is out of range is clamped, or 0 if there is nothing."""
    data, indices = np.asarray(data), np.asarray(indices)
    length = indices.shape[-1]
    tail = data.shape[batch_dims + length :]
    result = np.zeros(indices.shape[:-1] + tail, data.dtype)
    sizes = data.shape[batch_dims : batch_dims + length]
    if 0 in sizes:
        return result
    for place in np.ndindex(indices.shape[:-1]):
        vector = [
            min(max(from_either(int(i), n), 0), n - 1)
            for i, n in zip(indices[place], sizes, strict=True)
        ]
        result[place] = data[(*place[:batch_dims], *vector)]
    return result


def scatter_nd(data, indices, updates, reduction="none"):
    """`data` with updates applied in order; those out of range are skipped."""
    result = np.array(data)
    indices, updates = np.asarray(indices), np.asarray(updates)
    sizes = result.shape[: indices.shape[-1]]
    for place in np.ndindex(indices.shape[:-1]):
        vector = tuple(
            from_either(int(i), n) for i, n in zip(indices[place], sizes, strict=True)
        )
        if all(0 <= i < n for i, n in zip(vector, sizes, strict=True)):
            result[vector] = REDUCE[reduction](result[vector], updates[place])
    return result


def scatter_elements(data, indices, updates, axis=0, reduction="none"):
    """The same element by element, with indices along one axis."""
    result = np.array(data)
    indices, updates = np.asarray(indices), np.asarray(updates)
    for place in np.ndindex(indices.shape):
        to = list(place)
        to[axis] = from_either(int(indices[place]), result.shape[axis])
        if all(0 <= i < n for i, n in zip(to, result.shape, strict=True)):
            to = tuple(to)
            result[to] = REDUCE[reduction](result[to], updates[place])
    return result


def cumsum(x, axis=0, exclusive=False, reverse=False):
    """Running sums along an axis."""
    x = np.asarray(x)
    if reverse:
        x = np.flip(x, axis)
    sums = np.cumsum(x, axis, dtype=x.dtype)
    if exclusive:
        sums = np.roll(sums, 1, axis)
        if x.shape[axis]:
            sums[(slice(None),) * axis + (0,)] = 0
    return np.flip(sums, axis) if reverse else sums
