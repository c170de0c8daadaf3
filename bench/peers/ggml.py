# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ggml on the CPU: a mixture as llama.cpp's graphs have it, with mul_mat_id. Weights of
# experts are BF16, Q8_0 and Q4_0 (blocks of 32 with a scale of 16 bits), in the layout
# that the CPU backend likes best for them; the router is f32. The graph is built and its
# memory allocated once for each number of tokens.
import ctypes
import sys
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int, c_int64, c_size_t
from ctypes import c_void_p as handle
from pathlib import Path

import numpy as np

from .. import cells, networks

F32 = 0
TYPES = {"f32": F32, "bf16": 30, "int8": 8, "int4": 2}  # enum ggml_type
# llama.cpp divides by no less: the smallest normal number of 16 bits.
LEAST_SUM = 2.0**-14
MOST_TENSORS = 256


class InitParams(ctypes.Structure):
    _fields_ = (("mem_size", c_size_t), ("mem_buffer", handle), ("no_alloc", c_bool))


FUNCTIONS = {
    "ggml_add": (handle, handle, handle, handle),
    "ggml_argsort_top_k": (handle, handle, handle, c_int),
    "ggml_backend_alloc_ctx_tensors_from_buft": (handle, handle, handle),
    "ggml_backend_buffer_free": (None, handle),
    "ggml_backend_cpu_init": (handle,),
    "ggml_backend_cpu_reg": (handle,),
    "ggml_backend_cpu_set_n_threads": (None, handle, c_int),
    "ggml_backend_dev_supports_op": (c_bool, handle, handle),
    "ggml_backend_get_default_buffer_type": (handle, handle),
    "ggml_backend_graph_compute": (c_int, handle, handle),
    "ggml_backend_reg_dev_get": (handle, handle, c_size_t),
    "ggml_backend_reg_get_proc_address": (handle, handle, c_char_p),
    "ggml_backend_tensor_set": (None, handle, handle, c_size_t, c_size_t),
    "ggml_build_forward_expand": (None, handle, handle),
    "ggml_clamp": (handle, handle, handle, c_float, c_float),
    "ggml_cont": (handle, handle, handle),
    "ggml_div": (handle, handle, handle, handle),
    "ggml_free": (None, handle),
    "ggml_gallocr_alloc_graph": (c_bool, handle, handle),
    "ggml_gallocr_free": (None, handle),
    "ggml_gallocr_new": (handle, handle),
    "ggml_get_data": (handle, handle),
    "ggml_get_rows": (handle, handle, handle, handle),
    "ggml_graph_overhead": (c_size_t,),
    "ggml_init": (handle, InitParams),
    "ggml_mul": (handle, handle, handle, handle),
    "ggml_mul_mat": (handle, handle, handle, handle),
    "ggml_mul_mat_id": (handle, handle, handle, handle, handle),
    "ggml_nbytes": (c_size_t, handle),
    "ggml_new_graph": (handle, handle),
    "ggml_new_tensor_2d": (handle, handle, c_int, c_int64, c_int64),
    "ggml_new_tensor_3d": (handle, handle, c_int, c_int64, c_int64, c_int64),
    "ggml_quantize_chunk": (
        *(c_size_t, c_int, handle, handle, c_int64, c_int64, c_int64, handle),
    ),
    "ggml_relu": (handle, handle, handle),
    "ggml_reshape_2d": (handle, handle, handle, c_int64, c_int64),
    "ggml_reshape_3d": (handle, handle, handle, c_int64, c_int64, c_int64),
    "ggml_set_input": (None, handle),
    "ggml_set_output": (None, handle),
    "ggml_soft_max": (handle, handle, handle),
    "ggml_sum_rows": (handle, handle, handle),
    "ggml_swiglu_split": (handle, handle, handle, handle),
    "ggml_tensor_overhead": (c_size_t,),
    "ggml_version": (c_char_p,),
    "ggml_view_2d": (handle, handle, handle, c_int64, c_int64, c_size_t, c_size_t),
}


class Library:
    """The functions of ggml, without the prefix."""

    def __init__(self):
        path = Path(sys.prefix) / "lib" / "libggml-cpu.so"
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:
            raise ImportError(f"no ggml: {error}") from error
        for name, (result, *arguments) in FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("ggml_"), function)


