# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# How much of the work that early exits save is saved in time: `exit --dim 512 --stages 6`
# at batch 512 and several exit rates, beside ONNX Runtime and the ideal, which is the time
# at rate 0 times the share of stage-rows that are needed.
# `GATECC=build/bin/gatecc python bench/exits.py [--dim 512 --stages 6 --batch 512]`
import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python"))

import gatecc  # noqa: E402
from gatecc.models import exits  # noqa: E402

EFFICIENCY = 0.8  # of the ideal, at rate 0.5
AGAINST_ONNX_RUNTIME = 1.3  # at rate 0, times its latency


def median_ms(function, runs):
    times = []
    for run in range(runs + 5):
        start = time.perf_counter()
        function()
        if run >= 5:
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def measure(arguments, folder):
    """[(rate, share of stage-rows needed, gatecc ms, ONNX Runtime ms)]"""
    a = arguments
    model, library = folder / "e.onnx", folder / "e.so"
    exits.network(a.dim, a.stages, a.style).save(model)
    gatecc.compile(model, library)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = a.threads
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
    rows = []
    with gatecc.load(library, threads=a.threads) as lib:
        for rate in a.rates:
            x, planned = exits.make_inputs(a.batch, a.dim, a.stages, rate)
            np.testing.assert_allclose(
                lib(x=x)["logits"], session.run(None, {"x": x})[0], atol=1e-3
            )
            ours = median_ms(lambda x=x: lib(x=x), a.runs)
            theirs = median_ms(lambda x=x: session.run(None, {"x": x}), a.runs)
            rows.append((rate, (planned + 1).mean() / a.stages, ours, theirs))
    return rows


def main():
    parser = argparse.ArgumentParser(description="Time early exits.")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--stages", type=int, default=6)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--style", choices=exits.STYLES, default="running")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.25, 0.5, 1.0])
    arguments = parser.parse_args()
    if arguments.rates[0] != 0:
        parser.error("the first of --rates is 0, which the ideal is measured from")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(arguments, Path(folder))
    full = rows[0][2]
    print("rate  needed  gatecc ms  ideal ms  of ideal  ONNX Runtime ms")
    good = full <= AGAINST_ONNX_RUNTIME * rows[0][3]
    for rate, needed, ours, theirs in rows:
        ideal = full * needed
        print(
            f"{rate:4.2f}  {needed:6.1%}  {ours:9.2f}  {ideal:8.2f}"
            f"  {ideal / ours:8.1%}  {theirs:15.2f}"
        )
        if rate == 0.5:
            good &= ideal / ours >= EFFICIENCY
    print(
        "exits: "
        + ("OK" if good else "FAILED")
        + f": at rate 0 {full / rows[0][3]:.2f}x"
        " ONNX Runtime's time"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
