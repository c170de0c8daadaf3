# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Loads a compiled library and runs it through the C interface of gatecc/runtime.h.
import ctypes
import os
import threading
from _ctypes import dlclose
from dataclasses import dataclass

import numpy as np

from . import abi, tensors
from .errors import RunError


@dataclass(frozen=True)
class Tensor:
    """An input or output: extents are numbers, or texts such as "B" and "2*B".

    An extent of an output that each run decides is "?".
    """

    name: str
    dtype: str
    shape: tuple


@dataclass(frozen=True)
class Site:
    """A place that decides which work is done; groups is None if decided in a run."""

    name: str
    kind: str
    groups: int | None


def load(path, *, threads=0, statistics=True, weights=None):
    """Load a compiled library.

    threads: 0 means all cores. statistics: collect what `Library.stats` tells.
    weights: the weight file, if it is not beside the library under its own name.
    """
    return Library(path, threads=threads, statistics=statistics, weights=weights)


class Library:
    """A loaded library with one context: call it with arrays, by name.

        y = lib(x=array)["y"]          y = lib({"in.1": array})["out.1"]

    Inputs: NumPy arrays or anything with __dlpack__, on the CPU, with the library's
    dtype; contiguous ones are not copied. Outputs: new NumPy arrays. A Library may be
    used from several threads, one run at a time; load it once per thread for more.
    """

    def __init__(self, path, *, threads=0, statistics=True, weights=None):
        self._context = None
        self._handle = None
        self._lock = threading.Lock()
        self.path = os.path.abspath(os.fspath(path))
        try:
            self._handle = ctypes.CDLL(self.path, mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            raise RunError(f"cannot load {self.path}: {error}") from error
        try:
            self._open(threads, statistics, weights)
        except BaseException:
            self.close()
            raise

    def _open(self, threads, statistics, weights):
        try:
            self._table = abi.get_library(self._handle)
        except AttributeError:
            raise RunError(f"{self.path} is no library made by gatecc") from None
        if self._table is None:
            raise RunError(
                f"{self.path} does not know version {abi.ABI_VERSION} of gatecc's ABI"
            )
        t = self._table
        self._run = t.run  # a new object each time that it is asked for
        self.name = t.model_name.decode()
        self.compiler_version = t.compiler_version.decode()
        self.source_hash = t.source_hash.decode()
        self.weight_bytes = t.weight_bytes
        self.inputs = tuple(map(_tensor, t.inputs[: t.num_inputs]))
        self.outputs = tuple(map(_tensor, t.outputs[: t.num_outputs]))
        self._given = tensors.Slots(self.inputs)
        self._wanted = tensors.Slots(self.outputs)
        # Where a run finds the value of each symbol: (input, axis).
        sources = {
            dim: (info.name, axis)
            for info in self.inputs
            for axis, dim in enumerate(info.shape)
            if isinstance(dim, str)
        }
        self._shapes = [_shape_plan(info.shape, sources) for info in self.outputs]
        self.symbols = tuple(t.symbols[i].decode() for i in range(t.num_symbols))
        self.sites = tuple(_site(t.sites[i]) for i in range(t.num_sites))
        self.targets = tuple(t.targets[i].cpu.decode() for i in range(t.num_targets))
        options = abi.Options(struct_size=ctypes.sizeof(abi.Options))
        options.num_threads = threads
        options.collect_statistics = int(bool(statistics))
        if weights is not None:
            options.weights_path = os.fsencode(weights)
        reason = abi.set_error_buffer(options)
        context = abi.Context()
        status = t.create(ctypes.byref(options), ctypes.byref(context))
        if status != abi.OK:
            text = reason.value.decode(errors="replace") or f"status {status}"
            raise RunError(f"{self.path}: {text}", status)
        self._context = context

    def __call__(self, inputs=None, /, **named):
        arrays = {
            name: tensors.as_array(name, value)
            for name, value in {**(inputs or {}), **named}.items()
        }
        results = {}
        with self._lock:
            self._check_open()
            given, count = self._given.fill(arrays)
            for slot, plan in zip(self._wanted.slots, self._shapes):
                shape = _shape_of(plan, arrays)
                # The library provides, and then describes, what we cannot size.
                array = None if shape is None else np.empty(shape, slot.dtype)
                slot.set(array)
                results[slot.name] = array
            status = self._run(
                self._context, given, count, self._wanted.table, len(self.outputs)
            )
            self._check(status)
            for slot in self._wanted.slots:
                if results[slot.name] is None:
                    results[slot.name] = tensors.copied(slot.tensor)
        return results

    def stats(self):
        """What the last run decided: {"sites": [{name, kind, rows, groups, skipped}]}."""
        sites = []
        with self._lock:
            self._check_open()
            for index, site in enumerate(self.sites):
                rows, count = ctypes.c_int64(), ctypes.c_int32()
                groups = ctypes.POINTER(ctypes.c_int64)()
                skipped = ctypes.c_double()
                self._check(
                    self._table.statistics(
                        self._context,
                        index,
                        ctypes.byref(rows),
                        ctypes.byref(groups),
                        ctypes.byref(count),
                        ctypes.byref(skipped),
                    )
                )
                sites.append(
                    {
                        "name": site.name,
                        "kind": site.kind,
                        "rows": rows.value,
                        "groups": groups[: count.value],
                        "skipped": skipped.value,
                    }
                )
        return {"sites": sites}

    def memory(self, **symbols):
        """Bytes that a run needs for the given dimensions, e.g. lib.memory(B=64)."""
        bindings = (abi.Binding * max(len(symbols), 1))(
            *((name.encode(), value) for name, value in symbols.items())
        )
        memory = abi.Memory(struct_size=ctypes.sizeof(abi.Memory))
        with self._lock:
            self._check_open()
            status = self._table.memory(bindings, len(symbols), ctypes.byref(memory))
        if status != abi.OK:
            raise RunError(
                f"memory: every one of the symbols {', '.join(self.symbols) or '(none)'}"
                f" needs one value >= 0; given: {symbols}",
                status,
            )
        return {
            "arena": memory.arena_bytes,
            "inputs": memory.input_bytes,
            "outputs": memory.output_bytes,
        }

    def cancel(self):
        """Ask the run in progress in another thread to end with an error."""
        if self._context is not None:
            self._table.cancel(self._context)

    def close(self):
        """Free the context and the library; it cannot be used afterwards."""
        with self._lock:
            context, self._context = self._context, None
            handle, self._handle = self._handle, None
            if context is not None:
                self._table.destroy(context)
            if handle is not None:
                self._table = self._run = None
                dlclose(handle._handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_lock", None) is not None:
            self.close()

    def __repr__(self):
        def signature(infos):
            return ", ".join(
                f"{i.name}: {i.dtype}[{', '.join(map(str, i.shape))}]" for i in infos
            )

        return (
            f"<gatecc.Library {self.path}: ({signature(self.inputs)})"
            f" -> ({signature(self.outputs)})>"
        )

    def _check_open(self):
        if self._context is None:
            raise RunError(f"{self.path} is closed")

    def _check(self, status):
        if status != abi.OK:
            text = self._table.error_message(self._context) or b""
            raise RunError(text.decode(errors="replace") or f"status {status}", status)


def _shape_plan(extents, sources):
    """For each extent a number and the (input, axis)s whose extents multiply it.

    None if the inputs do not tell: a product such as "2*B*S" needs each of its symbols.
    """
    plan = []
    for extent in extents:
        number, factors = 1, []
        for factor in str(extent).split("*"):
            if factor.isdecimal():
                number *= int(factor)
            elif factor in sources:
                factors.append(sources[factor])
            else:
                return None
        plan.append((number, factors))
    return plan


def _shape_of(plan, arrays):
    """The shape of an output, or None if the inputs do not tell.

    Whether all inputs agree on a symbol is for the library to check.
    """
    if plan is None:
        return None
    shape = []
    for extent, factors in plan:
        for name, axis in factors:
            array = arrays.get(name)
            if array is None or array.ndim <= axis:
                return None
            extent *= array.shape[axis]
        shape.append(extent)
    return shape


def _tensor(info):
    dims = info.shape[: info.rank]
    return Tensor(
        info.name.decode(),
        tensors.dtype_name(info.dtype.code, info.dtype.bits),
        tuple(d.extent if d.extent >= 0 else d.symbol.decode() for d in dims),
    )


def _site(info):
    groups = info.num_groups if info.num_groups >= 0 else None
    return Site(info.name.decode(), info.kind.decode(), groups)
