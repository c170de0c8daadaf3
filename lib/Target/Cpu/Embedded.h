// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Files that the build embeds in the compiler.
#ifndef GATECC_LIB_TARGET_CPU_EMBEDDED_H
#define GATECC_LIB_TARGET_CPU_EMBEDDED_H

#include "llvm/ADT/StringRef.h"

namespace gatecc {
/// The run-time library as LLVM bitcode.
llvm::StringRef runtimeBitcode();
/// The run-time library as an object for any x86-64 CPU: the C interface and
/// all that works on a context.
llvm::StringRef runtimeObject();
/// Shared libraries without code that name the symbols, and their versions, of
/// libc.so.6 and libm.so.6: what a compiled library may import.
llvm::StringRef stubLibc();
llvm::StringRef stubLibm();
} // namespace gatecc

#endif // GATECC_LIB_TARGET_CPU_EMBEDDED_H
