// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The steps that normalizations share.
#ifndef GATECC_LIB_IMPORT_OPERATORS_NORMALIZATION_H
#define GATECC_LIB_IMPORT_OPERATORS_NORMALIZATION_H

#include "gatecc/Import/GraphBuilder.h"

namespace gatecc {

/// softmax, or its logarithm, along an axis.
mlir::FailureOr<mlir::Value> softmax(GraphBuilder &builder, mlir::Value input,
                                     int64_t axis, bool isLog);
/// The mean of input[..] * input[..] (or of input[..]) over the axes, dims
/// kept.
mlir::FailureOr<mlir::Value> mean(GraphBuilder &builder, mlir::Value input,
                                  llvm::ArrayRef<int64_t> axes, bool ofSquares);
/// 1 / sqrt(variance + epsilon)
mlir::FailureOr<mlir::Value> inverseRoot(GraphBuilder &builder,
                                         mlir::Value variance, double epsilon);
/// a - b, b broadcast.
mlir::FailureOr<mlir::Value> difference(GraphBuilder &builder, mlir::Value a,
                                        mlir::Value b);
/// input * inverse * scale + bias (if there is one), rounded to `element`. The
/// result has the shape of the input.
mlir::FailureOr<mlir::Value> scaled(GraphBuilder &builder, mlir::Value input,
                                    mlir::Value inverse, mlir::Value scale,
                                    mlir::Value bias, mlir::Type element);

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_OPERATORS_NORMALIZATION_H
