# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The model files that systems are given, their compiled libraries and the expected
# results, all kept in a folder between runs. Files are named after what is in them.
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import gatecc
from gatecc import reference
from gatecc.models import blocks, chains, exits, forms, moe
from gatecc.models.graph import Graph

from . import inputs
from .processes import environment

SEED = 0
CHAIN_SEED = 1


class Unsupported(Exception):
    """The compiler refuses what is asked for."""


def moe_weights(layer):
    """Those that `moe.network` with the same seed writes."""
    rng = np.random.default_rng(SEED)
    return moe.random_block(
        rng, layer.dim, layer.hidden, layer.experts, layer.activation
    )


def router_of(layer, folder):
    path = Path(folder) / f"{layer.name}.router.npy"
    if not path.is_file():
        _save(path, moe_weights(layer)["router"])
    return np.load(path)


def moe_file(layer, form, folder):
    """The ONNX file of a layer in a form of moe.FORMS; qmoe4 and qmoe8 have 4 and 8 bits."""
    path = Path(folder) / f"{layer.name}.{form}.onnx"
    if not path.is_file():
        bits = {"bits": form[-1]} if form.startswith("qmoe") else {}
        _run_generator(
            "moe --bare",
            path,
            dim=layer.dim,
            hidden=layer.hidden,
            experts=layer.experts,
            top_k=layer.top_k,
            activation=layer.activation,
            form=form.rstrip("48"),
            seed=SEED,
            **bits,
        )
    return path


def scale_file(kind, nodes, folder):
    path = Path(folder) / f"chain-{kind}-{nodes}.onnx"
    if not path.is_file():
        chains.network(kind, nodes).save(path)
    return path


def deep_file(form, layers, experts, folder):
    """Many layers of many small experts, each of which is nodes of its own."""
    path = Path(folder) / f"deep{layers}x{experts}.{form}.onnx"
    if not path.is_file():
        moe.network(16, 12, experts, 2, form=form, layers=layers).save(path)
    return path


def exit_file(dim, stages, style, folder):
    path = Path(folder) / f"exit{dim}x{stages}.{style}.onnx"
    if not path.is_file():
        exits.network(dim, stages, style, seed=SEED).save(path)
    return path


def chain_weights(chain):
    rng = np.random.default_rng(CHAIN_SEED)
    return [exits.random_stage(rng, chain.dim, tickets=0) for _ in range(chain.blocks)]


def chain_file(chain, folder):
    path = Path(folder) / f"{chain.name}.onnx"
    if path.is_file():
        return path
    g = Graph(chain.name)
    y = g.input("x", ["B", chain.dim])
    for i, w in enumerate(chain_weights(chain)):
        y = blocks.linear(g, y, f"up{i}", w["up"], w["up_bias"])
        y = g.node("Relu", [y], f"relu{i}")
        y = blocks.linear(g, y, f"down{i}", w["down"], w["down_bias"])
    g.rename_result("y")
    g.output("y", ["B", chain.dim])
    g.save(path)
    return path


def one_expert_weights(layer):
    rng = np.random.default_rng(SEED)
    return moe.random_block(rng, layer.dim, layer.hidden, 1, layer.activation)


def one_expert_expected(layer, x):
    """As `moe_expected`, for the layer of `one_expert_file`."""
    w = one_expert_weights(layer)
    matrices = [w[n][0] for n in ("gate", "up", "down") if n in w]
    return inputs.expert(x.astype(np.float64), *matrices), np.full(len(x), np.inf)


def one_expert_file(layer, folder):
    """One expert of a layer's size on every row, as ordinary ONNX."""
    path = Path(folder) / f"{layer.name}.one.onnx"
    if path.is_file():
        return path
    weights = one_expert_weights(layer)
    g = Graph(f"{layer.name}-one")
    x = g.input("x", ["B", layer.dim])
    forms.PlainExperts(g, "one", weights, layer.activation).expert(x, 0)
    g.rename_result("y")
    g.output("y", ["B", layer.dim])
    g.save(path)
    return path


