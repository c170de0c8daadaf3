// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The contents of a TensorProto: a place in a file, or decoded elements.
#ifndef GATECC_LIB_IMPORT_ONNX_TENSORDATA_H
#define GATECC_LIB_IMPORT_ONNX_TENSORDATA_H

#include "lib/Import/Onnx/Model.h"
#include "lib/Import/Source/Elements.h"
#include "lib/Import/Source/SourceFile.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"

namespace gatecc {

/// The element type for a TensorProto.DataType; null where gatecc has none.
mlir::Type onnxElementType(mlir::MLIRContext *context, int64_t dataType);
/// "FLOAT8E4M3FN" and the like, for messages.
std::string onnxTypeName(int64_t dataType);
/// Where the elements of a tensor are.
struct TensorContent {
  mlir::RankedTensorType type;
  mlir::DenseElementsAttr value; // small or decoded, else null and
  std::string file;              // contiguous elements at
  int64_t offset = 0;            // this byte of this file
};

class TensorReader {
public:
  /// `bytes` is the content of the model file at `path`.
  TensorReader(mlir::MLIRContext *context, llvm::StringRef path,
               llvm::StringRef bytes)
      : context(context), path(path), bytes(bytes), dataFiles(path) {}

  llvm::Expected<TensorContent> read(const proto::Tensor &tensor);

private:
  llvm::Error readExternal(const proto::Tensor &tensor, int64_t size,
                           TensorContent &content);
  llvm::Error readInside(llvm::StringRef data, TensorContent &content);
  llvm::Error decode(const proto::Tensor &tensor, TensorContent &content);

  mlir::MLIRContext *context;
  llvm::StringRef path, bytes;
  DataFiles dataFiles;
};

} // namespace gatecc

#endif // GATECC_LIB_IMPORT_ONNX_TENSORDATA_H
