// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What rounding the weights of experts costs: the error of each routed layer,
// measured by a library that computes it from the same rows with and without.
#ifndef GATECC_LIB_DRIVER_CALIBRATION_H
#define GATECC_LIB_DRIVER_CALIBRATION_H

#include "gatecc/Target/Program.h"
#include "lib/Driver/LoadedLibrary.h"
#include "lib/Driver/Npy.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SetVector.h"
#include <string>
#include <utility>
#include <vector>

namespace gatecc {

/// One routed layer. With y and z its output without and with rounding:
struct LayerPrecision {
  std::string name;
  std::string format; // of the weights of its experts
  int64_t block = 0;  // of integers: elements that share a scale
  uint64_t weightBytes = 0, f32Bytes = 0;
  /// Why there are no numbers below; empty if there are.
  std::string reason;
  int64_t rows = 0;
  double error = 0;    // |z - y| / |y|
  double worstRow = 0; // the largest |z_t - y_t| / |y_t|
  /// The output that has the numbers of this layer in the library that
  /// measures; empty if it does not measure it.
  std::string output;
  /// The symbols or values of its weights.
  llvm::SmallSetVector<mlir::Attribute, 4> weights;
};

/// An input of the network as it was for the measurement.
struct CalibrationInput {
  std::string name, file; // file "": generated
  NpyArray array;
};

struct PrecisionReport {
  std::string cpu; // that the measurement ran on
  std::vector<LayerPrecision> layers;
  std::vector<CalibrationInput> inputs;

  bool isMeasured() const;
  /// Leaves layers that are to be measured without, and says why.
  void giveUp(const llvm::Twine &reason);
};

/// Lists the routed layers of `module`, which is at the level Gate, and makes
/// it compute each that can be measured twice; the first result, from weights
/// that are not rounded, goes on through the network. What they differ by is
/// returned by @main in outputs of their own.
PrecisionReport instrumentLayers(mlir::ModuleOp module);

/// Fills in what the weights of each layer are packed to; `module` is the one
/// that is compiled, at the level Schedule.
void countWeights(mlir::ModuleOp module, PrecisionReport &report);

/// Reads or generates the inputs. `files`: name (or "" for the only input) and
/// file. False, with `error`, if the files are at fault; networks that need
/// files are given up if there are none.
bool prepareInputs(const ProgramDescription &program,
                   llvm::ArrayRef<std::pair<std::string, std::string>> files,
                   PrecisionReport &report, std::string &error);

/// Runs the instrumented network, and fills in the errors.
gatecc_status measureLayers(const LoadedLibrary &library,
                            PrecisionReport &report, std::string &error);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_CALIBRATION_H
