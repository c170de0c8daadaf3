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
_LETTERS = {code: letter for letter, code in _KINDS.items()}
_NAMES = {abi.INT: "i", abi.UINT: "u", abi.FLOAT: "f", abi.BFLOAT: "bf"}


def dtype_name(code, bits):
    """ "f32", "bf16", "i64", "bool": as in the JSON form."""
    return "bool" if code == abi.BOOL else f"{_NAMES[code]}{bits}"


def dl_dtype_of(name):
    """The DLDataType of a name that `dtype_name` gave."""
    if name == "bool":
        return abi.DLDataType(abi.BOOL, 8, 1)
    letters = name.rstrip("0123456789")
    (code,) = (c for c, n in _NAMES.items() if n == letters)
    return abi.DLDataType(code, int(name[len(letters) :]), 1)


def numpy_dtype(dtype):
    """The NumPy dtype of a DLDataType."""
    if dtype.code == abi.BFLOAT:
        return BF16
    return np.dtype(f"{_LETTERS[dtype.code]}{dtype.bits // 8}")


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


def _address(array):
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (BufferError, TypeError, ValueError):
        # Read-only, empty, or of a dtype that buffers do not have: as good, but three
        # times as slow.
        return array.__array_interface__["data"][0]


class Slot:
    """Room for one named tensor; `set` points it at an array of the slot's dtype."""

    def __init__(self, info, entry):
        self.info = info
        self.name = info.name
        self.dl_dtype = dl_dtype_of(info.dtype)
        self.dtype = numpy_dtype(self.dl_dtype)
        self.accepted = (self.dtype,)
        if self.dl_dtype.code == abi.BFLOAT:
            self.accepted += (np.dtype(np.uint16),)
        self.rank = len(info.shape)
        self.extents = (ctypes.c_int64 * max(self.rank, 1))()
        entry.name = info.name.encode()
        entry.tensor = abi.DLTensor(
            None,
            abi.DLDevice(abi.CPU_DEVICE, 0),
            self.rank,
            self.dl_dtype,
            self.extents,
            None,
            0,
        )
        self.tensor = entry.tensor  # shares the entry's memory
        self.shape = None  # what `extents` holds

    def fits(self, array):
        return array.dtype in self.accepted and array.ndim == self.rank

    def set(self, array):
        """The array must live until the run is over. None: the library provides it."""
        tensor = self.tensor
        tensor.data = None if array is None else _address(array)
        tensor.byte_offset = 0
        if array is None or self.shape != array.shape:
            # A run points the tensor that it provides at a shape of its own.
            tensor.shape = self.extents
            self.shape = None if array is None else array.shape
            if self.shape:
                self.extents[: self.rank] = self.shape


class Slots:
    """The table of named tensors that a run takes, kept from run to run."""

    def __init__(self, infos):
        self.table = (abi.NamedTensor * max(len(infos), 1))()
        self.slots = [Slot(i, e) for i, e in zip(infos, self.table)]

    def fill(self, arrays):
        """(table, count) for `arrays`, a dict of name -> C-contiguous array."""
        if len(arrays) == len(self.slots):
            for slot in self.slots:
                array = arrays.get(slot.name)
                if array is None or not slot.fits(array):
                    break
                slot.set(array)
            else:
                return self.table, len(self.slots)
        return _as_given(arrays), len(arrays)


def _as_given(arrays):
    """A table of tensors that do not fit, for the library to say what is wrong."""
    table = (abi.NamedTensor * max(len(arrays), 1))()
    for entry, (name, array) in zip(table, arrays.items()):
        kind = array.dtype.kind
        if array.dtype == BF16 and BF16 != np.uint16:
            dtype = abi.DLDataType(abi.BFLOAT, 16, 1)
        elif kind in _KINDS and array.dtype.isnative:
            dtype = abi.DLDataType(_KINDS[kind], 8 * array.dtype.itemsize, 1)
        else:
            raise RunError(
                f"tensor '{name}': arrays of dtype {array.dtype} are not supported",
                abi.INVALID_ARGUMENT,
            )
        entry.name = name.encode()
        entry.tensor = abi.DLTensor(
            _address(array),
            abi.DLDevice(abi.CPU_DEVICE, 0),
            array.ndim,
            dtype,
            (ctypes.c_int64 * max(array.ndim, 1))(*array.shape),
            None,
            0,
        )
    return table


def copied(tensor):
    """A NumPy copy of a contiguous DLTensor that the library owns."""
    shape = tensor.shape[: tensor.ndim]
    array = np.empty(shape, numpy_dtype(tensor.dtype))
    if array.nbytes:
        address = tensor.data + tensor.byte_offset
        ctypes.memmove(_address(array), address, array.nbytes)
    return array