def router_file(experts, top_k, width, folder):
    """A mixture of experts that are next to nothing; x holds its rows and its logits."""
    path = Path(folder) / f"router{experts}x{top_k}.onnx"
    if path.is_file():
        return path
    rng = np.random.default_rng(SEED)
    weights = moe.random_block(rng, width, width, experts, "silu")
    g = Graph(path.stem)
    both = g.input("x", ["B", width + experts])
    parts = ["rows", "logits"]
    sizes = g.weight("sizes", np.array([width, experts], np.int64))
    g.node("Split", [both, sizes], "split", parts, axis=1)
    blocks.contrib_experts(g, *parts, "experts", weights, top_k, "silu")
    g.rename_result("y")
    g.output("y", ["B", width])
    g.save(path)
    return path


def router_expected(file, x):
    run = reference.run_onnx(file, {"x": x})
    ((_, margins),) = run.plans.values()
    return run.outputs["y"], margins


def chain_expected(chain, x):
    y = x.astype(np.float64)
    for w in chain_weights(chain):
        y = np.maximum(y @ w["up"] + w["up_bias"], 0) @ w["down"] + w["down_bias"]
    return y


def moe_expected(layer, xs, key, folder, weights=None):
    """[(result, margins)] of the inputs; `key` tells which inputs they are.

    weights: those of `moe_weights`, or a function that returns them, if at hand.
    """
    digest = hashlib.sha256(b"".join(x.tobytes() for x in xs)).hexdigest()[:12]
    path = Path(folder) / f"{layer.name}.{key}.{digest}.npz"
    if not path.is_file():
        weights = weights() if weights else moe_weights(layer)
        results = [inputs.expected(layer, weights, x) for x in xs]
        arrays = {f"y{i}": y for i, (y, _) in enumerate(results)}
        arrays |= {f"m{i}": m for i, (_, m) in enumerate(results)}
        part = path.with_suffix(".part.npz")
        np.savez(part, **arrays)
        os.replace(part, path)
    with np.load(path) as data:
        return [(data[f"y{i}"], data[f"m{i}"]) for i in range(len(xs))]


def compiled(model, folder, options=(), seconds=1800):
    """(library, seconds that compiling took, or None if it was there already)"""
    compiler = gatecc.find_compiler()
    stamp = f"{os.stat(compiler).st_mtime_ns} {os.stat(model).st_mtime_ns} {options}"
    name = Path(model).stem + "".join(options).replace("--", "-").replace("=", "-")
    library = Path(folder) / f"{name}.so"
    stamp_file = library.with_suffix(".stamp")
    if library.is_file() and stamp_file.is_file() and stamp_file.read_text() == stamp:
        return library, None
    stamp_file.unlink(missing_ok=True)
    start = time.perf_counter()
    done = subprocess.run(
        [compiler, str(model), "-o", str(library), *options],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        text = (done.stderr.strip() or f"status {done.returncode}").splitlines()[0]
        raise Unsupported(text)
    stamp_file.write_text(stamp)
    return library, time.perf_counter() - start


def _run_generator(command, path, **options):
    """In a process of its own, whose memory goes with it."""
    arguments = [sys.executable, "-m", "gatecc.models", *command.split()]
    for name, value in options.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    part = path.with_name("part-" + path.name)
    subprocess.run([*arguments, "-o", str(part)], check=True, env=environment())
    data = part.with_name(part.name + ".data")
    if data.is_file():  # the model names its data file
        import onnx

        model = onnx.load(part, load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = path.name + ".data"
        part.write_bytes(model.SerializeToString(deterministic=True))
        os.replace(data, path.with_name(path.name + ".data"))
    os.replace(part, path)


def _save(path, array):
    part = path.with_name("part-" + path.name)
    np.save(part, array)
    os.replace(part, path)
