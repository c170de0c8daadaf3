// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What `gatecc verify` runs a network on: arrays of a file, or random ones.
#ifndef GATECC_LIB_DRIVER_VERIFYCASES_H
#define GATECC_LIB_DRIVER_VERIFYCASES_H

#include "lib/Driver/Npz.h"

namespace gatecc {

struct VerifyCase {
  std::string name;
  std::vector<NamedArray> inputs;
  std::vector<NamedArray> expected; // outputs that were given with them
};

/// Sorts the arrays of a .npz file: keys are names of inputs and outputs, or
/// in{i}.NAME and out{i}.NAME for case number i. False, with `error`, if one
/// belongs nowhere, or a case lacks an input.
bool sortCases(const gatecc_library &library, std::vector<NamedArray> arrays,
               std::vector<VerifyCase> &cases, std::string &error);

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_VERIFYCASES_H
