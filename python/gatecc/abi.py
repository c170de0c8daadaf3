# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# include/gatecc/runtime.h as ctypes: structs, function types and status codes, in the
# order of the header.
import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_size_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)

ABI_VERSION = 1
OK, INVALID_ARGUMENT, UNSUPPORTED_CPU, OUT_OF_MEMORY = 0, 1, 2, 3
WEIGHTS, CANCELLED, RUNTIME, INTERNAL = 4, 5, 6, 7
CPU_DEVICE = 1
INT, UINT, FLOAT, BFLOAT, BOOL = 0, 1, 2, 4, 6  # DLDataTypeCode


class DLDevice(Structure):
    _fields_ = [("device_type", c_int32), ("device_id", c_int32)]


class DLDataType(Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class DLTensor(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("device", DLDevice),
        ("ndim", c_int32),
        ("dtype", DLDataType),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    ]


class Dim(Structure):
    _fields_ = [("extent", c_int64), ("symbol", c_char_p)]


class TensorInfo(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("dtype", DLDataType),
        ("rank", c_int32),
        ("shape", POINTER(Dim)),
    ]


class SiteInfo(Structure):
    _fields_ = [("name", c_char_p), ("kind", c_char_p), ("num_groups", c_int32)]


class TargetInfo(Structure):
    _fields_ = [("cpu", c_char_p), ("features", c_char_p)]


TASK = CFUNCTYPE(None, c_void_p, c_int64)


class HostPool(Structure):
    _fields_ = [
        ("parallel_for", CFUNCTYPE(None, c_void_p, c_int64, TASK, c_void_p)),
        ("pool", c_void_p),
    ]


class Allocator(Structure):
    _fields_ = [
        ("allocate", CFUNCTYPE(c_void_p, c_void_p, c_size_t, c_size_t)),
        ("release", CFUNCTYPE(None, c_void_p, c_void_p)),
        ("user", c_void_p),
    ]


class Options(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("num_threads", c_int32),
        ("pool", HostPool),
        ("allocator", Allocator),
        ("weights_path", c_char_p),
        ("collect_statistics", c_int32),
        ("skip_weight_verification", c_int32),
        ("error_message", c_void_p),
        ("error_message_bytes", c_size_t),
    ]


class NamedTensor(Structure):
    _fields_ = [("name", c_char_p), ("tensor", DLTensor)]


class Binding(Structure):
    _fields_ = [("symbol", c_char_p), ("value", c_int64)]


class Memory(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("arena_bytes", c_int64),
        ("input_bytes", c_int64),
        ("output_bytes", c_int64),
    ]


Status = c_int32
Context = c_void_p


class LibraryTable(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("abi_version", c_uint32),
        ("compiler_version", c_char_p),
        ("model_name", c_char_p),
        ("source_hash", c_char_p),
        ("weight_bytes", c_uint64),
        ("weights_file", c_char_p),
        ("num_inputs", c_int32),
        ("num_outputs", c_int32),
        ("num_symbols", c_int32),
        ("num_sites", c_int32),
        ("num_targets", c_int32),
        ("reserved", c_int32),
        ("inputs", POINTER(TensorInfo)),
        ("outputs", POINTER(TensorInfo)),
        ("symbols", POINTER(c_char_p)),
        ("sites", POINTER(SiteInfo)),
        ("targets", POINTER(TargetInfo)),
        ("supported", CFUNCTYPE(Status)),
        ("create", CFUNCTYPE(Status, POINTER(Options), POINTER(Context))),
        (
            "run",
            CFUNCTYPE(
                Status,
                Context,
                POINTER(NamedTensor),
                c_int32,
                POINTER(NamedTensor),
                c_int32,
            ),
        ),
        ("memory", CFUNCTYPE(Status, POINTER(Binding), c_int32, POINTER(Memory))),
        ("enable_statistics", CFUNCTYPE(Status, Context, c_int32)),
        (
            "statistics",
            CFUNCTYPE(
                Status,
                Context,
                c_int32,
                POINTER(c_int64),
                POINTER(POINTER(c_int64)),
                POINTER(c_int32),
                POINTER(c_double),
            ),
        ),
        ("cancel", CFUNCTYPE(None, Context)),
        ("error_message", CFUNCTYPE(c_char_p, Context)),
        ("destroy", CFUNCTYPE(None, Context)),
    ]


def get_library(handle):
    """The table of an opened library, or None if it does not know our ABI version.

    Raises AttributeError if the library was not made by gatecc.
    """
    function = handle.gatecc_get_library
    function.argtypes = [c_uint32]
    function.restype = POINTER(LibraryTable)
    table = function(ABI_VERSION)
    return table.contents if table else None


def set_error_buffer(options, size=1024):
    """Give `options` room for the reason of a failed create; returns the buffer."""
    buffer = ctypes.create_string_buffer(size)
    options.error_message = ctypes.addressof(buffer)
    options.error_message_bytes = size
    return buffer
