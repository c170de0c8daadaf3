# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# What is not the time of a layer: the router's share of it, what a call costs, and what
# compiling takes.
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import psutil

import gatecc
from gatecc.models import chains

from . import cells, inputs, networks
from .measure import Group
from .processes import ROOT
from .suite_chain import start

ROUTER_WIDTH = 16  # of the experts that hang on the router that is timed
POLL = 0.01  # seconds between two looks at a compiler's memory


def run_router(session, layer, tokens):
    """Logits to plan, with experts that are next to nothing, beside the whole layer."""
    file = networks.router_file(
        layer.experts, layer.top_k, ROUTER_WIDTH, session.folder
    )
    group = Group(session)
    try:
        start(session, group, "gatecc", "exit", "router", file)
        if "gatecc" not in group.processes:
            return
        for count in tokens:
            rng = np.random.default_rng(count)
            size = inputs.pool_size(count, layer.dim, session.quick)
            width = ROUTER_WIDTH + layer.experts
            xs = list(rng.standard_normal((size, count, width), np.float32))
            result = group.measure(xs, [networks.router_expected(file, xs[0])], "f32")
            session.add_row(
                suite="router",
                cell=layer.name,
                T=count,
                precision="f32",
                routing="random",
                threads=session.threads,
                system="gatecc",
                status=result["gatecc"].status,
                time_ms=result["gatecc"].ms,
                runs=len(result["gatecc"].times),
                error=result["gatecc"].error,
            )
    finally:
        group.close()


def run_compile(session, layers):
    """Time, memory and size of compiling the digits networks and f32 layers."""
    models = [(p.stem, p) for p in sorted((ROOT / "models").glob("digits-*.onnx"))]
    models += [
        (name, networks.moe_file(cells.LAYERS[name], "contrib", session.folder))
        for name in layers
    ]
    _compile(session, models)


def run_scale(session):
    """The same of models with many nodes: chains, and layers of unrolled experts."""
    sizes = [100] if session.quick else cells.SCALE_NODES
    models = [
        (f"{kind} {nodes}", networks.scale_file(kind, nodes, session.folder))
        for kind in chains.KINDS
        for nodes in sizes
    ]
    layers, experts = (2, 4) if session.quick else cells.SCALE_LAYERS
    models += [
        (
            f"{form} {layers}x{experts}",
            networks.deep_file(form, layers, experts, session.folder),
        )
        for form in ("unrolled", "grouped")
    ]
    _compile(session, models, count=True)


def _compile(session, models, count=False):
    for name, model in models:
        with tempfile.TemporaryDirectory(dir=session.folder) as folder:
            library = Path(folder) / "compiled.so"
            seconds, peak, status = _watch(
                [gatecc.find_compiler(), str(model), "-o", str(library)]
            )
            if status:
                session.say(f"compiling {name} failed with status {status}")
                continue
            with gatecc.load(library, threads=1) as lib:
                weights = lib.weight_bytes
            size = sum(f.stat().st_size for f in Path(folder).iterdir())
        session.compiled.append(
            {
                "model": name,
                "seconds": seconds,
                "peak_bytes": peak,
                "size_bytes": size,
                "weight_bytes": weights,
                "nodes": len(onnx.load(model).graph.node) if count else None,
            }
        )
        session.say(f"compiling {name}: {seconds:.2f} s, {peak / 1e6:.0f} MB")


def _watch(command):
    """(seconds, largest anonymous and shared memory of the process and its children)"""
    start_time = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        peak = max(peak, _memory(watched))
        time.sleep(POLL)
    return time.perf_counter() - start_time, peak, process.returncode


def _memory(process):
    """Bytes of a process and its children that no file backs."""
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            for line in Path(f"/proc/{one.pid}/status").read_text().splitlines():
                if line.startswith(("RssAnon:", "RssShmem:")):
                    total += 1024 * int(line.split()[1])
    except (OSError, psutil.Error):
        pass  # it has just ended
    return total
