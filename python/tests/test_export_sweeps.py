# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Models with routed parts on many shapes and on extreme routings: the raised form against
# the same model compiled with every raising pass disabled, and against ONNX Runtime where
# it takes the shape. All rows to one expert, ties everywhere, NaN, infinity, nothing at
# all. The files of the folder that $GATECC_EXPORTS names, if it is set, and small models.
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import gatecc
from gatecc.models import exits
from test_exports import FORMS

EXPORTS = os.environ.get("GATECC_EXPORTS")
RAISING = ("form-experts", "form-groups", "form-while-rows")
ROWS = (1, 2, 7, 64)
# |difference| <= TOLERANCE * the largest element of the row; accumulation is in f32, and
# the two forms may add in different orders.
TOLERANCE = 1e-4


def shapes(rank):
    """The leading extents of an input whose last dimension is fixed."""
    if rank == 2:
        return [(rows,) for rows in (*ROWS, 0)]
    apart = [pair for rows in ROWS for pair in ((1, rows), (rows, 1))]
    return [*dict.fromkeys(apart), (0, 3), (3, 0)]


def _spoiled(x, value):
    x = x.copy()
    x.reshape(-1, x.shape[-1])[::3] = value
    return x


# Name: (what becomes of normal rows, whether ONNX Runtime must agree). It ranks NaN and
# equal scores in its own way, and large numbers make close calls of it.
EXTREMES = {
    "normal": (lambda x: x, True),
    "same": (lambda x: np.broadcast_to(x[:1, :1] if x.ndim > 2 else x[:1], x.shape), True),
    "large": (lambda x: x * np.float32(1e3), False),
    "small": (lambda x: x * np.float32(1e-6), False),
    "zeros": (np.zeros_like, False),
    "zero-rows": (lambda x: _spoiled(x, 0), False),
    "nan": (lambda x: _spoiled(x, np.nan), False),
    "infinite": (lambda x: _spoiled(x, np.inf), False),
    "negative-infinite": (lambda x: _spoiled(x, -np.inf), False),
    "all-nan": (lambda x: np.full_like(x, np.nan), False),
    "huge": (lambda x: _spoiled(x, 1e30), False),
}


def assert_same(actual, expected, what):
    """The same shape, the same NaNs and infinities, and each row near."""
    assert actual.shape == expected.shape, what
    assert actual.dtype == expected.dtype, what
    if not expected.size:
        return
    a, b = (np.atleast_2d(t.astype(np.float64)) for t in (actual, expected))
    a, b = (t.reshape(-1, t.shape[-1]) for t in (a, b))
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite], b[~finite], err_msg=what)
    b, a = np.where(finite, b, 0), np.where(finite, a, 0)
    largest = np.abs(b).max(axis=1, keepdims=True)
    off = np.abs(a - b) / (TOLERANCE * (largest + 1e-6))
    assert (off <= 1).all(), f"{what}: off by {off.max():.3g} times, rows {np.unique(np.nonzero(off > 1)[0])}"


class Sweep:
    """A model, compiled raised and unraised, and its session of ONNX Runtime if any."""

    def __init__(self, build, model):
        self.raised = build.load(model)
        self.plain = build.load(model, disable=RAISING)
        try:
            self.session = onnxruntime.InferenceSession(
                model, providers=["CPUExecutionProvider"]
            )
        except Exception:  # it has no kernel, or refuses the file
            self.session = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raised.close()
        self.plain.close()

    def outcome(self, library, feeds):
        try:
            return library(feeds), None
        except gatecc.RunError as error:
            return None, str(error)

    def check(self, feeds, what, with_session):
        expected, refusal = self.outcome(self.plain, feeds)
        actual, error = self.outcome(self.raised, feeds)
        if refusal is not None:
            # Rows that are skipped cannot fail; all others must.
            assert error is not None or actual is not None, what
            return refusal
        assert error is None, f"{what}: only the raised form refuses: {error}"
        for name, array in expected.items():
            assert_same(actual[name], array, f"{what}, raised and unraised, {name}")
        if with_session and self.session:
            self.check_session(feeds, actual, what)
        return None

    def check_session(self, feeds, actual, what):
        try:
            names = [output.name for output in self.session.get_outputs()]
            results = self.session.run(names, feeds)
        except Exception:  # it refuses the shape
            return
        for name, array in zip(names, results):
            assert_same(actual[name], array, f"{what}, ONNX Runtime, {name}")


def sweep(build, model, extremes, seed=1, may_refuse=False):
    with Sweep(build, model) as forms:
        (info,) = forms.raised.inputs
        width = info.shape[-1]
        for lead in shapes(len(info.shape) if info.dtype == "f32" else 3):
            rng = np.random.default_rng(seed)
            if info.dtype == "i64":
                for kind, ids in (
                    ("random", rng.integers(0, 32, lead)),
                    ("same", np.full(lead, 5)),
                ):
                    forms.check({info.name: ids}, f"{kind} {lead}", True)
                continue
            x = rng.standard_normal((*lead, width)).astype(np.float32)
            for kind in extremes:
                change, with_session = EXTREMES[kind]
                data = np.ascontiguousarray(change(x))
                # Without rows there are means of nothing, which it has numbers for.
                with_session &= 0 not in lead
                refusal = forms.check({info.name: data}, f"{kind} {lead}", with_session)
                assert refusal is None or may_refuse or 0 in lead, f"{kind} {lead}: {refusal}"


SMALL = FORMS | {
    f"exit-{style}": lambda style=style: exits.network(8, 3, style) for style in exits.STYLES
}


@pytest.mark.parametrize("form", SMALL)
def test_small_model(build, form):
    sweep(build, build.graph(SMALL[form]()), EXTREMES)


def exported():
    return sorted(Path(EXPORTS).glob("*.onnx")) if EXPORTS else []


@pytest.mark.skipif(not EXPORTS, reason="GATECC_EXPORTS names no folder")
@pytest.mark.parametrize("model", exported(), ids=lambda path: path.stem)
def test_exported_file(build, model):
    # One that was traced has the sizes of its example, and has no .npz.
    sweep(build, model, EXTREMES, may_refuse=not model.with_suffix(".npz").exists())