class Peer:
    def prepare(self, job):
        self.ggml = g = Library()
        self.layer = cells.LAYERS[job["layer"]]
        self.backend = g.backend_cpu_init()
        g.backend_cpu_set_n_threads(self.backend, job["threads"])
        self.plain = g.backend_get_default_buffer_type(self.backend)
        self.graph = self.context = self.memory = None
        weights = networks.moe_weights(self.layer)
        self.router = self._load_router(weights.pop("router"))
        kind = TYPES[job["precision"]]
        self.experts = {
            name: self._load_experts(weights.pop(name), kind)
            for name in ("gate", "up", "down")
            if name in weights
        }

    def feed(self, arrays):
        self.inputs = arrays
        self._build(len(arrays[0]))

    def run(self, index):
        np.copyto(self.x, self.inputs[index])
        status = self.ggml.backend_graph_compute(self.backend, self.graph)
        if status:
            raise RuntimeError(f"ggml_backend_graph_compute returned {status}")
        return self.y

    def array(self, result):
        return result

    def version(self):
        return self.ggml.version().decode()

    def _new_context(self):
        """For descriptions of tensors: their data is elsewhere."""
        size = MOST_TENSORS * self.ggml.tensor_overhead() + self.ggml.graph_overhead()
        return self.ggml.init(InitParams(size, None, True))

    def _load_router(self, matrix):
        g, context = self.ggml, self._new_context()
        rows = np.ascontiguousarray(matrix.T)
        tensor = g.new_tensor_2d(context, F32, *reversed(rows.shape))
        g.backend_alloc_ctx_tensors_from_buft(context, self.plain)
        g.backend_tensor_set(tensor, rows.ctypes.data, 0, rows.nbytes)
        return tensor

    def _load_experts(self, matrices, kind):
        """A tensor of `kind` of matrices [E,K,N], which ggml has as [E,N,K]."""
        experts, k, n = matrices.shape
        tensor = self._new_experts(kind, k, n, experts)
        packed = np.empty(self.ggml.nbytes(tensor), np.uint8)
        for matrix, to in zip(matrices, packed.reshape(experts, -1)):
            rows = np.ascontiguousarray(matrix.T)
            self.ggml.quantize_chunk(
                kind, rows.ctypes.data, to.ctypes.data, 0, n, k, None
            )
        self.ggml.backend_tensor_set(tensor, packed.ctypes.data, 0, packed.nbytes)
        return tensor

    def _new_experts(self, kind, k, n, experts):
        """As llama.cpp: in the first kind of memory whose layout mul_mat_id takes."""
        g = self.ggml
        registry = g.backend_cpu_reg()
        device = g.backend_reg_dev_get(registry, 0)
        address = g.backend_reg_get_proc_address(
            registry, b"ggml_backend_dev_get_extra_bufts"
        )
        found = ctypes.CFUNCTYPE(POINTER(handle), handle)(address)(device)
        special = []
        while found[len(special)]:
            special.append(found[len(special)])
        for memory in (*special, self.plain):
            context = self._new_context()
            tensor = g.new_tensor_3d(context, kind, k, n, experts)
            buffer = g.backend_alloc_ctx_tensors_from_buft(context, memory)
            x = g.new_tensor_3d(context, F32, k, 1, 1)
            chosen = g.argsort_top_k(
                context, g.new_tensor_2d(context, F32, experts, 1), self.layer.top_k
            )
            product = g.mul_mat_id(context, tensor, x, chosen)
            if g.backend_dev_supports_op(device, product):
                return tensor
            g.backend_buffer_free(buffer)
            g.free(context)
        raise RuntimeError(f"ggml has no mul_mat_id for type {kind}")

    def _build(self, tokens):
        g = self.ggml
        if self.context:
            g.gallocr_free(self.memory)
            g.free(self.context)
        self.context = self._new_context()
        self.graph = g.new_graph(self.context)
        x = g.new_tensor_2d(self.context, F32, self.layer.dim, tokens)
        g.set_input(x)
        y = self._mixture(x, tokens)
        g.set_output(y)
        g.build_forward_expand(self.graph, y)
        self.memory = g.gallocr_new(self.plain)
        if not g.gallocr_alloc_graph(self.memory, self.graph):
            raise MemoryError("ggml's graph")
        shape = tokens, self.layer.dim
        self.x, self.y = (
            np.ctypeslib.as_array(
                ctypes.cast(g.get_data(t), POINTER(c_float)), shape=shape
            )
            for t in (x, y)
        )

    def _route(self, x, tokens):
        """(chosen [k,T], weights [1,k,T]), extents from the innermost on."""
        g, context, layer = self.ggml, self.context, self.layer
        scores = g.soft_max(context, g.mul_mat(context, self.router, x))
        chosen = g.argsort_top_k(context, scores, layer.top_k)
        scores = g.reshape_3d(context, scores, 1, layer.experts, tokens)
        weights = g.get_rows(context, scores, chosen)
        weights = g.reshape_2d(context, weights, layer.top_k, tokens)
        total = g.sum_rows(context, weights)
        total = g.clamp(context, total, LEAST_SUM, np.inf)
        weights = g.div(context, weights, total)
        weights = g.reshape_3d(context, weights, 1, layer.top_k, tokens)
        g.build_forward_expand(self.graph, weights)
        return chosen, weights

    def _mixture(self, x, tokens):
        g, context, layer = self.ggml, self.context, self.layer
        chosen, weights = self._route(x, tokens)
        x = g.reshape_3d(context, x, layer.dim, 1, tokens)

        def multiply(name, rows):
            return g.mul_mat_id(context, self.experts[name], rows, chosen)

        up = multiply("up", x)
        if layer.activation == "relu":
            h = g.relu(context, up)
        else:
            h = g.swiglu_split(context, multiply("gate", x), up)
        slots = g.mul(context, multiply("down", h), weights)  # [D,k,T]
        row = 4 * layer.dim
        ranks = [
            g.view_2d(
                context, slots, layer.dim, tokens, row * layer.top_k, row * rank
            )
            for rank in range(layer.top_k)
        ]
        y = ranks[0]
        for rank in ranks[1:]:
            y = g.add(context, y, rank)
        return y if len(ranks) > 1 else g.cont(context, y)
