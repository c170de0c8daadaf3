# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Compares compiled libraries with the float64 reference: decisions exactly where they are
# no close call, then values. All tolerances are here.
from pathlib import Path

import numpy as np

# |difference| <= tolerance * (1 + |reference|); accumulation is in f32.
TOLERANCE = {"f32": 5e-5, "f64": 1e-11, "f16": 1e-2, "bf16": 5e-2}
CLOSE_CALL = 1e-3  # relative margin up to which a decision may go either way


def _flags():
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split() for line in lines if line.startswith("flags")), [])


# Whether code for this machine rounds the rows that meet weights of bf16.
ROUNDS_ROWS = {"avx512_bf16", "avx512_vnni"} <= set(_flags())


def assert_close(actual, expected, dtype="f32"):
    """Values agree within the tolerance of `dtype`; NaN and infinities are the same."""
    actual = np.asarray(actual, np.float64)
    expected = np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    bad = ~np.isfinite(expected)
    np.testing.assert_array_equal(actual[bad], expected[bad])
    difference = np.abs(actual[~bad] - expected[~bad])
    allowed = TOLERANCE[dtype] * (1 + np.abs(expected[~bad]))
    assert (difference <= allowed).all(), f"off by {(difference / allowed).max()} times"


def assert_same_bits(actual, expected):
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        assert actual[name].shape == array.shape
        # NaNs have many bit patterns; all others must be the same.
        np.testing.assert_array_equal(actual[name], array)
        number = ~np.isnan(array) if array.dtype.kind == "f" else ...
        assert actual[name][number].tobytes() == array[number].tobytes()


def one_by_one(library, x):
    """Outputs of each row on its own, and the groups of each site: [T, groups]."""
    rows, groups = [], [[] for _ in library.sites]
    for i in range(len(x)):
        rows.append(library(x=x[i : i + 1]))
        for site, seen in zip(library.stats()["sites"], groups, strict=True):
            seen.append(site["groups"])
    joined = {name: np.concatenate([r[name] for r in rows]) for name in rows[0]}
    return joined, [np.array(g) for g in groups]


def chosen_groups(plan):
    """[T,G]: how many slots each row has in each group."""
    ids = plan.ids()
    return (ids[:, :, None] == np.arange(plan.groups)).sum(1)


def assert_plans(library, run, x):
    """Every routed layer sends every row that is no close call where the reference does.

    Returns a mask of the rows that are a close call in no layer.
    """
    clear = np.ones(len(x), bool)
    _, groups = one_by_one(library, x)
    sites = [g for s, g in zip(library.sites, groups) if s.kind == "experts"]
    for (plan, margins), taken in zip(run.plans.values(), sites, strict=True):
        clear &= margins > CLOSE_CALL  # a later layer depends on the earlier ones
        np.testing.assert_array_equal(taken[clear], chosen_groups(plan)[clear])
    return clear


def exits_of(run, stages):
    """The exit that each row takes, and its smallest margin, from a reference run.

    For networks of gatecc.models: confidences are exit{i}/confidence/out.
    """
    leaves = None
    for i in reversed(range(stages - 1)):
        confident = run.values[f"exit{i}/confident/out"].reshape(-1)
        if leaves is None:
            leaves = np.full(len(confident), stages - 1)
        leaves[confident] = i
    return leaves
