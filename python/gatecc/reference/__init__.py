# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Float64 NumPy reference of the `gate` ops and of whole networks.

Slow and plain on purpose: tests compare compiled code with it, decisions exactly where
`margin` says that they are no close call, then values.
"""

from .decisions import assign, margin, partition, route, topk
from .indexing import cumsum, gather_nd, nonzero, scatter_elements, scatter_nd
from .json_graph import run_json
from .onnx_graph import run_onnx
from .plan import Plan
from .quantized import contract_quantized, dequantize, quantize_rows, quantize_weights
from .work import apply, combine, contract, merge

__all__ = [
    "Plan",
    "apply",
    "combine",
    "contract",
    "contract_quantized",
    "cumsum",
    "dequantize",
    "gather_nd",
    "margin",
    "merge",
    "nonzero",
    "assign",
    "partition",
    "quantize_rows",
    "quantize_weights",
    "route",
    "run_json",
    "run_onnx",
    "scatter_elements",
    "scatter_nd",
    "topk",
]
