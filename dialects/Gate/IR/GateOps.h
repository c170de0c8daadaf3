// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The `gate` dialect: its types, attributes and ops.
#ifndef GATECC_DIALECTS_GATE_IR_GATEOPS_H
#define GATECC_DIALECTS_GATE_IR_GATEOPS_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/Gate/IR/GateDialect.h.inc"
#include "dialects/Gate/IR/GateEnums.h.inc"

#include "dialects/Gate/IR/FloatTypes.h"
#include "dialects/Gate/IR/PanelLayout.h"

#define GET_ATTRDEF_CLASSES
#include "dialects/Gate/IR/GateAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Gate/IR/GateTypes.h.inc"
#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateDecisions.h.inc"
#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateWork.h.inc"
#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateContract.h.inc"
#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateWeights.h.inc"
#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateIndexing.h.inc"
#define GET_OP_CLASSES
#include "dialects/Gate/IR/GateSchedule.h.inc"

namespace gatecc::gate {
/// On a `route`: the weights of its experts are not rounded.
inline constexpr const char *kExactExperts = "gatecc.exact";
} // namespace gatecc::gate

#endif // GATECC_DIALECTS_GATE_IR_GATEOPS_H
