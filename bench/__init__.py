# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The benchmark: gatecc beside the machine's limits and beside other systems.
