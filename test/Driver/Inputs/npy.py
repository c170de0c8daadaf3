# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Makes and prints .npy files of float32 vectors without NumPy:
#   npy.py make FILE number...;  npy.py show FILE
import struct
import sys

if sys.argv[1] == "make":
    values = [float(v) for v in sys.argv[3:]]
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(values)},), }}"
    header = header.ljust(117) + "\n"
    with open(sys.argv[2], "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)))
        file.write(header.encode() + struct.pack(f"<{len(values)}f", *values))
else:
    data = open(sys.argv[2], "rb").read()
    size = struct.unpack("<H", data[8:10])[0]
    print(data[10 : 10 + size].decode().strip())
    print(*struct.unpack(f"<{(len(data) - 10 - size) // 4}f", data[10 + size :]))
