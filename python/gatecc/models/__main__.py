# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Command line of the generator: networks of any size as ONNX, and inputs for them.
import argparse
import sys

import numpy as np

try:
    from . import chains, exits, moe
    from .graph import TYPES
except ModuleNotFoundError as error:
    sys.exit(f"gatecc.models needs the package {error.name}: pip install {error.name}")


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m gatecc.models",
        description="Write a routed network with random weights as ONNX.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True)

    p = kinds.add_parser("moe", help="mixture of experts")
    p.add_argument("--dim", type=int, required=True, help="width of the rows")
    p.add_argument("--hidden", type=int, required=True, help="width of an expert")
    p.add_argument("--experts", type=int, required=True)
    p.add_argument("--top-k", type=int, required=True)
    p.add_argument("--activation", choices=moe.ACTIVATIONS, default="silu")
    p.add_argument("--form", choices=tuple(moe.FORMS), default="contrib")
    p.add_argument("--layers", type=int, default=1)
    p.add_argument("--bits", type=int, choices=(4, 8), default=4, help="of qmoe")
    p.add_argument(
        "--block",
        type=int,
        default=32,
        help="how many elements of a column share a scale in qmoe; 0: all of them",
    )
    p.add_argument(
        "--bare", action="store_true", help="no norm and no residual around the experts"
    )
    p.add_argument("--dtype", choices=tuple(TYPES), default="f32")
    _common(p)

    p = kinds.add_parser("chain", help="a long chain of small layers")
    p.add_argument("--nodes", type=int, required=True)
    p.add_argument("--style", choices=chains.KINDS, default="mixed")
    p.add_argument("--dim", type=int, default=16)
    _common(p)

    p = kinds.add_parser("exit", help="early exits")
    p.add_argument("--dim", type=int, required=True)
    p.add_argument("--stages", type=int, required=True)
    p.add_argument("--style", choices=exits.STYLES, default="running")
    p.add_argument("--activation", choices=("relu", "gelu"), default="relu")
    p.add_argument("--dtype", choices=tuple(TYPES), default="f32")
    _common(p)

    p = kinds.add_parser("exit-inputs", help="inputs with planted exits, as .npy")
    p.add_argument("--dim", type=int, required=True)
    p.add_argument("--stages", type=int, required=True)
    p.add_argument("--batch", type=int, required=True)
    p.add_argument(
        "--rate",
        type=float,
        nargs="+",
        required=True,
        help="share of the samples that reach an exit and leave there;"
        " one number, or one per early exit",
    )
    _common(p)

    p = kinds.add_parser("moe-inputs", help="random rows, as .npy")
    p.add_argument("--dim", type=int, required=True)
    p.add_argument("--batch", type=int, required=True)
    _common(p)
    return parser.parse_args(arguments)


def _common(parser):
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", required=True)


def main(arguments=None):
    a = parse(arguments)
    try:
        if a.kind == "moe":
            graph = moe.network(
                a.dim,
                a.hidden,
                a.experts,
                a.top_k,
                a.activation,
                a.form,
                a.layers,
                a.seed,
                a.bits,
                a.block,
                a.bare,
            )
            graph.in_type(a.dtype).save(a.output)
        elif a.kind == "chain":
            chains.network(a.style, a.nodes, a.dim, a.seed).save(a.output)
        elif a.kind == "exit":
            graph = exits.network(a.dim, a.stages, a.style, a.activation, a.seed)
            graph.in_type(a.dtype).save(a.output)
        elif a.kind == "exit-inputs":
            rate = a.rate if len(a.rate) > 1 else a.rate[0]
            x, _ = exits.make_inputs(a.batch, a.dim, a.stages, rate, a.seed)
            np.save(a.output, x)
        else:
            np.save(a.output, moe.make_inputs(a.batch, a.dim, a.seed))
    except (ValueError, OSError) as error:
        print(f"gatecc.models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
