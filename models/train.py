# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Trains the two example networks on handwritten digits and writes them as ONNX
# and as JSON, with the test images, beside this script. Needs numpy, scikit-learn and onnx;
# fixed seeds. `python models/train.py [--only moe|exit]`
import argparse
import os
import sys
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # the same bits on every run
import numpy as np  # noqa: E402

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))
sys.path.insert(0, str(HERE))

from gatecc.models import to_json  # noqa: E402
from training import digits, exits, moe, tape  # noqa: E402

SEED_MOE, SEED_EXIT = 3, 2
SIZE_LIMIT = 450_000  # bytes per file
ACCURACY = 0.96
MARGIN = 1e-3  # relative; decisions of the test images are no closer calls


def log(text):
    print(text, flush=True)


def require(condition, text):
    log(("ok:     " if condition else "FAILED: ") + text)
    return bool(condition)


def write(graph, path):
    graph.save(path)
    to_json.convert(path, path.with_suffix(".json"))
    size = path.stat().st_size
    return require(size <= SIZE_LIMIT, f"{path.name}: {size} bytes")


def build_moe(x, labels):
    weights = moe.train(SEED_MOE, log)
    parameters = {n: tape.Value(w) for n, w in weights.items()}
    logits, routes = moe.forward(parameters, x)
    accuracy = (logits.data.argmax(-1) == labels).mean()
    used = np.array([mask.sum(0) for _, mask in routes])
    margin = moe.smallest_margin(weights, x)
    log(f"digits-moe: rows per expert: {used.tolist()}; smallest margin {margin:.2e}")
    good = [
        require(accuracy >= ACCURACY, f"digits-moe: accuracy {accuracy:.4f}"),
        require(used.min() > 0, "digits-moe: every expert has rows"),
        require(margin >= MARGIN, "digits-moe: no close call among the test images"),
        write(moe.graph(weights), HERE / "digits-moe.onnx"),
    ]
    return all(good)


def build_exit(x, labels):
    weights = exits.train(SEED_EXIT, log)
    limits = exits.thresholds(weights, x)
    heads = exits.forward({n: tape.Value(w) for n, w in weights.items()}, x)
    confident = exits.confidences(weights, x) >= limits[:, None]
    confident = np.vstack([confident, np.ones((1, len(x)), bool)])
    leaves = confident.argmax(0)
    picked = np.array([h.data for h in heads])[leaves, np.arange(len(x))]
    accuracy = (picked.argmax(-1) == labels).mean()
    counts = np.bincount(leaves, minlength=exits.STAGES)
    early = counts[:-1].sum() / len(x)
    margin = exits.smallest_margin(weights, x, limits)
    each = [round(float((h.data.argmax(-1) == labels).mean()), 4) for h in heads]
    log(
        f"digits-exit: leave at each exit: {counts.tolist()}; smallest margin {margin:.2e}"
    )
    log(
        f"digits-exit: accuracy of each head alone: {each}; thresholds {limits.tolist()}"
    )
    good = [
        require(accuracy >= ACCURACY, f"digits-exit: accuracy {accuracy:.4f}"),
        require(early >= 0.5, f"digits-exit: {early:.1%} leave before the last stage"),
        require(margin >= MARGIN, "digits-exit: no close call among the test images"),
        write(exits.graph(weights, limits), HERE / "digits-exit.onnx"),
    ]
    return all(good)


def main():
    parser = argparse.ArgumentParser(description="Train the two example networks.")
    parser.add_argument("--only", choices=["moe", "exit"], help="train one of the two")
    arguments = parser.parse_args()
    _, _, x, labels = digits.split()
    np.savez(HERE / "digits-test.npz", x=x, labels=labels)
    good = True
    if arguments.only != "exit":
        good &= build_moe(x, labels)
    if arguments.only != "moe":
        good &= build_exit(x, labels)
    log("all checks passed" if good else "some checks FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
