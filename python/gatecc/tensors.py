# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# NumPy arrays as DLTensors and back. NumPy has no bf16: arrays are ml_dtypes.bfloat16
# where that package is installed, else uint16 with the bits; both are taken as input.
# f16 is np.float16.
import ctypes

import numpy as np

from . import abi
from .errors import RunError

try:
    from ml_dtypes import bfloat16

    BF16 = np.dtype(bfloat16)
except ImportError:
    BF16 = np.dtype(np.uint16)

_KINDS = {"i": abi.INT, "u": abi.UINT, "f": abi.FLOAT, "b": abi.BOOL}
_LETTERS = {abi.INT: "i", abi.UINT: "u", abi.FLOAT: "f"}
_NAMES = {abi.INT: "i", abi.UINT: "u", abi.FLOAT: "f", abi.BFLOAT: "bf"}


def dtype_name(code, bits):
    """ "f32", "bf16", "i64", "bool": as in the JSON form."""
    return "bool" if code == abi.BOOL else f"{_NAMES[code]}{bits}"


def numpy_dtype(code, bits):
    if code == abi.BOOL:
        return np.dtype(np.bool_)
    if code == abi.BFLOAT and bits == 16:
        return BF16
    return np.dtype(f"{_LETTERS[code]}{bits // 8}")


def as_array(name, value):
    """`value` as a C-contiguous array, without a copy where it already is one."""
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        try:
            value = np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError) as error:
            raise RunError(
                f"tensor '{name}': cannot be used through DLPack: {error}",
                abi.INVALID_ARGUMENT,
            ) from error
    return np.asarray(value, order="C")


def dl_dtype(name, array, expected):
    """The DLDataType of `array`; uint16 stands for bf16 where `expected` is that."""
    if expected == (abi.BFLOAT, 16) and array.dtype in (BF16, np.uint16):
        return abi.DLDataType(abi.BFLOAT, 16, 1)
    if array.dtype == BF16 and BF16 != np.uint16:
        return abi.DLDataType(abi.BFLOAT, 16, 1)
    if array.dtype.kind not in _KINDS or not array.dtype.isnative:
        raise RunError(
            f"tensor '{name}': arrays of dtype {array.dtype} are not supported",
            abi.INVALID_ARGUMENT,
        )
    return abi.DLDataType(_KINDS[array.dtype.kind], 8 * array.dtype.itemsize, 1)


def dl_tensor(array, dtype):
    """A DLTensor over the memory of `array`, which must outlive it."""
    shape = (ctypes.c_int64 * max(array.ndim, 1))(*array.shape)
    return abi.DLTensor(
        array.ctypes.data,
        abi.DLDevice(abi.CPU_DEVICE, 0),
        array.ndim,
        dtype,
        shape,
        None,
        0,
    )


def copied(tensor):
    """A NumPy copy of a contiguous DLTensor that the library owns."""
    dtype = numpy_dtype(tensor.dtype.code, tensor.dtype.bits)
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    array = np.empty(shape, dtype)
    if array.nbytes:
        ctypes.memmove(
            array.ctypes.data, tensor.data + tensor.byte_offset, array.nbytes
        )
    return array


def extent(text, bindings):
    """The value of a dimension such as 64, "B" or "2*B*S", or None if one is unbound."""
    if not isinstance(text, str):
        return text
    product = 1
    for factor in text.split("*"):
        factor = factor.strip()
        value = int(factor) if factor.isdecimal() else bindings.get(factor)
        if value is None:
            return None
        product *= value
    return product
