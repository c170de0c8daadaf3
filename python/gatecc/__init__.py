# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""gatecc: compile networks that decide what to compute, and run the result.

import gatecc
gatecc.compile("model.onnx", "model.so", mcpu="native")
lib = gatecc.load("model.so")
y = lib(x=array)["y"]
lib.stats()
"""

from .compiler import compile, find_compiler
from .errors import CompileError, Error, RunError
from .library import Library, load

__all__ = [
    "CompileError",
    "Error",
    "Library",
    "RunError",
    "compile",
    "find_compiler",
    "load",
]
__version__ = "0.1.0"
