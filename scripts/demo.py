# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Compiles the two trained networks of models/, runs them on the 360 test images beside
# ONNX Runtime, and prints what was decided, what was skipped and how long it took.
# `GATECC=build/bin/gatecc python scripts/demo.py [--threads 2] [--output DIR]`
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

NETWORKS = {
    "digits-moe": "two mixtures of 8 experts, of which each row uses 2",
    "digits-exit": "four stages, of which each image uses as many as it needs",
}
BATCHES = (1, 64, 360)
RUNS = 200
WARM_UP = 20
ACCURACY = 0.96
DIFFERENCE = 1e-4


def say(text=""):
    print(text, flush=True)


def reference_session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )


def median_ms(*functions):
    """Median time of each function, in milliseconds; all are run in turn."""
    times = [[] for _ in functions]
    for run in range(WARM_UP + RUNS):
        for function, seen in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if run >= WARM_UP:
                seen.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(seen) for seen in times]


def describe(site):
    groups = " ".join(map(str, site["groups"]))
    label = {
        "experts": "rows per expert",
        "exit": "images leaving at each exit",
    }.get(site["kind"], "rows per group")
    return f"{site['name']}: {label}: {groups}; work skipped: {site['skipped']:.1%}"


def show(name, threads, folder, x, labels):
    """Prints one network's results; returns what is wrong with them."""
    model = ROOT / "models" / f"{name}.onnx"
    say(f"{name} ({NETWORKS[name]})")
    start = time.perf_counter()
    library = gatecc.compile(model, folder / f"{name}.so")
    seconds = time.perf_counter() - start
    size = library.stat().st_size / 1024
    say(f"  compiled in {seconds:.1f} s to {library} ({size:.0f} KiB)")
    session = reference_session(model, threads)
    wrong = []
    with gatecc.load(library, threads=threads) as lib:
        (output,) = (t.name for t in lib.outputs)
        result = lib(x=x)[output]
        accuracy = (result.argmax(1) == labels).mean()
        say(f"  accuracy on {len(x)} test images: {accuracy:.2%}")
        for site in lib.stats()["sites"]:
            say(f"  {describe(site)}")
        difference = np.abs(result - session.run([output], {"x": x})[0]).max()
        say(f"  largest difference from ONNX Runtime: {difference:.1e}")
        say(f"  latency, median of {RUNS} calls from Python, {threads} threads:")
        for batch in BATCHES:
            rows = x[:batch]
            ours, theirs = median_ms(
                lambda rows=rows: lib(x=rows),
                lambda rows=rows: session.run([output], {"x": rows}),
            )
            say(
                f"    batch {batch:3}: gatecc {ours:.3f} ms,"
                f" ONNX Runtime {theirs:.3f} ms ({theirs / ours:.2f}x)"
            )
    if accuracy < ACCURACY:
        wrong.append(f"{name}: accuracy {accuracy:.2%} is below {ACCURACY:.0%}")
    if not difference <= DIFFERENCE:
        wrong.append(f"{name}: outputs differ from ONNX Runtime's by {difference:.1e}")
    say()
    return wrong


def main():
    parser = argparse.ArgumentParser(description="Compile and run the two networks.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="keep the libraries in this folder")
    arguments = parser.parse_args()
    with np.load(ROOT / "models" / "digits-test.npz") as data:
        x, labels = data["x"], data["labels"]
    wrong = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in NETWORKS:
            try:
                wrong += show(name, arguments.threads, folder, x, labels)
            except gatecc.Error as error:
                wrong.append(f"{name}: {error}")
    if wrong:
        say("demo: FAILED: " + "; ".join(wrong))
        return 1
    say("demo: OK: both networks compiled, ran, and agree with ONNX Runtime")
    return 0


if __name__ == "__main__":
    sys.exit(main())
