# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Whether a system computes the right thing: each row against the float64 reference, whose
# weights are those of the f32 model in every precision. All tolerances are here.
import numpy as np

# |row - reference| / |reference|, Euclidean, at most. int4: blocks of 32, symmetric.
TOLERANCE = {"f32": 1e-4, "bf16": 3e-2, "int8": 6e-2, "int4": 0.4}
# Rows whose last choice is closer than this to the next expert may go either way.
CLOSE_CALL = {"f32": 1e-3, "bf16": 0.1, "int8": 1e-3, "int4": 1e-3}


def row_error(actual, reference, margins, precision):
    """The largest error of a row whose routing is no close call."""
    actual = np.asarray(actual, np.float64)
    if actual.shape != reference.shape:
        return np.inf
    clear = margins > CLOSE_CALL[precision]
    if not clear.any():
        return 0.0
    difference = np.linalg.norm((actual - reference)[clear], axis=1)
    error = difference / np.linalg.norm(reference[clear], axis=1)
    return float(np.nan_to_num(error, nan=np.inf).max())


def verdict(error, precision):
    """None where it is right, else what is wrong."""
    if error <= TOLERANCE[precision]:
        return None
    return f"wrong: relative error {error:.2g}, allowed {TOLERANCE[precision]:g}"
