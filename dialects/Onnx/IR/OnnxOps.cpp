// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Registers the `onnx` dialect; verifies and reads its generic node.
#include "dialects/Onnx/IR/OnnxOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace gatecc::onnx;

#include "dialects/Onnx/IR/OnnxDialect.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Onnx/IR/OnnxTypes.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/Onnx/IR/OnnxOps.cpp.inc"

void OnnxDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/Onnx/IR/OnnxTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Onnx/IR/OnnxOps.cpp.inc"
      >();
}

unsigned NodeOp::getNumPositions() {
  std::optional<ArrayRef<int64_t>> absent = getAbsent();
  return getInputs().size() + (absent ? absent->size() : 0);
}

Value NodeOp::getInputAt(unsigned position) {
  if (position >= getNumPositions())
    return {};
  unsigned skipped = 0;
  for (int64_t hole : getAbsent().value_or(ArrayRef<int64_t>())) {
    if (hole == static_cast<int64_t>(position))
      return {};
    skipped += hole < static_cast<int64_t>(position);
  }
  return getInputs()[position - skipped];
}

Region *NodeOp::getBody(StringRef name) {
  if (std::optional<ArrayAttr> names = getBodyNames())
    for (auto [attr, region] : llvm::zip(*names, getBodies()))
      if (cast<StringAttr>(attr).getValue() == name)
        return &region;
  return nullptr;
}

LogicalResult NodeOp::verify() {
  int64_t previous = -1;
  for (int64_t hole : getAbsent().value_or(ArrayRef<int64_t>())) {
    if (hole <= previous || hole >= static_cast<int64_t>(getNumPositions()))
      return emitOpError("expects `absent` to be increasing positions of "
                         "inputs (C1), got ")
             << hole;
    previous = hole;
  }
  unsigned numNames = getBodyNames() ? getBodyNames()->size() : 0;
  if (numNames != getBodies().size())
    return emitOpError("expects one of `body_names` for each region (C2), got ")
           << numNames << " for " << getBodies().size();
  for (Region &body : getBodies())
    if (body.front().empty() || !isa<YieldOp>(body.front().back()))
      return emitOpError("expects each region to end in onnx.yield (C3)");
  return success();
}
