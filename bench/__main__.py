# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The command line of the benchmark; bench/run.sh calls it. README.md describes it.
import argparse
import shlex
import signal
import sys
from pathlib import Path

from . import (
    cells,
    peers,
    report,
    suite_chain,
    suite_exit,
    suite_extra,
    suite_forms,
    suite_moe,
)
from .processes import ROOT
from .session import Session

SUITES = ("moe", "chain", "exit", "forms", "router", "compile", "scale")


def parse(arguments):
    def listed(kind, allowed=None):
        def convert(text):
            values = [kind(value) for value in text.split(",")]
            for value in values:
                if allowed is not None and value not in allowed:
                    names = ", ".join(map(str, allowed))
                    raise argparse.ArgumentTypeError(f"{value} is none of {names}")
            return values

        return convert

    parser = argparse.ArgumentParser(
        prog="bench/run.sh",
        description="Measure gatecc beside the machine's limits and other systems.",
        epilog="Lists are separated by commas.",
    )
    every = {
        "suites": SUITES,
        "cells": (*cells.LAYERS, *cells.CHAINS),
        "precision": cells.PRECISIONS,
        "routing": cells.ROUTINGS,
        "systems": tuple(peers.SYSTEMS),
        "forms": tuple(cells.FORMS),
    }
    for name, allowed in every.items():
        text = f"of {', '.join(allowed)}"
        parser.add_argument(f"--{name}", type=listed(str, allowed), help=text)
    parser.add_argument("--T", type=listed(int), help="numbers of tokens")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--seconds",
        type=float,
        help="time to spend on each system in each cell, at least (1)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny layers, to test the benchmark itself"
    )
    parser.add_argument("--out", default=ROOT / "build" / "bench" / "out")
    parser.add_argument(
        "--cache", default=ROOT / "build" / "bench", help="where models are kept"
    )
    return parser.parse_args(arguments)


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    a = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as an interrupt
    quick = a.quick
    systems = a.systems or list(peers.SYSTEMS)
    seconds = a.seconds or (0.02 if quick else 1.0)
    session = Session(Path(a.cache).resolve(), a.threads, systems, seconds, quick)
    session.measure_machine()
    named = a.cells or [*(cells.QUICK if quick else cells.FULL), *_chains(quick)]
    layers = [n for n in named if n in cells.LAYERS]
    chains = [n for n in named if n in cells.CHAINS]
    tokens = a.T or ([1, 16] if quick else cells.TOKENS)
    precisions = a.precision or (["f32", "int8"] if quick else cells.PRECISIONS)
    suites = a.suites or SUITES
    command = shlex.join(["bench/run.sh", *map(str, arguments)])
    try:
        if "moe" in suites:
            routings = a.routing or cells.ROUTINGS
            suite_moe.run(session, layers, tokens, precisions, routings)
        if "chain" in suites and "f32" in precisions:
            counts = [t for t in tokens if t <= max(cells.CHAIN_TOKENS)]
            suite_chain.run(session, chains, counts)
        if "exit" in suites and "f32" in precisions:
            if quick:
                suite_exit.run(session, [64], 3, [16], [0.0, 0.5], ["running"])
            else:
                dims, stages = cells.EXIT_DIMS, cells.EXIT_STAGES
                batches = cells.EXIT_BATCHES
                suite_exit.run(session, dims, stages, batches, cells.EXIT_RATES)
        if "forms" in suites and "f32" in precisions:
            wide = ("tiny",) if quick else cells.FORM_LAYERS
            counts = [t for t in tokens if quick or t in cells.FORM_TOKENS]
            forms = a.forms or list(cells.FORMS)
            suite_forms.run(session, [n for n in layers if n in wide], forms, counts)
        if "router" in suites and "f32" in precisions:
            for name in layers:
                if name in ("fine", "tiny"):
                    counts = [t for t in tokens if t >= 64] or [max(tokens)]
                    suite_extra.run_router(session, cells.LAYERS[name], counts)
        if "compile" in suites:
            suite_extra.run_compile(session, [n for n in layers if n == "olmoe"])
        if "scale" in suites:
            suite_extra.run_scale(session)
    except KeyboardInterrupt:
        session.say("interrupted; what there is is written")
    finally:
        session.limits.close()
        outcomes = report.write(session, a.out, command)
    for outcome in outcomes:
        word = {True: "met", False: "MISSED", None: "-"}[outcome.met]
        print(f"{word:7}{outcome.what}: {outcome.goal}: {outcome.found}")
    print(f"bench: results.csv, report.md and results.svg are in {a.out}")
    return 0


def _chains(quick):
    return ["chain64"] if quick else cells.FULL_CHAINS


if __name__ == "__main__":
    sys.exit(main())
