// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The levels and the pipelines between them.
#include "gatecc/Pipelines/Pipelines.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace gatecc;

static const StringRef kLevels[] = {"import", "gate", "schedule", "kernel",
                                    "llvm",   "obj",  "library"};

StringRef gatecc::levelName(Level level) { return kLevels[unsigned(level)]; }

std::optional<Level> gatecc::parseLevel(StringRef name) {
  for (auto [index, known] : llvm::enumerate(kLevels))
    if (name == known)
      return Level(index);
  return std::nullopt;
}

ArrayRef<StringRef> gatecc::disablablePasses() { return {}; }

LogicalResult gatecc::importModel(MLIRContext &context, StringRef path,
                                  OwningOpRef<ModuleOp> &module) {
  return emitError(UnknownLoc::get(&context))
         << path << ": no importer is built in yet";
}

LogicalResult gatecc::runPipeline(ModuleOp module, Level from, Level upTo,
                                  const CompileOptions &options,
                                  const CpuTarget *cpu) {
  return success(from == upTo);
}

void gatecc::listOperators(llvm::raw_ostream &os) {}
