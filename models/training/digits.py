# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# scikit-learn's bundled handwritten digits: a fixed split into 1,437 training and
# 360 test images, and small shifts of the training images as augmentation.
import numpy as np
from sklearn.datasets import load_digits

SPLIT_SEED = 20
TEST_IMAGES = 360


def split():
    """(train x, train labels, test x, test labels); x is f32 [N,64] in [0,1]."""
    digits = load_digits()
    x = (digits.data / 16.0).astype(np.float32)
    labels = digits.target.astype(np.int64)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return x[train], labels[train], x[test], labels[test]


def shifted(x, rng):
    """Each image moved by at most one pixel in each direction."""
    padded = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    moves = rng.choice([0, 1, 2], size=(len(x), 2), p=[0.15, 0.7, 0.15])
    out = np.empty((len(x), 8, 8), x.dtype)
    for image, (dy, dx), y in zip(padded, moves, out, strict=True):
        y[:] = image[dy : dy + 8, dx : dx + 8]
    return out.reshape(-1, 64)


def batches(x, labels, size, rng):
    """One shuffled, augmented pass over the training images."""
    order = rng.permutation(len(x))
    x = shifted(x, rng)
    for start in range(0, len(x), size):
        rows = order[start : start + size]
        yield x[rows], labels[rows]
