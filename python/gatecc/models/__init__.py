# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Example networks: building blocks in ONNX, and a generator of larger ones
# (`python -m gatecc.models`).
