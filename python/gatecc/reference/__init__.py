# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Float64 NumPy reference of the `gate` ops and of whole networks.

Slow and plain on purpose: tests compare compiled code with it, decisions exactly where
`margin` says that they are no close call, then values.
"""

from .decisions import margin, partition, route, topk
from .json_graph import run_json
from .onnx_graph import run_onnx
from .plan import Plan
from .work import apply, combine, contract, merge

__all__ = [
    "Plan",
    "apply",
    "combine",
    "contract",
    "margin",
    "merge",
    "partition",
    "route",
    "run_json",
    "run_onnx",
    "topk",
]
