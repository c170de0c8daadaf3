# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Training of the two example networks in plain NumPy; models/train.py drives it.
