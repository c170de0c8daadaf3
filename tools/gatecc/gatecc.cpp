// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// gatecc: compiles routed neural networks to libraries, runs and inspects them.
#include "gatecc/Driver/Driver.h"

int main(int argc, char **argv) { return gatecc::runDriver(argc, argv); }
