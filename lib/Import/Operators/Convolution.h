// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Convolutions without bias, for operators that contain one.
#ifndef GATECC_LIB_IMPORT_OPERATORS_CONVOLUTION_H
#define GATECC_LIB_IMPORT_OPERATORS_CONVOLUTION_H

#include "gatecc/Import/Operators.h"

namespace gatecc {

/// The convolution of `input` with `weight`, both of one type that is computed
/// in; windows and groups are the call's attributes.
mlir::FailureOr<mlir::Value> convolution(GraphBuilder &builder,
                                         const OperatorCall &call,
                                         mlir::Value input, mlir::Value weight);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_OPERATORS_CONVOLUTION_H
