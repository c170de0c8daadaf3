// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The ops of the kernel level that are one instruction each, where the target
// has it.
#ifndef GATECC_LIB_LOWERING_CPU_INSTRUCTIONS_H
#define GATECC_LIB_LOWERING_CPU_INSTRUCTIONS_H

#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/SymbolTable.h"

namespace gatecc {

/// What of it the target has: see TileFacts.
struct Instructions {
  bool vnni, bf16, amx;
};

/// On their own level: what the target has not, in arithmetic of vectors.
void populateInstructionExpansions(mlir::RewritePatternSet &patterns,
                                   const Instructions &target);

/// To LLVM: what it has. (`dot_bytes` always: without the instruction it is
/// others of every x86.)
void populateInstructionConversions(const mlir::LLVMTypeConverter &converter,
                                    mlir::RewritePatternSet &patterns,
                                    mlir::SymbolTableCollection &tables,
                                    const Instructions &target);

} // namespace gatecc

#endif // GATECC_LIB_LOWERING_CPU_INSTRUCTIONS_H
