// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Extents of outputs that each run decides: "?" in gate.dims.
#ifndef GATECC_LIB_TARGET_CPU_DECIDEDEXTENT_H
#define GATECC_LIB_TARGET_CPU_DECIDEDEXTENT_H

#include <cstdint>

namespace gatecc {

/// The coefficient of an ExtentDescription that stands for such an extent.
inline constexpr int64_t kDecidedExtent = -1;

} // namespace gatecc

#endif // GATECC_LIB_TARGET_CPU_DECIDEDEXTENT_H
