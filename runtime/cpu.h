// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What this CPU can do, and which of a program's targets suits it.

#ifndef GATECC_RUNTIME_CPU_H
#define GATECC_RUNTIME_CPU_H

#include "program.h"

#pragma GCC visibility push(hidden)
namespace gatecc_runtime {

// GATECC_CPU_* bits of features that the CPU has and the system has enabled.
uint64_t cpuFeatures();

// The target of the highest rank among those that these features suffice for
// (the first of equals), or nullptr.
const gatecc_program_target *chooseTarget(const gatecc_program &program,
                                          uint64_t features);

// The target for this CPU and this process. One that uses the tile registers of
// AMX is taken only if the system grants them, for good.
const gatecc_program_target *findTarget(const gatecc_program &program);

// The LLVM name of feature bit `bit`, or nullptr.
const char *cpuFeatureName(int bit);

} // namespace gatecc_runtime
#pragma GCC visibility pop

#endif // GATECC_RUNTIME_CPU_H
