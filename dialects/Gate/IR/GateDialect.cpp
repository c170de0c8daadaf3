// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Registers the `gate` dialect; defines its plan type.
#include "dialects/Gate/IR/GateOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace gatecc::gate;

#include "dialects/Gate/IR/GateDialect.cpp.inc"
#include "dialects/Gate/IR/GateEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Gate/IR/GateAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Gate/IR/GateTypes.cpp.inc"

void GateDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Gate/IR/GateAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/Gate/IR/GateTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Gate/IR/GateDecisions.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Gate/IR/GateWork.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Gate/IR/GateContract.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Gate/IR/GateWeights.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Gate/IR/GateIndexing.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Gate/IR/GateSchedule.cpp.inc"
      >();
}

LogicalResult PlanType::verify(function_ref<InFlightDiagnostic()> emitError,
                               int64_t groups, int64_t choices) {
  if (groups < 1)
    return emitError() << "expects at least one group, got " << groups;
  if (choices < 1 || choices > groups)
    return emitError() << "expects 1 <= choices <= groups, got choices = "
                       << choices << ", groups = " << groups;
  return success();
}
