// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs models with ONNX Runtime, where Python and its package are installed.
#ifndef GATECC_LIB_DRIVER_ONNXRUNTIME_H
#define GATECC_LIB_DRIVER_ONNXRUNTIME_H

#include "lib/Driver/Npz.h"

namespace gatecc {

struct OnnxRuntimeCase {
  std::vector<NamedArray> outputs;
  std::string reason; // why there are none
};

struct OnnxRuntimeRun {
  std::string version;
  std::string reason; // why nothing was run
  std::vector<OnnxRuntimeCase> cases;
};

/// Runs `model` on each of `cases`. The interpreter is $GATECC_PYTHON, else
/// python3 of the path; `folder` is one for files in between.
OnnxRuntimeRun runOnnxRuntime(llvm::StringRef model,
                              llvm::ArrayRef<std::vector<NamedArray>> cases,
                              llvm::StringRef folder);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_ONNXRUNTIME_H
