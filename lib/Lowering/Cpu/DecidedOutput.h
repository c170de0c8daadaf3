// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Outputs whose size each run decides.
#ifndef GATECC_LIB_LOWERING_CPU_DECIDEDOUTPUT_H
#define GATECC_LIB_LOWERING_CPU_DECIDEDOUTPUT_H

#include "llvm/ADT/StringRef.h"

namespace gatecc {

/// On a gate.allocate: the number of the output that the memory is of. It then
/// lasts until the context's next run, and its shape is told to the caller.
inline constexpr llvm::StringLiteral kOutputOfAllocate = "gate.output";

} // namespace gatecc

#endif // GATECC_LIB_LOWERING_CPU_DECIDEDOUTPUT_H
