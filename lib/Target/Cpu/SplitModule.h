// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Divides a module so that two threads can compile it.
#ifndef GATECC_LIB_TARGET_CPU_SPLITMODULE_H
#define GATECC_LIB_TARGET_CPU_SPLITMODULE_H

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include <memory>

namespace gatecc {

/// A module with a context of its own, as another thread needs it.
struct ModulePart {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;

  explicit operator bool() const { return module != nullptr; }
};

/// Moves the functions that are never inlined to a part of their own. Those
/// that the rest calls become hidden symbols with names that are unique in a
/// library: they end in the name of `module`'s first visible function. An empty
/// part if there are none, or if they share variables with the rest.
ModulePart splitModule(llvm::Module &module,
                       std::unique_ptr<llvm::LLVMContext> contextOfPart);

} // namespace gatecc

#endif // GATECC_LIB_TARGET_CPU_SPLITMODULE_H
